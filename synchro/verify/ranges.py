"""The keys of a table, in parts, in the order of its primary key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import Model

from synchro.backends.base import quoted
from synchro.keys import AnyField, Key, key_fields
from synchro.replay.columns import Codec
from synchro.replay.rows import as_key
from synchro.replay.session import Database

#: How many rows are compared at once.
PART = 5_000


def parts_of_keys(
    database: Database, model: type[Model], size: int = PART, between: tuple[int, int] | None = None
) -> Iterator[list[Key]]:
    """
    Yield the keys of all rows of the table, `size` at a time; memory does not grow with the table.

    With `between`, only keys from the one number to the other.

    Each part is a statement of its own. Rows that are added or deleted meanwhile may be in it or not.
    """
    order, own = _order(model), key_fields(model)
    fields = [*order, *(field for field in own if field not in order)]
    codec, place = Codec(fields, database.connection), [fields.index(field) for field in own]
    last: Sequence[Any] | None = None if between is None else [between[0] - 1]
    while True:
        rows = codec.decode_all(_select(database, model, fields, order, codec, last, size))
        if between is not None:
            rows = [row for row in rows if row[0] <= between[1]]
        if rows:
            yield [as_key([row[number] for number in place]) for row in rows]
        if len(rows) < size:
            return
        last = rows[-1][: len(order)]


def _order(model: type[Model]) -> list[AnyField]:
    """Return the columns of the primary key, which an index orders; an automatic table's own is its number."""
    pk: Any = model._meta.pk
    return list(getattr(pk, "fields", None) or [pk])


def _select(
    database: Database,
    model: type[Model],
    fields: Sequence[AnyField],
    order: Sequence[AnyField],
    codec: Codec,
    last: Sequence[Any] | None,
    size: int,
) -> list[tuple[Any, ...]]:
    connection = database.connection
    names = ", ".join(
        codec.spelled.get(field.column, "{}").format(quoted(connection, field.column)) for field in fields
    )
    keys = ", ".join(quoted(connection, field.column) for field in order)
    condition, values = "", []
    if last is not None:
        values = list(Codec(order, connection).encode_all([last])[0])
        places = ", ".join(["%s"] * len(values))
        condition = f" WHERE ({keys}) > ({places})"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {names} FROM {quoted(connection, model._meta.db_table)}{condition} "
            f"ORDER BY {keys} LIMIT {int(size)}",
            values,
        )
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found
