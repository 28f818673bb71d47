from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models

import synchro.fields


class Migration(migrations.Migration):
    """Where an entry comes from, and which row of another node a row is: for more than two nodes."""

    dependencies = (
        ("contenttypes", "0002_remove_content_type_name"),
        ("synchro", "0014_pruned_upto_and_taken_up"),
    )

    operations = (
        migrations.AddField(
            model_name="changelog",
            name="origin",
            field=models.UUIDField(blank=True, null=True, verbose_name="origin"),
        ),
        migrations.AddField(
            model_name="changelog",
            name="number",
            field=models.BigIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="changelog",
            name="made",
            field=synchro.fields.UTCDateTimeField(blank=True, null=True, verbose_name="made"),
        ),
        migrations.AddField(
            model_name="changelog",
            name="sender",
            field=models.UUIDField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="node",
            name="forwards_since",
            field=synchro.fields.UTCDateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="receipt",
            name="unlogged",
            field=models.BigIntegerField(null=True),
        ),
        migrations.CreateModel(
            name="Original",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "content_type",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="contenttypes.contenttype",
                        verbose_name="content type",
                    ),
                ),
                ("local_object_id", models.CharField(max_length=255)),
                ("node", models.UUIDField(verbose_name="node")),
                ("object_id", models.CharField(max_length=255)),
            ],
            options={
                "verbose_name": "original",
                "verbose_name_plural": "originals",
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(fields=["content_type", "local_object_id"], name="synchro_original_local")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("node", "content_type", "object_id"), name="synchro_original_unique"
                    )
                ],
            },
        ),
    )
