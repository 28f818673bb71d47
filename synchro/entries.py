"""
Writing entries: one INSERT for the changes of a model, in the transaction that is open.

The content type is looked up by that very statement, by its name. A number that a process remembers says something
else once its database was replaced by another copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.conf import LOCAL
from synchro.fields import DatabaseNow
from synchro.models import ChangeLog

#: How many entries one statement writes at the most.
AT_ONCE = 100
COLUMNS = ("content_type_id", "object_id", "date", "action", "fields", "natural_key", "members")


class ModelName(NamedTuple):
    """What a content type is known by."""

    app_label: str
    model: str


class NewEntry(NamedTuple):
    """What an entry says of one object; the names in `fields` have commas between them."""

    object_id: str
    action: int
    fields: str | None = None
    natural_key: str | None = None
    members: str | None = None


def write_entries(name: ModelName, entries: Sequence[NewEntry], create: bool = True) -> None:
    """
    Write entries of objects of one model into LOCAL's log.

    With `create`, its content type is made where there is none; else nothing is written then.
    """
    connection = connections[LOCAL]
    for start in range(0, len(entries), AT_ONCE):
        part = entries[start : start + AT_ONCE]
        if not _insert(connection, name, part) and create:
            ContentType.objects.using(LOCAL).get_or_create(**name._asdict())
            _insert(connection, name, part)


def _insert(connection: BaseDatabaseWrapper, name: ModelName, entries: Sequence[NewEntry]) -> int:
    now, moment = _now(connection)
    params: list[Any] = []
    for entry in entries:
        params += [entry.object_id, *moment, *entry[1:], *name]
    with connection.cursor() as cursor:
        cursor.execute(_statement(connection.vendor, now, len(entries)), params)
        return int(cursor.rowcount)


def _now(connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
    """The database's clock in SQL, as Django's compiler writes it."""
    written: tuple[str, list[Any]] = getattr(DatabaseNow(), f"as_{connection.vendor}")(None, connection)
    return written


@lru_cache(maxsize=1000)
def _statement(vendor: str, now: str, count: int) -> str:  # noqa: ARG001  the quotes are the vendor's
    quote = connections[LOCAL].ops.quote_name
    log, types = quote(ChangeLog._meta.db_table), quote(ContentType._meta.db_table)
    one = (
        f"SELECT {quote('id')}, %s, {now}, %s, %s, %s, %s FROM {types} "
        f"WHERE {quote('app_label')} = %s AND {quote('model')} = %s"
    )
    return f"INSERT INTO {log} ({', '.join(map(quote, COLUMNS))}) {' UNION ALL '.join([one] * count)}"
