from __future__ import annotations

from django.db import migrations

import synchro.fields


class Migration(migrations.Migration):
    """Up to when a log was pruned: what was changed before that may have been changed by both sides."""

    dependencies = (("synchro", "0012_namedtable"),)

    operations = (
        migrations.AddField(
            model_name="node",
            name="pruned_until",
            field=synchro.fields.UTCDateTimeField(null=True),
        ),
    )
