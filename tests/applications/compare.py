"""
Whether two databases hold the same rows, by their own drivers.

Nothing is asked of synchro, nor of Django. Values that engines spell in their own way are read as the type that
PostgreSQL's column has. Content types and permissions are numbered by each database's own migrations, so what points at
them is compared by their names.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from tests.applications.databases import Database, Postgresql, Row

Column = tuple[str, str]

#: Synchro's tables, and where it keeps `options.last_check`.
SYNCHROS = ("synchro_", "dbsettings_")
#: Each database's own: what its migrations did, and who is logged in there.
OWN = ("django_migrations", "django_session")
CONTENT_TYPES, PERMISSIONS = "django_content_type", "auth_permission"


def _time(value: Any) -> datetime:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _json(value: Any) -> str:
    return json.dumps(json.loads(value) if isinstance(value, str) else value, sort_keys=True)


#: How a value of each of PostgreSQL's types is read, whichever engine it comes from.
READERS: dict[str, Callable[[Any], Any]] = {
    "boolean": bool,
    "bytea": bytes,
    "character varying": str,
    "date": lambda value: date.fromisoformat(value) if isinstance(value, str) else value,
    "double precision": float,
    "inet": str,
    "interval": lambda value: timedelta(microseconds=value) if isinstance(value, int) else value,
    "jsonb": _json,
    "text": str,
    "timestamp with time zone": _time,
    "uuid": lambda value: UUID(str(value)),
    **dict.fromkeys(("bigint", "integer", "smallint"), int),
}


class Contents:
    """All rows of a database, table by table, as `types` and `keys` (of a PostgreSQL one) say."""

    def __init__(self, database: Database, schema: Postgresql, without: Collection[str]) -> None:
        self.types = schema.types()
        self.keys = schema.foreign_keys()
        self.places = schema.places()
        left_out = (*SYNCHROS, *OWN, *(f"{app}_" for app in without))
        tables = [table for table in database.tables() if not table.startswith(left_out)]
        self.tables: dict[str, list[Row]] = {
            table: [self._read(table, row) for row in rows]
            for table, rows in database.contents(tables).items()
        }
        self._name_content_types_and_permissions()
        for table in (CONTENT_TYPES, PERMISSIONS):
            # An engine may have models of its own in such an app.
            self.tables[table] = [row for row in self.tables[table] if not _is_of(row, without)]

    def _read(self, table: str, row: Row) -> Row:
        return {column: self._value(table, column, value) for column, value in row.items()}

    def _value(self, table: str, column: str, value: Any) -> Any:
        if value is None:
            return None
        if (table, column) in self.places:  # SQLite keeps more than the column has
            return round(Decimal(str(value)), self.places[table, column])
        return READERS[self.types[table, column]](value)

    def _name_content_types_and_permissions(self) -> None:
        kinds = {row["id"]: f"{row['app_label']}.{row['model']}" for row in self.tables[CONTENT_TYPES]}
        named: dict[str, dict[Any, str]] = {CONTENT_TYPES: kinds}
        named[PERMISSIONS] = {
            row["id"]: f"{kinds[row['content_type_id']]}.{row['codename']}"
            for row in self.tables[PERMISSIONS]
        }
        for table, rows in self.tables.items():
            for row in rows:
                if table in named:
                    del row["id"]
                for column in row:
                    names = named.get(self.keys.get((table, column), ""))
                    if names is not None and row[column] is not None:
                        row[column] = names[row[column]]
                if _is_set(row):
                    del row["id"]  # a pair has no identity of its own


def _is_set(row: Row) -> bool:
    """Whether this is a row of a many-to-many table that Django made."""
    return len(row) == 3 and "id" in row and all(name == "id" or name.endswith("_id") for name in row)


def _is_of(row: Row, apps: Collection[str]) -> bool:
    """Whether this content type, or permission, is about a model of these apps."""
    name: str = row["app_label"] if "app_label" in row else row["content_type_id"].partition(".")[0]
    return name in apps


def differences(
    local: Database, remote: Postgresql, without: Collection[str] = (), unequal: Collection[str] = ()
) -> list[str]:
    """
    In words: each row, of any table but those of the apps `without`, that one side has and the other has not so.

    What `unequal` names, as ``table`` or ``table.column``, may differ.
    """
    return list(_differences(local, remote, without, unequal))


def _differences(
    local: Database, remote: Postgresql, without: Collection[str], unequal: Collection[str]
) -> Iterator[str]:
    ours, theirs = Contents(local, remote, without).tables, Contents(remote, remote, without).tables
    for table in sorted({*ours, *theirs} - {*unequal}):
        if table not in ours or table not in theirs:
            yield f"{table}: only one side has such a table"
            continue
        left_out = {name.partition(".")[2] for name in unequal if name.startswith(f"{table}.")}
        one, other = (Counter(_frozen(row, left_out) for row in side[table]) for side in (ours, theirs))
        yield from _told(table, _thawed(one - other), _thawed(other - one))


def _frozen(row: Row, left_out: Collection[str]) -> tuple[tuple[str, Any], ...]:
    return tuple((name, row[name]) for name in sorted(row) if name not in left_out)


def _thawed(rows: Counter[tuple[tuple[str, Any], ...]]) -> list[Row]:
    return [dict(row) for row in rows.elements()]


def _told(table: str, ours: list[Row], theirs: list[Row]) -> Iterator[str]:
    """Rows of one key by the columns that differ, the others as a whole."""
    by_key = {row["id"]: row for row in theirs if "id" in row}
    for row in ours:
        other = by_key.pop(row.get("id"), None)
        if other is None:
            yield f"{table}: only on LOCAL: {row}"
        else:
            theirs.remove(other)
            pairs = {name: (row[name], other[name]) for name in row if row[name] != other[name]}
            yield f"{table} {row['id']}: {pairs}"
    yield from (f"{table}: only on REMOTE: {row}" for row in theirs)


def fingerprint(database: Database) -> dict[str, str]:
    """Of each table but synchro's: a hash of all its bytes."""
    tables = [table for table in database.tables() if not table.startswith(SYNCHROS)]
    return {
        table: hashlib.sha256("\n".join(sorted(map(repr, rows))).encode()).hexdigest()
        for table, rows in database.contents(tables).items()
    }
