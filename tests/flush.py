"""Empty databases after the tests that commit."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from django.apps import apps
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import Error, connections, transaction

from synchro.backends import backend_for

#: What `migrate` wrote. Django's own flush writes it anew each time, which takes longer than most tests.
KEPT = {ContentType._meta.db_table, Permission._meta.db_table}


def set_free(alias: str) -> bool:
    """
    Whether a test has left the connection inside a transaction, which is over then: else all later tests would fail.
    """
    connection = connections[alias]
    was_left = connection.in_atomic_block
    if was_left:
        connection.in_atomic_block = connection.closed_in_transaction = False
        with suppress(Error):
            connection.close()
    return was_left


def flush(alias: str) -> None:
    """Delete all rows of the database `alias`, but for content types and permissions."""
    connection = connections[alias]
    quote = connection.ops.quote_name
    filled = filled_tables(
        alias, {model._meta.db_table for model in apps.get_models(include_auto_created=True)}
    )
    if filled <= KEPT:
        return
    with (
        connection.constraint_checks_disabled(),
        transaction.atomic(using=alias),
        backend_for(connection).capture_off(),
        connection.cursor() as cursor,
    ):
        for table in sorted(filled - KEPT):
            cursor.execute(f"DELETE FROM {quote(table)}", None)


def filled_tables(alias: str, tables: Iterable[str]) -> set[str]:
    """Those of the tables that are there and have rows, by two statements."""
    connection = connections[alias]
    quote = connection.ops.quote_name
    with connection.cursor() as cursor:
        wanted = sorted({*tables} & {table.name for table in connection.introspection.get_table_list(cursor)})
        asked = (
            f"SELECT {number} WHERE EXISTS (SELECT 1 FROM {quote(table)})"
            for number, table in enumerate(wanted)
        )
        cursor.execute(" UNION ALL ".join(asked), None)
        return {wanted[number] for (number,) in cursor.fetchall()}
