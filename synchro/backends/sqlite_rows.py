"""SQLite: how rows are read and written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from itertools import chain
from math import isnan
from operator import itemgetter
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.translation import gettext as _

from synchro.backends.abilities import RawRows, ReservedKeys
from synchro.backends.digests import Digests
from synchro.backends.digests.sqlite import SQLiteDigests
from synchro.backends.exact import (
    Reading,
    exact_date,
    exact_decimal,
    exact_moment,
    exact_time,
    exact_truth,
    finite_decimal,
)
from synchro.backends.rows import Convert, PairsTable, Row, Rows, Unfit, chunks, quoted, whole_range
from synchro.keys import INTEGERS, TEXTS, AnyField

#: What SQLite keeps of a decimal, which it stores as a float.
DIGITS = 15

#: How many values a statement that inserts has; any SQLite takes 999.
VALUES_OF_AN_INSERT = 600

#: SQLite holds values of any type in a column of any type. The sign makes an expression of the column, which has no
#: declared type that the driver would convert.
WHOLE, TEXT = Reading(types=frozenset({int})), Reading(types=frozenset({str}))

READINGS = {
    "DateField": Reading("+{}", exact_date),
    "DateTimeField": Reading("+{}", exact_moment),
    "TimeField": Reading("+{}", exact_time),
    "BooleanField": Reading("+{}", exact_truth),
    "BinaryField": Reading(types=frozenset({bytes})),
    "DurationField": WHOLE,
    "FloatField": Reading(types=frozenset({float, int})),
    "GenericIPAddressField": TEXT,
    "JSONField": TEXT,
    "UUIDField": TEXT,
    **dict.fromkeys(TEXTS, TEXT),
}


class SQLiteRows(Rows, RawRows, ReservedKeys):
    defers_foreign_keys = True
    supports_reserved_keys = True
    supports_raw_rows = True
    bytes_of = "LENGTH(CAST({} AS BLOB))"
    highest_integer = 2**63 - 1

    def reading(self, field: AnyField) -> Reading | None:
        kind = field.get_internal_type()
        if kind == "DecimalField":
            return Reading(convert=partial(exact_decimal, places=field.decimal_places))
        return WHOLE if kind in INTEGERS else READINGS.get(kind)

    def encoder(self, field: AnyField) -> Convert | None:
        match field.get_internal_type():
            case "BooleanField":
                return _truth
            case "FloatField":
                return _number
            case "DecimalField":
                return partial(_decimal, digits=field.max_digits, places=field.decimal_places)
        return None

    def key_condition(self, key: Sequence[str], keys: Sequence[Row]) -> tuple[str, Sequence[Any]]:
        if len(key) == 1:
            values = [value for (value,) in keys]
            types = set(map(type, values))
            # One value instead of thousands, whose places Django would count.
            if types == {int} and not whole_range(keys):
                return f"{quoted(self.connection, key[0])} IN (SELECT value FROM json_each(%s))", [
                    str(values)
                ]
            if types == {str} and "".join(values).isalnum():
                texts = json.dumps(values, ensure_ascii=False)
                return f"{quoted(self.connection, key[0])} IN (SELECT value FROM json_each(%s))", [texts]
            return super().key_condition(key, keys)
        names = ", ".join(quoted(self.connection, column) for column in key)
        one = f"({', '.join(['%s'] * len(key))})"
        return f"({names}) IN (VALUES {', '.join([one] * len(keys))})", list(chain.from_iterable(keys))

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        # Statements of many rows: each one writes down the highest automatic key.
        size = max(1, VALUES_OF_AN_INSERT // len(columns))
        several = len(rows) // size * size
        with self.connection.cursor() as cursor:
            for part, count in ((rows[:several], size), (rows[several:], 1)):
                if part:
                    sql, _ = self.insert_sql(table, columns, part[:count])
                    cursor.executemany(sql, [list(chain.from_iterable(each)) for each in chunks(part, count)])

    def put_pairs(self, place: PairsTable, pairs: Mapping[int, int]) -> None:
        names = ", ".join(quoted(self.connection, column) for column in (*place.columns, *place.fixed))
        values = "".join(f", {value:d}" for value in place.fixed.values())
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"INSERT OR REPLACE INTO {quoted(self.connection, place.name)} ({names}) "
                f"SELECT key, value{values} FROM json_each(%s)",
                [json.dumps(pairs)],
            )

    @contextmanager
    def without_foreign_key_checks(self) -> Iterator[None]:
        # Also for a foreign key that somebody made by hand; until the end of the transaction, which checks it.
        with self.connection.cursor() as cursor:
            cursor.execute("PRAGMA defer_foreign_keys = ON")
        yield

    server_cascades_sql = (
        'SELECT child.name, pointing.id, pointing."from", pointing."table", pointing."to", pointing.on_delete, '
        "pointing.on_update FROM sqlite_master AS child, pragma_foreign_key_list(child.name) AS pointing "
        "WHERE child.type = 'table' AND (pointing.on_delete NOT IN ('NO ACTION', 'RESTRICT') "
        "OR pointing.on_update NOT IN ('NO ACTION', 'RESTRICT')) ORDER BY 1, 2, pointing.seq"
    )

    def is_cascading(self, table: str) -> bool:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT 1 FROM sqlite_master AS child, pragma_foreign_key_list(child.name) AS pointing "
                "WHERE child.type = 'table' AND lower(pointing.\"table\") = lower(%s) "
                "AND pointing.on_delete IN ('CASCADE', 'SET NULL', 'SET DEFAULT') LIMIT 1",
                [table],
            )
            return cursor.fetchone() is not None

    def other_columns(self, table: str, known: Sequence[str]) -> list[str]:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT name FROM pragma_table_xinfo(%s) WHERE hidden = 0 "
                "AND lower(name) NOT IN (SELECT lower(value) FROM json_each(%s)) ORDER BY cid",
                [table, json.dumps([*known])],
            )
            return [name for (name,) in cursor.fetchall()]

    def update(
        self,
        table: str,
        columns: Sequence[str],
        key: Sequence[str],
        rows: Sequence[Row],
    ) -> int:
        values = [column for column in columns if column not in key]
        return self._update(table, values, key, columns, rows) if values else len(rows)

    def _update(
        self,
        table: str,
        values: Sequence[str],
        key: Sequence[str],
        columns: Sequence[str],
        rows: Sequence[Row],
    ) -> int:
        """Set the `values` in the rows with this key, and return how many there were; `rows` have all `columns`."""
        assignments = ", ".join(f"{quoted(self.connection, column)} = %s" for column in values)
        condition = " AND ".join(f"{quoted(self.connection, column)} = %s" for column in key)
        pick = itemgetter(*(columns.index(column) for column in (*values, *key)))
        with self.connection.cursor() as cursor:
            cursor.executemany(
                f"UPDATE {quoted(self.connection, table)} SET {assignments} WHERE {condition}",
                list(map(pick, rows)),
            )
            return int(cursor.rowcount)

    def digests(self, stranger: str) -> Digests:
        return SQLiteDigests(self.connection, stranger)

    def reads_raw_for(self, there: BaseDatabaseWrapper) -> bool:
        return self.connection.vendor == there.vendor and self.connection.timezone_name == there.timezone_name

    def read_raw(self, table: str, columns: Sequence[str], keys: Sequence[Row]) -> list[tuple[Any, ...]]:
        # The sign makes expressions of the columns, which have no declared type that the driver would convert.
        names = ", ".join(f"+{quoted(self.connection, column)}" for column in columns)
        start = f"SELECT {names} FROM {quoted(self.connection, table)} WHERE "
        rows: list[tuple[Any, ...]] = []
        with self.connection.cursor() as cursor:
            for part in chunks(keys, self.key_chunk(1)):
                condition, values = self.key_condition(columns[:1], part)
                cursor.execute(start + condition, values)
                rows += cursor.fetchall()
        return rows

    def raw_keys(self, rows: Sequence[Row]) -> list[str]:
        return [str(row[0]) for row in rows]

    def with_raw_keys(self, rows: Sequence[Row], keys: Sequence[int]) -> list[Row]:
        return [(key, *row[1:]) for key, row in zip(keys, rows, strict=True)]

    def raw_numbers(self, rows: Sequence[Row], count: int) -> list[list[int | None]]:
        return [[row[place] for row in rows] for place in range(count)]

    def with_raw_numbers(self, rows: Sequence[Row], columns: Sequence[Sequence[int | None]]) -> list[Row]:
        count = len(columns)
        return [(*numbers, *row[count:]) for row, *numbers in zip(rows, *columns, strict=True)]

    insert_raw = insert

    def change(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Row],
    ) -> list[int]:
        # Most often all are there, and an update that finds them all says so.
        own, *values = columns
        if values and self._update(table, values, [own], columns, rows) == len(rows):
            return []
        return super().change(table, [own], rows)

    change_raw = change

    def reserve_keys(self, table: str, column: str, count: int, above: int) -> list[int]:
        # The transaction holds the only write lock, so nobody else can take these.
        quote = self.connection.ops.quote_name
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT COALESCE(MAX({quote(column)}), 0) FROM {quote(table)}")
            last = max(above, cursor.fetchone()[0])
            cursor.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'")
            if cursor.fetchone():
                cursor.execute("SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = %s", [table])
                last = max(last, cursor.fetchone()[0])
        return list(range(last + 1, last + 1 + count))


def _number(value: float) -> float:
    if isnan(value):
        raise Unfit(_("REMOTE holds NULL in place of what is no number"))
    return value


def _truth(value: Any) -> Any:
    if value not in (0, 1):
        raise Unfit(_("it is neither true nor false"))
    return value


def _decimal(value: Decimal, digits: int | None, places: int | None) -> Any:
    if value.is_finite() and len(value.normalize().as_tuple().digits) > DIGITS:
        raise Unfit(_("SQLite holds no more than 15 digits of a decimal"))
    return finite_decimal(value, digits, places)
