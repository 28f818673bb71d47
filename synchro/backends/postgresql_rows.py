"""PostgreSQL: how rows are read and written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.translation import gettext as _

from synchro.backends.abilities import ReservedKeys
from synchro.backends.digests import Digests
from synchro.backends.digests.postgresql import PostgreSQLDigests
from synchro.backends.exact import Reading, exact_duration
from synchro.backends.named import by_place
from synchro.backends.narrow import Described, described
from synchro.backends.rows import INCOMING, Row, Rows, quoted, whole_range
from synchro.exceptions import NotReady
from synchro.keys import AnyField

#: What decides how a server spells values, and what a transaction of the replayer sets it to.
SPELLING = {"DateStyle": "ISO, YMD", "IntervalStyle": "postgres"}

#: How many keys of several columns one statement names.
MOST_PAIRS = 3000

#: The numbers of its widest type of integers.
LARGEST = range(-(2**63), 2**63)

#: The one that the default names, whoever owns it; an identity column has no default.
SEQUENCE = """
    SELECT COALESCE(
        (SELECT refobjid::regclass::text FROM pg_attrdef
        JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
        JOIN pg_depend ON classid = 'pg_attrdef'::regclass AND objid = pg_attrdef.oid
        JOIN pg_class AS sequence ON refclassid = 'pg_class'::regclass AND refobjid = sequence.oid AND relkind = 'S'
        WHERE adrelid = %(table)s::regclass AND attname = %(column)s LIMIT 1),
        pg_get_serial_sequence(%(table)s::text, %(column)s::text)
    )
