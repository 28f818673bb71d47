"""What the newest entry said that was put into a batch: an emptied log whose ids begin again is known by it."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('synchro', '0004_setaside'),
    ]

    operations = [
        migrations.AddField(
            model_name='node',
            name='newest',
            field=models.TextField(null=True),
        ),
    ]
