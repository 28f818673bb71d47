"""Which conflicts are on record is asked of the record itself."""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('synchro', '0005_node_newest'),
    ]

    operations = [
        migrations.RemoveField(
            model_name='checkpoint',
            name='seen',
        ),
    ]
