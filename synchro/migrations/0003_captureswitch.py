"""The table by which SQLite switches triggers off."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('synchro', '0002_protocol'),
    ]

    operations = [
        migrations.CreateModel(
            name='CaptureSwitch',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('never', models.ForeignKey(db_index=False, default=0, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='synchro.captureswitch')),
            ],
            options={
                'default_permissions': (),
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='synchro_captureswitch_one'), models.CheckConstraint(condition=models.Q(('never', 0)), name='synchro_captureswitch_never')],
            },
        ),
    ]
