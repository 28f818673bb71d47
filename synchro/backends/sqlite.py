"""SQLite: one writer at a time, no server."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from hashlib import blake2b
from itertools import chain
from math import isnan
from operator import itemgetter
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.translation import gettext as _

from synchro.backends.base import Backend, Convert, PairsTable, Row, Unfit, chunks, quoted, whole_range
from synchro.backends.capture import StatementSwitch
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
from synchro.backends.foreign import ForeignTrigger
from synchro.keys import INTEGERS, TEXTS, AnyField

_memory_locks: dict[str, threading.Lock] = {}


#: A trigger up to its statements; and what makes a write vanish without an error, which is no refusal.
BEGINNING = re.compile(r".*?\bBEGIN\b", re.IGNORECASE | re.DOTALL)
IGNORED = re.compile(r"\bRAISE\s*\(\s*IGNORE\s*\)", re.IGNORECASE)

#: What SQLite keeps of a decimal, which it stores as a float.
DIGITS = 15

#: What a row may be the reason of: any error of a statement, a value that is too long, a constraint, a type that the
#: column does not take, a range.
OF_A_ROW = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_RANGE,
}

#: How many values a statement that inserts has; any SQLite takes 999.
VALUES_OF_AN_INSERT = 600


def _code(error: BaseException) -> int | None:
    """SQLite's own number for an error of Django or of the driver, without what it adds for the details."""
    cause = error.__cause__ if isinstance(error, Error) else error
    code: int | None = getattr(cause, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


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


class SQLite(Backend):
    defers_foreign_keys = True
    reserves_keys = True
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

    def passes_rows(self, there: BaseDatabaseWrapper) -> bool:
        return self.connection.vendor == there.vendor and self.connection.timezone_name == there.timezone_name

    def dump(self, table: str, columns: Sequence[str], keys: Sequence[Row]) -> list[tuple[Any, ...]]:
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

    def dumped_keys(self, rows: Sequence[Row]) -> list[str]:
        return [str(row[0]) for row in rows]

    def with_keys(self, rows: Sequence[Row], keys: Sequence[int]) -> list[Row]:
        return [(key, *row[1:]) for key, row in zip(keys, rows, strict=True)]

    def dumped_numbers(self, rows: Sequence[Row], count: int) -> list[list[int | None]]:
        return [[row[place] for row in rows] for place in range(count)]

    def with_numbers(self, rows: Sequence[Row], columns: Sequence[Sequence[int | None]]) -> list[Row]:
        count = len(columns)
        return [(*numbers, *row[count:]) for row, *numbers in zip(rows, *columns, strict=True)]

    insert_dumped = insert

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

    change_dumped = change

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

    @contextmanager
    def capture_off(self) -> Iterator[None]:
        with StatementSwitch.off(self.connection):
            yield

    @contextmanager
    def atomic_write(self) -> Iterator[None]:
        # One that begins by reading cannot wait for the write lock later on.
        self.connection.ensure_connection()
        mode = self.connection.transaction_mode  # type: ignore[attr-defined]
        with ExitStack() as stack:
            self.connection.transaction_mode = "IMMEDIATE"  # type: ignore[attr-defined]
            try:
                stack.enter_context(super().atomic_write())
            finally:
                self.connection.transaction_mode = mode  # type: ignore[attr-defined]
            yield

    def begin_writing(self) -> None:
        # A transaction that begins by reading cannot wait for the write lock later on. This statement changes
        # nothing and takes it, in any database of Django's.
        table = self.connection.ops.quote_name(ContentType._meta.db_table)
        with self.connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {table} WHERE 0")

    def begin_snapshot(self) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM sqlite_master LIMIT 1")  # the moment is that of the first page read

    def is_transient(self, error: BaseException) -> bool:
        return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

    def is_about_the_server(self, error: BaseException) -> bool:
        code = _code(error)
        if (
            code is None
        ):  # the driver's own: a value that it cannot bind, a text that is none, a closed connection
            return not isinstance(error.__cause__, sqlite3.Error) or "closed" in str(error)
        return code not in OF_A_ROW

    def is_full(self, error: BaseException) -> bool:
        return _code(error) == sqlite3.SQLITE_FULL

    switch = re.compile(r"synchro_captureswitch\b", re.IGNORECASE)

    def triggers_on(self, tables: Sequence[str]) -> list[ForeignTrigger]:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'trigger' "
                "AND lower(tbl_name) IN (SELECT lower(value) FROM json_each(%s)) ORDER BY 1, 2",
                [json.dumps([*tables])],
            )
            return [
                ForeignTrigger(table, name, sql, IGNORED.sub("INTO", BEGINNING.sub("", sql, count=1)))
                for table, name, sql in cursor.fetchall()
            ]

    def place(self) -> str:
        return f"sqlite {_file(self.connection)}"[-255:]

    def is_same(self, other: BaseDatabaseWrapper, table: str) -> bool:
        here, there = _file(self.connection), _file(other)
        return here == there or (
            os.path.exists(here) and os.path.exists(there) and os.path.samefile(here, there)
        )

    def now(self) -> datetime:
        return datetime.now(UTC)

    @contextmanager
    def lock(self, name: str) -> Iterator[bool]:
        path = str(self.connection.settings_dict["NAME"])
        digest = blake2b(name.encode(), digest_size=8).hexdigest()
        if self.connection.is_in_memory_db():  # type: ignore[attr-defined]
            lock = _memory_locks.setdefault(f"{path}-{digest}", threading.Lock())
            taken = lock.acquire(blocking=False)
            try:
                yield taken
            finally:
                if taken:
                    lock.release()
            return
        # A database file beside the data, which stays empty: SQLite's own locks end with the process on any system.
        with closing(sqlite3.connect(f"{path}-synchro-{digest}", timeout=0, isolation_level=None)) as guard:
            yield _exclusive(guard)

    def writers(self, table: str) -> frozenset[str] | None:
        # Ids come and go with the one write lock: what is not visible was rolled back.
        return frozenset()


def _file(connection: BaseDatabaseWrapper) -> str:
    """The whole path of the file; of a database in memory, its name."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT file FROM pragma_database_list WHERE name = 'main'")
        path: str = cursor.fetchone()[0]
    return os.path.realpath(path) if path else str(connection.settings_dict["NAME"])


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


def _exclusive(guard: sqlite3.Connection) -> bool:
    try:
        guard.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True
