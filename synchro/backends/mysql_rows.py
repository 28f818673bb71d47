"""MySQL and MariaDB: how rows are read and written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from math import isinf, isnan
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.translation import gettext as _

from synchro.backends.digests import Digests
from synchro.backends.digests.mysql import MySQLDigests
from synchro.backends.exact import Reading, exact_date, exact_moment, exact_time, finite_decimal
from synchro.backends.narrow import Described, described
from synchro.backends.packets import fitting
from synchro.backends.rows import INCOMING, Convert, PairsTable, Row, Rows, Unfit, quoted, whole_range
from synchro.keys import AnyField

#: What in a text may be a number of JSON that a float does not hold.
LONG_NUMBER = re.compile(r"[\d.]{17}|\d[eE][+-]?\d\d")

#: How many pairs of keys a statement has; each takes some sixty bytes.
PAIRS = 5000

#: The driver gives NULL for dates that do not exist, and the server six digits of a FLOAT.
READINGS = {
    "DateField": Reading("CAST({} AS CHAR)", exact_date),
    "DateTimeField": Reading("CAST({} AS CHAR)", exact_moment),
    "TimeField": Reading("CAST({} AS CHAR)", exact_time),
    "FloatField": Reading("{} * 1e0"),
}


class MySQLRows(Rows):
    #: Whether long whole numbers in JSON become floats.
    rounds_json = True
    defers_foreign_keys = False
    lock_clause = " FOR UPDATE"

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        super().__init__(connection)
        #: How many bytes the server takes in one statement; None until it was asked.
        self._packet: int | None = None

    def reading(self, field: AnyField) -> Reading | None:
        return READINGS.get(field.get_internal_type())

    def equates_texts(self, field: AnyField) -> bool:
        return True

    def encoder(self, field: AnyField) -> Convert | None:
        match field.get_internal_type():
            case "FloatField":
                return _finite
            case "DecimalField":
                return partial(finite_decimal, digits=field.max_digits, places=field.decimal_places)
            case "JSONField" if self.rounds_json:
                return _json
        return None

    def describe(self, tables: Sequence[str]) -> Mapping[str, Mapping[str, Described]]:
        found = described(self.connection, "DATABASE()", tables)
        # Some servers keep all names of tables in lower case.
        return {table: found.get(table) or found.get(table.lower(), {}) for table in tables}

    def key_condition(self, key: Sequence[str], keys: Sequence[Row]) -> tuple[str, Sequence[Any]]:
        if len(key) == 1 and (digits := _digits([value for (value,) in keys])) and not whole_range(keys):
            # The driver takes longer to make text of each than the server takes to find it.
            return f"{quoted(self.connection, key[0])} IN ({digits})", []
        return super().key_condition(key, keys)

    def put_pairs(self, place: PairsTable, pairs: Mapping[int, int]) -> None:
        names = ", ".join(quoted(self.connection, column) for column in (*place.columns, *place.fixed))
        start = f"REPLACE INTO {quoted(self.connection, place.name)} ({names}) VALUES "
        end = "".join(f", {value:d}" for value in place.fixed.values())
        rows = [f"({one:d}, {other:d}{end})" for one, other in pairs.items()]
        with self.connection.cursor() as cursor:
            for part in range(0, len(rows), PAIRS):
                cursor.execute(start + ", ".join(rows[part : part + PAIRS]), [])

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        with self.connection.cursor() as cursor:
            for part in self._fitting(columns, rows):
                cursor.execute(*self.insert_sql(table, columns, part))

    def _fitting(self, columns: Sequence[str], rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
        most_rows = max(1, self.max_values // max(1, len(columns)))
        return fitting(self.connection, rows, most_rows, self.longest_statement())

    def digests(self, stranger: str) -> Digests:
        return MySQLDigests(self.connection, stranger)

    def longest_statement(self) -> int:
        if self._packet is None:
            with self.connection.cursor() as cursor:
                cursor.execute("SELECT @@max_allowed_packet")
                self._packet = int(cursor.fetchone()[0])
        return self._packet

    def insert_returning(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Row],
        key: str,
    ) -> list[int]:
        keys: list[int] = []
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT @@auto_increment_increment")
            step = cursor.fetchone()[0]
            for part in self._fitting(columns, rows):
                # An INSERT whose number of rows is known beforehand gets one unbroken run of keys, in any
                # innodb_autoinc_lock_mode (MySQL manual, "AUTO_INCREMENT Handling in InnoDB").
                cursor.execute(*self.insert_sql(table, columns, part))
                first = cursor.lastrowid
                keys.extend(range(first, first + step * len(part), step))
        return keys

    def other_columns(self, table: str, known: Sequence[str]) -> list[str]:
        with self.connection.cursor() as cursor:
            # A default that is an expression is called DEFAULT_GENERATED.
            cursor.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() "
                "AND table_name = %s AND extra NOT LIKE '%%VIRTUAL%%' AND extra NOT LIKE '%%STORED%%' "
                "AND extra NOT LIKE '%%PERSISTENT%%' AND column_name NOT IN %s ORDER BY ordinal_position",
                [table, tuple(known)],
            )
            return [name for (name,) in cursor.fetchall()]

    def update(
        self,
        table: str,
        columns: Sequence[str],
        key: Sequence[str],
        rows: Sequence[Row],
    ) -> int:
        # Not by INSERT ... ON DUPLICATE KEY UPDATE: it would want values for columns that are not to be touched,
        # fire the triggers of an insertion, and take any row with an equal unique value for the one that is meant.
        values = [column for column in columns if column not in key]
        if not values:
            return len(rows)
        with self._incoming(table, columns, rows):
            # Django has the server count the rows that an UPDATE finds, also those that are equal already. Two of
            # `rows` may be about one, though.
            found = self._update_from_incoming(table, values, key)
            return found if found == len(rows) else self._count_present(table, key)

    def change(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Row],
    ) -> list[int]:
        quote = self.connection.ops.quote_name
        target, incoming, key = quote(table), quote(INCOMING), quote(columns[0])
        own, *values = columns
        with self._incoming(table, columns, rows):
            # Django has the server count the rows that an UPDATE finds, also those that are equal already.
            if values and self._update_from_incoming(table, values, [own]) == len(rows):
                return []
            with self.connection.cursor() as cursor:
                cursor.execute(
                    f"SELECT {incoming}.{key} FROM {incoming} "
                    f"LEFT JOIN {target} ON {target}.{key} = {incoming}.{key} WHERE {target}.{key} IS NULL"
                )
                return [number for (number,) in cursor.fetchall()]

    @contextmanager
    def _incoming(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> Iterator[None]:
        """A temporary table with these rows, of the target's types and collations, without its constraints."""
        quote = self.connection.ops.quote_name
        incoming, names = quote(INCOMING), ", ".join(map(quote, columns))
        with self.connection.cursor() as cursor:
            # This does not commit.
            cursor.execute(f"CREATE TEMPORARY TABLE {incoming} AS SELECT {names} FROM {quote(table)} LIMIT 0")
        try:
            self.insert(INCOMING, columns, rows)
            yield
        finally:
            with self.connection.cursor() as cursor:
                cursor.execute(f"DROP TEMPORARY TABLE {incoming}")

    def _update_from_incoming(self, table: str, values: Sequence[str], key: Sequence[str]) -> int:
        """Returns how many rows there were."""
        quote = self.connection.ops.quote_name
        target, incoming = quote(table), quote(INCOMING)
        same_key = " AND ".join(f"{target}.{quote(c)} = {incoming}.{quote(c)}" for c in key)
        assignments = ", ".join(f"{target}.{quote(c)} = {incoming}.{quote(c)}" for c in values)
        with self.connection.cursor() as cursor:
            cursor.execute(f"UPDATE {target} JOIN {incoming} ON {same_key} SET {assignments}")
            return int(cursor.rowcount)

    @contextmanager
    def without_foreign_key_checks(self) -> Iterator[None]:
        changed = self.connection.disable_constraint_checking()
        try:
            yield
        finally:
            if changed:
                self.connection.enable_constraint_checking()


