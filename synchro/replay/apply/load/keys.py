"""The rows of a table in the order of its primary key, and the SQL that picks those of a part of a load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Model

from synchro.backends.base import quoted
from synchro.keys import AnyField, Key, key_fields
from synchro.replay.columns import Codec
from synchro.replay.log.batch_size import SAMPLE, has_wide_columns, rows_that_fit
from synchro.replay.log.loads import LoadPart, Place, order_of
from synchro.replay.rows import as_key
from synchro.replay.session import Database

#: SQL, and the values to bind.
Condition = tuple[str, list[Any]]


def condition_of(
    database: Database, model: type[Model], after: Place | None, upto: Place | None
) -> Condition:
    """Return what is true of the rows that come after one place, and not after the other."""
    sql = "1 = 1"
    values: list[Any] = []
    for place, sign, last in ((after, ">", ">"), (upto, "<", "<=")):
        if place is not None:
            more, bound = _beside(database, order_of(model), place, sign, last)
            sql, values = f"{sql} AND {more}", [*values, *bound]
    return sql, values


def _beside(database: Database, order: Sequence[AnyField], place: Place, sign: str, last: str) -> Condition:
    """
    Compare column by column.

    Of rows of values compared at once, some servers use no index.
    """
    connection = database.connection
    (value,) = Codec(order[:1], connection).encode_all([place[:1]])[0]
    column = quoted(connection, order[0].column)
    if len(order) == 1:
        return f"{column} {last} %s", [value]
    more, values = _beside(database, order[1:], place[1:], sign, last)
    return f"{column} {sign}= %s AND ({column} {sign} %s OR {more})", [value, value, *values]


def end_of_rows(
    database: Database, model: type[Model], after: Place | None, size: int, upto: Place | None = None
) -> Place | None:
    """Return the place of the row that comes `size` rows after another, or of the last one; None where none comes."""
    found = _places(
        database, model, condition_of(database, model, after, upto), f"LIMIT 1 OFFSET {size - 1:d}"
    )
    if not found:
        found = _places(database, model, condition_of(database, model, after, upto), "LIMIT 1", " DESC")
    return found[0] if found else None


def _places(
    database: Database, model: type[Model], condition: Condition, limit: str, direction: str = ""
) -> list[Place]:
    order = order_of(model)
    codec = Codec(order, database.connection)
    names = _names(database, order, codec)
    by = ", ".join(quoted(database.connection, field.column) + direction for field in order)
    rows = _fetch(database, model, names, condition, f"ORDER BY {by} {limit}")
    return [tuple(row) for row in codec.decode_all(rows)]


def keys_of_part(database: Database, part: LoadPart) -> list[Key]:
    """Return the keys of the rows of a part, in the order of its primary key."""
    return _keys(database, part.model, condition_of(database, part.model, part.after, part.upto))


def _keys(database: Database, model: type[Model], condition: Condition, limit: str = "") -> list[Key]:
    own, order = key_fields(model), order_of(model)
    codec = Codec(own, database.connection)
    by = ", ".join(quoted(database.connection, field.column) for field in order)
    rows = _fetch(database, model, _names(database, own, codec), condition, f"ORDER BY {by} {limit}")
    return [as_key(row) for row in codec.decode_all(rows)]


def end_of_fitting_rows(
    database: Database, model: type[Model], after: Place | None, most: int, upto: Place | None = None
) -> Place | None:
    """Return the same for as many rows, `most` at the most, as memory is to hold at once."""
    if has_wide_columns(model):
        sample = _keys(database, model, condition_of(database, model, after, upto), f"LIMIT {SAMPLE:d}")
        most = rows_that_fit(database, model, sample, most)
    return end_of_rows(database, model, after, most, upto)


def has_rows(database: Database, model: type[Model], after: Place | None, upto: Place | None) -> bool:
    """Return whether the table has a row between these places."""
    return bool(_fetch(database, model, "1", condition_of(database, model, after, upto), "LIMIT 1"))


def count_rows(database: Database, model: type[Model], after: Place | None = None) -> int:
    """Return how many rows come after a place."""
    ((count,),) = _fetch(database, model, "COUNT(*)", condition_of(database, model, after, None), "")
    return int(count)


def _names(database: Database, fields: Sequence[AnyField], codec: Codec) -> str:
    return ", ".join(
        codec.spelled.get(field.column, "{}").format(quoted(database.connection, field.column))
        for field in fields
    )


def _fetch(
    database: Database, model: type[Model], names: str, condition: Condition, end: str
) -> list[tuple[Any, ...]]:
    sql, values = condition
    with database.connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {names} FROM {quoted(database.connection, model._meta.db_table)} WHERE {sql} {end}",
            values,
        )
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found
