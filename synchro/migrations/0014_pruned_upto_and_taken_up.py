from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """How far a log was pruned, and the last batch that a restored REMOTE cannot be given again."""

    dependencies = (("synchro", "0013_node_pruned_until"),)

    operations = (
        migrations.AddField(
            model_name="node",
            name="pruned_upto",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="checkpoint",
            name="took_up",
            field=models.BigIntegerField(default=0, db_default=0),
        ),
    )
