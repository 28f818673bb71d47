"""How each model's rows were identified towards each REMOTE, so that a changed setting is noticed."""
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('contenttypes', '0002_remove_content_type_name'),
        ('synchro', '0009_options_and_resets'),
    ]

    operations = [
        migrations.CreateModel(
            name='ModelIdentity',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('identity', models.CharField(max_length=9, verbose_name='identity')),
                ('content_type', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='contenttypes.contenttype', verbose_name='content type')),
                ('peer', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='synchro.peer', verbose_name='peer')),
            ],
            options={
                'verbose_name': 'identity of a model',
                'verbose_name_plural': 'identities of models',
                'default_permissions': ('view',),
                'constraints': [models.UniqueConstraint(fields=('peer', 'content_type'), name='synchro_modelidentity_unique')],
            },
        ),
    ]
