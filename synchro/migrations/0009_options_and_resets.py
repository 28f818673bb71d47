"""
The checkpoint time in a table of synchro's own, and a record of resets.

The time was kept by django-dbsettings. That package lacks a migration, so that ``makemigrations --check`` failed in each
project that uses Django's default key, and its page sent back the time that it had shown, with every other setting.
"""

from datetime import UTC
from importlib import import_module

from django.db import migrations, models
from django.utils import timezone

import synchro.fields

before = import_module("synchro.migrations.0002_protocol")


def take_over(apps, schema_editor):
    stored = before.kept_by_dbsettings(schema_editor.connection)
    last = before.moment(stored) if stored else None
    if last is None:
        return
    aware = timezone.make_aware(last) if timezone.is_naive(last) else last
    options = apps.get_model("synchro", "Option").objects.using(schema_editor.connection.alias)
    options.get_or_create(
        name="last_check", defaults={"value": aware.astimezone(UTC).isoformat(timespec="microseconds")}
    )


class Migration(migrations.Migration):

    dependencies = [
        ("synchro", "0008_remote_tokens"),
    ]

    operations = [
        migrations.CreateModel(
            name="Option",
            fields=[
                ("name", models.CharField(max_length=100, primary_key=True, serialize=False, verbose_name="name")),
                ("value", models.CharField(blank=True, max_length=255, verbose_name="value")),
            ],
            options={
                "verbose_name": "option",
                "verbose_name_plural": "options",
                "default_permissions": ("view",),
            },
        ),
        migrations.RunPython(take_over, migrations.RunPython.noop),
        migrations.CreateModel(
            name="Reset",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "date",
                    synchro.fields.UTCDateTimeField(default=synchro.fields.DatabaseNow, verbose_name="date"),
                ),
                ("by", models.CharField(max_length=255, verbose_name="by")),
                ("former", models.UUIDField(null=True, verbose_name="former node")),
                ("current", models.UUIDField(verbose_name="node")),
                ("forgotten", models.TextField(blank=True, verbose_name="forgotten")),
            ],
            options={
                "verbose_name": "reset",
                "verbose_name_plural": "resets",
                "default_permissions": ("view",),
            },
        ),
    ]