def _digits(values: Sequence[Any]) -> str:
    """The values as they stand in a list, where all are whole numbers, or all texts of digits; else nothing."""
    types = set(map(type, values))
    if types == {int}:
        return ", ".join(map(str, values))
    if types == {str} and (text := "".join(values)).isascii() and text.isdecimal():
        return "'" + "', '".join(values) + "'"
    return ""


def _finite(value: float) -> float:
    if isnan(value) or isinf(value):
        raise Unfit(_("REMOTE holds finite numbers only"))
    return value


def _json(value: Any) -> Any:
    if isinstance(value, str) and LONG_NUMBER.search(value):
        json.loads(value, parse_int=_int_in_json, parse_float=_float_in_json)
    return value


def _int_in_json(text: str) -> None:
    number = int(text)
    # Others it holds as it holds a fraction, and spells them with as many digits as tell it from its neighbours.
    if not -(2**63) <= number < 2**64 and (len(text) > 309 or Decimal(repr(float(number))) != number):
        raise Unfit(_("MySQL holds no whole number of so many digits in JSON"))


def _float_in_json(text: str) -> None:
    number = float(text)
    if isinf(number) or Decimal(repr(number)) != Decimal(text):
        raise Unfit(_("MySQL holds no number of so many digits in JSON"))
