"""What tells a batch from another of its number, and a REMOTE without a node id from another."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('synchro', '0007_capture_node_unread'),
    ]

    operations = [
        migrations.AddField(
            model_name='batch',
            name='token',
            field=models.CharField(db_default='', default='', max_length=64),
        ),
        migrations.AddField(
            model_name='receipt',
            name='token',
            field=models.CharField(db_default='', default='', max_length=64),
        ),
        migrations.AddField(
            model_name='peer',
            name='place',
            field=models.CharField(blank=True, db_default='', default='', max_length=255),
        ),
    ]