"""

#: Of single precision the server writes only the digits that tell a number from its neighbours. The driver takes a
#: month for 30 days, a year for 365, and an infinite interval for none.
READINGS = {
    "FloatField": Reading("{}::float8"),
    "DurationField": Reading(
        "CASE WHEN isfinite({0}) AND EXTRACT(YEAR FROM {0}) = 0 AND EXTRACT(MONTH FROM {0}) = 0 "
        "THEN TRUNC(EXTRACT(EPOCH FROM {0}) * 1000000)::text WHEN {0} IS NOT NULL THEN 'none' END",
        exact_duration,
    ),
}

#: Of the transaction alone, since a session may go back to a pool, or to a web server: every digit of a float, one
#: spelling of dates, spans of time, bytes and money; and an error in place of a row that a policy hides. (Django asks
#: for its own time zone.)
OWN_SETTINGS = "SELECT " + ", ".join(
    f"set_config('{name}', '{value}', true)"
    for name, value in {
        **SPELLING,
        "extra_float_digits": "3",
        "bytea_output": "hex",
        "lc_monetary": "C",
        "row_security": "off",
    }.items()
)


class PostgreSQLRows(Rows, ReservedKeys):
    defers_foreign_keys = True
    supports_reserved_keys = True
    bytes_of = "OCTET_LENGTH({}::text)"
    # Leaves those alone who only insert rows that point at ours.
    lock_clause = " FOR NO KEY UPDATE"

    def reading(self, field: AnyField) -> Reading | None:
        return READINGS.get(field.get_internal_type())

    def reading_of_type(self, db_type: str | None) -> Reading | None:
        return READINGS["DurationField"] if db_type == "interval" else None

    def spelled_alike(self, there: BaseDatabaseWrapper) -> str | None:
        is_alike = (
            self.connection.vendor == there.vendor and self.connection.timezone_name == there.timezone_name
        )
        return "{}::text" if is_alike else None

    def select(
        self,
        table: str,
        columns: Sequence[str],
        key: Sequence[str],
        keys: Sequence[Row],
        lock: bool = False,
        where: Mapping[str, int] | None = None,
        spelled: Mapping[str, str] | None = None,
    ) -> Iterator[tuple[Any, ...]]:
        with self._own_settings():
            return iter(list(super().select(table, columns, key, keys, lock, where, spelled)))

    @contextmanager
    def _own_settings(self) -> Iterator[None]:
        """Inside, values are spelled as the replayer needs them: in a transaction, unless that is so already."""
        if self.connection.in_atomic_block:
            yield
            return
        with transaction.atomic(using=self.connection.alias):
            with self.connection.cursor() as cursor:
                cursor.execute(OWN_SETTINGS)
            yield

    def findable(self, rows: Sequence[Row]) -> Sequence[Row]:
        # A statement with a NUL character in it is refused, and so is a number that no integer column holds.
        if not any("\0" in value for row in rows for value in row if isinstance(value, str)) and not any(
            value not in LARGEST for row in rows for value in row if isinstance(value, int)
        ):
            return rows
        return [
            row
            for row in rows
            if not any("\0" in value for value in row if isinstance(value, str))
            and all(value in LARGEST for value in row if isinstance(value, int))
        ]

    def describe(self, tables: Sequence[str]) -> Mapping[str, Mapping[str, Described]]:
        return described(self.connection, "CURRENT_SCHEMA()", tables)

    def key_condition(self, key: Sequence[str], keys: Sequence[Row]) -> tuple[str, Sequence[Any]]:
        if whole_range(keys):
            return super().key_condition(key, keys)
        if len(key) > 1:
            return self._pair_condition(key, keys)
        values = [value for (value,) in keys]
        # One literal, whose type PostgreSQL finds out by itself, takes less time than an adapted list.
        if set(map(type, values)) == {int}:
            # The type that is found out may be too small for a key that only the other database can hold.
            wide = "::bigint[]" if max(values) >= 2**31 or min(values) < -(2**31) else ""
            return f"{quoted(self.connection, key[0])} = ANY(%s{wide})", [
                "{" + ",".join(map(str, values)) + "}"
            ]
        if set(map(type, values)) == {str} and "".join(values).isalnum():
            return f"{quoted(self.connection, key[0])} = ANY(%s)", ['{"' + '","'.join(values) + '"}']
        return f"{quoted(self.connection, key[0])} = ANY(%s)", [values]

    def _pair_condition(self, key: Sequence[str], keys: Sequence[Row]) -> tuple[str, Sequence[Any]]:
        """The same for keys of several columns: arrays of whole numbers, else a list of keys."""
        columns = list(zip(*keys, strict=True))
        if {type(value) for column in columns for value in column} != {int}:
            return super().key_condition(key, keys)
        names = ", ".join(quoted(self.connection, column) for column in key)
        arrays = ", ".join(["%s::bigint[]"] * len(key))
        return f"({names}) IN (SELECT * FROM unnest({arrays}))", [
            "{" + ",".join(map(str, column)) + "}" for column in columns
        ]

    def key_chunk(self, width: int) -> int:
        # Each key in a list of keys of several columns takes some of the server's stack, of which there is little.
        return super().key_chunk(width) if width == 1 else MOST_PAIRS

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        quote = self.connection.ops.quote_name
        sql = f"COPY {quote(table)} ({', '.join(map(quote, columns))}) FROM STDIN"
        with (
            self.connection.cursor() as cursor,
            self.connection.wrap_database_errors,
            cursor.copy(sql) as copy,
        ):
            for row in rows:
                copy.write_row(row)

    server_cascades_sql = """
        SELECT child.relname, made.conname, near.attname, parent.relname, far.attname,
            CASE made.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT'
                ELSE 'NO ACTION' END,
            CASE made.confupdtype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT'
                ELSE 'NO ACTION' END
        FROM pg_constraint AS made
        JOIN pg_class AS child ON child.oid = made.conrelid
        JOIN pg_class AS parent ON parent.oid = made.confrelid
        CROSS JOIN LATERAL unnest(made.conkey, made.confkey) WITH ORDINALITY AS pair (near, far, place)
        JOIN pg_attribute AS near ON near.attrelid = made.conrelid AND near.attnum = pair.near
        JOIN pg_attribute AS far ON far.attrelid = made.confrelid AND far.attnum = pair.far
        WHERE made.contype = 'f' AND (made.confdeltype IN ('c', 'n', 'd') OR made.confupdtype IN ('c', 'n', 'd'))
            AND pg_table_is_visible(child.oid)
        ORDER BY child.relname, made.conname, pair.place
    """

    def is_cascading(self, table: str) -> bool:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT 1 FROM pg_constraint WHERE contype = 'f' AND confrelid = %s::regclass "
                "AND confdeltype IN ('c', 'n', 'd') LIMIT 1",
                [self.connection.ops.quote_name(table)],
            )
            return cursor.fetchone() is not None

    def other_columns(self, table: str, known: Sequence[str]) -> list[str]:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 "
                "AND NOT attisdropped AND attgenerated = '' AND attname <> ALL(%s) ORDER BY attnum",
                [self.connection.ops.quote_name(table), [*known]],
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
        if not values:
            return len(rows)
        with self._incoming(table, columns):
            self.insert(INCOMING, columns, rows)
            changed = self._update_from_incoming(table, values, key)
            return changed if changed == len(rows) else self._count_present(table, key)

    def change(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Row],
    ) -> list[int]:
        with self._incoming(table, columns):
            self.insert(INCOMING, columns, rows)
            return self._change_from_incoming(table, columns)

    def _change_from_incoming(self, table: str, columns: Sequence[str]) -> list[int]:
        quote = self.connection.ops.quote_name
        incoming, target, key = quote(INCOMING), quote(table), quote(columns[0])
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*), min({key}), max({key}) FROM {incoming}")
            count, *ends = cursor.fetchone()
            own, *values = columns
            if values and count == self._update_from_incoming(table, values, [own], ends):
                return []
            # Rows that were equal already may be so only until somebody commits.
            cursor.execute(
                f"SELECT present.{key} FROM {target} AS present JOIN {incoming} ON present.{key} = {incoming}.{key}"
                f"{self.lock_clause} OF present"
            )
            there = {number for (number,) in cursor.fetchall()}
            cursor.execute(f"SELECT {key} FROM {incoming}")
            return [number for (number,) in cursor.fetchall() if number not in there]

    @contextmanager
    def _incoming(self, table: str, columns: Sequence[str]) -> Iterator[None]:
        """A temporary table of the target's types, without its constraints."""
        quote = self.connection.ops.quote_name
        incoming, names = quote(INCOMING), ", ".join(map(quote, columns))
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"CREATE TEMPORARY TABLE {incoming} ON COMMIT DROP AS "
                f"SELECT {names} FROM {quote(table)} WITH NO DATA"
            )
            yield
            cursor.execute(f"DROP TABLE {incoming}")

    def _update_from_incoming(
        self,
        table: str,
        values: Sequence[str],
        key: Sequence[str],
        ends: Sequence[int] = (),
    ) -> int:
        """Returns how many rows were not equal already. Where `ends` are given, all keys lie between them."""
        quote = self.connection.ops.quote_name
        incoming, target = quote(INCOMING), quote(table)
        new = ", ".join(f"{incoming}.{quote(column)}" for column in values)
        old = ", ".join(f"{target}.{quote(column)}" for column in values)
        with self.connection.cursor() as cursor:
            # The comparison is that of record images: it sees every difference and works for every type.
            cursor.execute(
                f"UPDATE {target} SET {', '.join(f'{quote(c)} = {incoming}.{quote(c)}' for c in values)} "
                f"FROM {incoming} WHERE {' AND '.join(f'{target}.{quote(c)} = {incoming}.{quote(c)}' for c in key)} "
                f"AND ROW({new})::record *<> ROW({old})::record"
                # Otherwise the whole table is read where the batch is a good part of it.
                + (f" AND {target}.{quote(key[0])} BETWEEN {ends[0]:d} AND {ends[1]:d}" if ends else "")
            )
            return int(cursor.rowcount)

    def digests(self, stranger: str) -> Digests:
        duration = READINGS["DurationField"].sql
        return PostgreSQLDigests(self.connection, stranger, self._own_settings, duration)

    def reserve_keys(self, table: str, column: str, count: int, above: int) -> list[int]:
        sequence = self._sequence(table, column)
        if sequence is None:
            raise NotReady(
                _(
                    "The table “%(table)s” of the database “%(alias)s” hands out no keys: its column “%(column)s” has "
                    "no sequence. Make it an identity column there."
                )
                % {"table": table, "alias": self.connection.alias, "column": column}
            )
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT nextval(%s) FROM generate_series(1, %s)", [sequence, count])
            return [key for (key,) in cursor.fetchall()]

    def pass_sequence(self, table: str, column: str, highest: int) -> None:
        if highest < 1:  # where no sequence of Django's begins
            return
        sequence = self._sequence(table, column)
        if sequence is not None:
            with self.connection.cursor() as cursor:
                cursor.execute(
                    f"SELECT setval(%s, %s) FROM {sequence} WHERE last_value < %s OR NOT is_called",
                    [sequence, highest, highest],
                )

    def _sequence(self, table: str, column: str) -> str | None:
        """The sequence that new rows get their key from, as PostgreSQL itself quotes it."""
        with self.connection.cursor() as cursor:
            cursor.execute(*by_place(SEQUENCE, table=self.connection.ops.quote_name(table), column=column))
            sequence: str | None = cursor.fetchone()[0]
            return sequence

    def check_uniques_at_once(self, tables: Sequence[str]) -> None:
        quote = self.connection.ops.quote_name
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT connamespace::regnamespace::text, conname FROM pg_constraint "
                "WHERE condeferred AND contype IN ('p', 'u', 'x') AND conrelid = ANY(%s::regclass[])",
                [[quote(table) for table in tables]],
            )
            deferred = [f"{schema}.{quote(name)}" for schema, name in cursor.fetchall()]
            if deferred:  # of those that have been broken already, this very statement tells
                cursor.execute(f"SET CONSTRAINTS {', '.join(deferred)} IMMEDIATE")
