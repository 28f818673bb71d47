"""
Unique values that REMOTE takes for equal: they differ in case, accents or blanks only.

REMOTE itself is asked, in a temporary table of its own columns, since no other knows its collations. It is dropped
with the session; no table of the project is written to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

from django.db import DatabaseError, transaction
from django.db.models import UniqueConstraint

from synchro import stopping
from synchro.backends.base import quoted
from synchro.backends.inspection import Column, inspection_of
from synchro.keys import AnyField
from synchro.move.findings import Finding
from synchro.registry import Table
from synchro.replay.columns import Codec
from synchro.replay.rows import as_values, select
from synchro.replay.session import Database, Databases
from synchro.verify.ranges import parts_of_keys


def collisions(
    databases: Databases, table: Table, local: Mapping[str, Column], remote: Mapping[str, Column]
) -> Iterator[Finding]:
    """Yield a finding for each unique constraint of REMOTE that would refuse rows of LOCAL for its collation."""
    fields = {field.column: field for field in table.fields if field.column in local}
    for columns in sorted(_unique_columns(databases.remote, table)):
        loose = [
            name
            for name in columns
            if name in fields and remote[name].is_loose and remote[name].collation != local[name].collation
        ]
        if not loose or not all(name in fields for name in columns):
            continue
        label, place = table.model._meta.label, ", ".join(columns)
        try:
            count = _colliding(databases, table, [fields[name] for name in columns], remote)
        except DatabaseError as error:
            if databases.remote.backend.is_transient(error):
                raise
            yield Finding(
                f"REMOTE could not be asked which values it takes for equal ({type(error).__name__}): let its "
                "account make temporary tables",
                label,
                place,
                is_serious=False,
            )
            continue
        if count:
            yield Finding(
                "unique on LOCAL, and equal to one of another row on REMOTE, whose collation "
                f"({', '.join(sorted({str(remote[name].collation) for name in loose}))}) does not tell case, accents "
                "or blanks apart",
                label,
                place,
                count,
            )


def _unique_columns(database: Database, table: Table) -> set[tuple[str, ...]]:
    """Return the columns of the unique constraints that hold for all rows."""
    partial = {
        constraint.name
        for constraint in table.model._meta.constraints
        if isinstance(constraint, UniqueConstraint) and constraint.condition is not None
    }
    with database.connection.cursor() as cursor:
        found = database.connection.introspection.get_constraints(cursor, table.name)
    return {
        tuple(each["columns"])
        for name, each in found.items()
        if (each.get("unique") or each.get("primary_key"))
        and name not in partial
        and each.get("columns")
        and None not in each["columns"]
    }


def _colliding(
    databases: Databases, table: Table, fields: Sequence[AnyField], remote: Mapping[str, Column]
) -> int:
    """Return how many rows have a value that REMOTE takes for that of another row."""
    database, columns = databases.remote, [field.column for field in fields]
    quote, asks = database.connection.ops.quote_name, inspection_of(database.connection)
    names = ", ".join(map(quote, columns))
    spelled = ", ".join(asks.by_collation(quote(name), remote[name]) for name in columns)
    given = " AND ".join(f"{quote(name)} IS NOT NULL" for name in columns)
    # Whoever has a table of this name: it is another one.
    temporary = f"synchro_move_{uuid4().hex}"
    # In a transaction, which a pooler gives to one session.
    with transaction.atomic(using=database.alias), database.connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TEMPORARY TABLE {quote(temporary)} AS SELECT {names} FROM "
            f"{quoted(database.connection, table.name)} WHERE 1 = 0"
        )
        for rows in _values(databases, table, fields):
            database.backend.insert(temporary, columns, rows)
        cursor.execute(
            f"SELECT COALESCE(SUM(n), 0) FROM (SELECT COUNT(*) AS n FROM {quote(temporary)} WHERE {given} "
            f"GROUP BY {spelled} HAVING COUNT(*) > 1) AS several"
        )
        count = int(cursor.fetchone()[0])
        cursor.execute(f"DROP TABLE {quote(temporary)}")
    return count


def _values(
    databases: Databases, table: Table, fields: Sequence[AnyField]
) -> Iterator[Sequence[Sequence[Any]]]:
    """Yield LOCAL's values of these fields, as REMOTE's driver takes them, a part of the rows at a time."""
    codec = Codec(fields, databases.remote.connection)
    for keys in parts_of_keys(databases.local, table.model):
        if stopping.is_asked():
            return
        rows = select(
            databases.local, table.model, fields, table.key_fields, [as_values(key) for key in keys]
        )
        yield [encoded for row in rows if (encoded := _encoded(codec, row)) is not None]


def _encoded(codec: Codec, row: Sequence[Any]) -> Sequence[Any] | None:
    """Return None for what REMOTE's column does not hold anyway, which other questions ask for."""
    try:
        return codec.encode(row)
    except (ValueError, TypeError, ArithmeticError):
        return None
