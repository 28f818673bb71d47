"""When a peer was first met. Of those that are known already, nothing says when: they count from now on."""

from django.db import migrations

import synchro.fields


def begin_now(apps, schema_editor):
    peers = apps.get_model("synchro", "Peer").objects.using(schema_editor.connection.alias)
    peers.update(met=synchro.fields.DatabaseNow())


class Migration(migrations.Migration):

    dependencies = [
        ("synchro", "0010_model_identity"),
    ]

    operations = [
        migrations.AddField(
            model_name="peer",
            name="met",
            field=synchro.fields.UTCDateTimeField(null=True),
        ),
        migrations.RunPython(begin_now, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="peer",
            name="met",
            field=synchro.fields.UTCDateTimeField(default=synchro.fields.DatabaseNow, null=True),
        ),
    ]
