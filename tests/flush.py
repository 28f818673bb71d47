"""Empty databases after the tests that commit."""

from __future__ import annotations

from django.apps import apps
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connections, transaction

from synchro.engines import engine_for

#: What `migrate` wrote. Django's own flush writes it anew each time, which takes longer than most tests.
KEPT = {ContentType._meta.db_table, Permission._meta.db_table}


def flush(alias: str) -> None:
    """Delete all rows of the database `alias`, but for content types and permissions."""
    connection = connections[alias]
    quote = connection.ops.quote_name
    tables = sorted({model._meta.db_table for model in apps.get_models(include_auto_created=True)} - KEPT)
    with connection.cursor() as cursor:
        existing = {
            table.name for table in connection.introspection.get_table_list(cursor) if table.type == "t"
        }
        wanted = [table for table in tables if table in existing]
        cursor.execute(
            " UNION ALL ".join(
                f"SELECT {number} WHERE EXISTS (SELECT 1 FROM {quote(table)})"
                for number, table in enumerate(wanted)
            ),
            None,
        )
        filled = [wanted[number] for (number,) in cursor.fetchall()]
    if not filled:
        return
    with (
        connection.constraint_checks_disabled(),
        transaction.atomic(using=alias),
        engine_for(connection).capture_off(connection),
        connection.cursor() as cursor,
    ):
        for table in filled:
            cursor.execute(f"DELETE FROM {quote(table)}", None)
