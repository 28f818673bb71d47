"""Entries of models that nobody watches who replays them wait, and do not count as arrived."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('synchro', '0006_remove_checkpoint_seen'),
    ]

    operations = [
        migrations.AddField(
            model_name='node',
            name='unread',
            field=models.TextField(default='{}'),
        ),
    ]
