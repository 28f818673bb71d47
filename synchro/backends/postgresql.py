"""PostgreSQL, through psycopg 3: rows go in by COPY."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import islice
from typing import Any

from django.db import Error, OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.translation import gettext as _

from synchro.backends.base import INCOMING, PREPARED, Backend, PairsTable, Row, quoted, whole_range
from synchro.backends.capture import TransactionSwitch
from synchro.backends.digests import Digests
from synchro.backends.digests.postgresql import PostgreSQLDigests
from synchro.backends.exact import Reading, exact_duration
from synchro.backends.foreign import ForeignTrigger
from synchro.backends.named import by_place
from synchro.backends.narrow import Described, described
from synchro.exceptions import NotReady
from synchro.keys import AnyField

#: How COPY spells it.
NULL = b"\\N"

#: What decides how a server spells values, and what a transaction of the replayer sets it to.
SPELLING = {"DateStyle": "ISO, YMD", "IntervalStyle": "postgres"}
#: Serialization failure, deadlock, a lock that was not granted, too many connections, and a server that is shut down,
#: has crashed, or is starting. (All of class 08 are lost connections.)
PASSING = {"40001", "40P01", "55P03", "53300", "57P01", "57P02", "57P03"}

#: How many keys of several columns one statement names.
MOST_PAIRS = 3000
#: The numbers of its widest type of integers.
LARGEST = range(-(2**63), 2**63)

#: No room on the disk.
DISK_FULL = "53100"

#: What no row is the reason of, by class: a connection, a transaction that is in no state for it or was rolled back, an
#: account, a database, a server without room or memory, that was interrupted or has failed.
OF_THE_SERVER = {"08", "25", "26", "28", "34", "3B", "3D", "40", "53", "55", "57", "58", "72", "F0"}
#: The same, by number: a right that is lacking, data and indexes that are damaged.
NOT_OF_A_ROW = {"42501", "XX001", "XX002"}

#: Of tables, and of the sequences that hand out their keys.
RIGHTS_LACKING = """
    SELECT name, act FROM unnest(%s::text[]) AS name, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE']) AS act
    WHERE NOT CASE act WHEN 'DELETE' THEN has_table_privilege(to_regclass(name), act)
        ELSE has_any_column_privilege(to_regclass(name), act) END
    UNION ALL
    SELECT sequence.oid::regclass::text, act FROM unnest(%s::text[]) AS name
    JOIN pg_depend ON refobjid = to_regclass(name) AND classid = 'pg_class'::regclass AND deptype IN ('a', 'i')
    JOIN pg_class AS sequence ON sequence.oid = objid AND relkind = 'S'
    CROSS JOIN unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) AS act
    WHERE NOT has_sequence_privilege(sequence.oid, act)
"""

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
#: On these tables and on their partitions, where they fire in this session; what a function does, only where the
#: trigger itself does not ask our switch, as each of ours does. (A foreign key's own triggers are internal;
#: 28 is the sum of the bits for INSERT, DELETE and UPDATE.)
TRIGGERS_ON = r"""
    WITH asked AS (SELECT to_regclass(name)::oid AS root FROM unnest(%(tables)s::text[]) AS name),
    part AS (
        SELECT root, root AS id FROM asked
        UNION SELECT root, relid::oid FROM asked, pg_partition_tree(root::regclass)
    ),
    firing AS (
        SELECT CASE current_setting('session_replication_role') WHEN 'replica' THEN 'RA' ELSE 'OA' END AS modes
    )
    SELECT DISTINCT relname::text, tgname::text, declared || ' ' || body, body,
        (tgtype & 66) <> 0, (tgtype & 28) = 8
    FROM part JOIN pg_trigger ON tgrelid = id JOIN pg_proc ON pg_proc.oid = tgfoid
    JOIN pg_class ON pg_class.oid = root CROSS JOIN firing
    CROSS JOIN LATERAL (SELECT pg_get_triggerdef(pg_trigger.oid) AS declared) AS said
    CROSS JOIN LATERAL (
        SELECT CASE WHEN declared ~ 'synchro\.capture\M' AND declared !~ '--|/\*' THEN '' ELSE coalesce(prosrc, '') END
        AS body
    ) AS does
    WHERE NOT tgisinternal AND (tgtype & 28) <> 0 AND strpos(modes, tgenabled::text) > 0
    UNION SELECT relname::text, rulename::text, pg_get_ruledef(pg_rewrite.oid), '', true, false
    FROM part JOIN pg_rewrite ON ev_class = id JOIN pg_class ON pg_class.oid = root CROSS JOIN firing
    WHERE ev_type <> '1' AND strpos(modes, ev_enabled::text) > 0
    ORDER BY 1, 2
"""

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


#: Some servers end transactions that wait for long.
NEVER_TIMED_OUT = """
    SELECT set_config(name, '0', true) FROM pg_settings
    WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')
"""


class PostgreSQL(Backend):
    defers_foreign_keys = True
    reserves_keys = True
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

    def put_pairs(self, place: PairsTable, pairs: Mapping[int, int]) -> None:
        # An upsert from arrays takes longer than both of these.
        first, more = place.columns[:1], place.fixed
        self.delete(place.name, first, [(number,) for number in pairs], place.where)
        end = b"".join(b"\t%d" % value for value in more.values()) + b"\n"
        lines = [b"%d\t%d%b" % (one, other, end) for one, other in pairs.items()]
        self.insert_dumped(place.name, (*place.columns, *more), lines)

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

    def digests(self, stranger: str) -> Digests:
        duration = READINGS["DurationField"].sql
        return PostgreSQLDigests(self.connection, stranger, self._own_settings, duration)

    def passes_rows(self, there: BaseDatabaseWrapper) -> bool:
        if self.connection.vendor != there.vendor:
            return False
        one, other = _spelling(self.connection), _spelling(there)
        # Other styles name a time zone by letters that mean several.
        return one == other and one["DateStyle"].startswith("ISO")

    def dump(self, table: str, columns: Sequence[str], keys: Sequence[Row]) -> list[bytes]:
        names = ", ".join(quoted(self.connection, column) for column in columns)
        condition, values = self.key_condition(columns[:1], keys)
        sql = f"COPY (SELECT {names} FROM {quoted(self.connection, table)} WHERE {condition}) TO STDOUT"
        # COPY binds no values on the server, and Django's cursor for debugging takes none.
        whole = self.connection.Database.ClientCursor(self.connection.connection).mogrify(sql, values)  # type: ignore[attr-defined]
        with (
            self._own_settings(),
            self.connection.cursor() as cursor,
            self.connection.wrap_database_errors,
            cursor.copy(whole) as copy,
        ):
            return list(map(bytes, copy))  # one line for each row

    def dumped_keys(self, rows: Sequence[bytes]) -> list[str]:
        # No tab stands in a value; the line ends where there is no other column.
        return [(row[: row.find(b"\t")] if b"\t" in row else row[:-1]).decode() for row in rows]

    def with_keys(self, rows: Sequence[bytes], keys: Sequence[int]) -> list[bytes]:
        # Where there is no other column, the last character, which ends the line, comes after the key.
        return [b"%d%b" % (key, row[row.find(b"\t") :]) for key, row in zip(keys, rows, strict=True)]

    def dumped_numbers(self, rows: Sequence[bytes], count: int) -> list[list[int | None]]:
        columns = zip(*(row[:-1].split(b"\t", count) for row in rows), strict=False)
        return [[None if text == NULL else int(text) for text in column] for column in islice(columns, count)]

    def with_numbers(self, rows: Sequence[bytes], columns: Sequence[Sequence[int | None]]) -> list[bytes]:
        count = len(columns)
        spelled = [[NULL if number is None else b"%d" % number for number in column] for column in columns]
        return [
            b"\t".join((*numbers, *row[:-1].split(b"\t", count)[count:])) + b"\n"
            for row, *numbers in zip(rows, *spelled, strict=True)
        ]

    def insert_dumped(self, table: str, columns: Sequence[str], rows: Sequence[bytes]) -> None:
        quote = self.connection.ops.quote_name
        sql = f"COPY {quote(table)} ({', '.join(map(quote, columns))}) FROM STDIN"
        with (
            self.connection.cursor() as cursor,
            self.connection.wrap_database_errors,
            cursor.copy(sql) as copy,
        ):
            for start in range(0, len(rows), 1000):
                copy.write(b"".join(rows[start : start + 1000]))

    def change(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Row],
    ) -> list[int]:
        with self._incoming(table, columns):
            self.insert(INCOMING, columns, rows)
            return self._change_from_incoming(table, columns)

    def change_dumped(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[bytes],
    ) -> list[int]:
        with self._incoming(table, columns):
            self.insert_dumped(INCOMING, columns, rows)
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

    @contextmanager
    def capture_off(self) -> Iterator[None]:
        with TransactionSwitch.off(self.connection):
            yield

    def begin_writing(self) -> None:
        if self.connection.savepoint_ids:
            return  # not the outermost block
        driver = self.connection.connection
        is_new = (
            driver.info.transaction_status == TransactionSwitch.IDLE
        )  # it begins with the first statement
        with self.connection.cursor() as cursor:
            cursor.execute(f"{OWN_SETTINGS}, current_setting('transaction_isolation')")
            if cursor.fetchone()[-1] == "read committed":
                return
            # The level can be set before the first question only.
            if is_new:
                driver.rollback()
            cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            cursor.execute(OWN_SETTINGS)

    def begin_snapshot(self) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute(OWN_SETTINGS)  # the moment is that of the first question

    def sees_commits(self) -> bool:
        with self.connection.cursor() as cursor:
            cursor.execute("SHOW transaction_isolation")
            return bool(cursor.fetchone()[0] == "read committed")

    def is_transient(self, error: BaseException) -> bool:
        import psycopg  # here, since who has no PostgreSQL need not have it

        cause = error.__cause__ if isinstance(error, Error) else error
        if not isinstance(cause, psycopg.Error):
            return False
        if cause.sqlstate is None:  # not said by the server: the connection is gone
            return isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
        return cause.sqlstate[:2] == "08" or cause.sqlstate in PASSING

    def is_about_the_server(self, error: BaseException) -> bool:
        state = getattr(error.__cause__, "sqlstate", None)
        if state is None:  # not said by the server
            return isinstance(error, OperationalError)
        return state[:2] in OF_THE_SERVER or state in NOT_OF_A_ROW

    def is_full(self, error: BaseException) -> bool:
        return getattr(error.__cause__, "sqlstate", None) == DISK_FULL

    def lacking_rights(self, tables: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
        names = {quoted(self.connection, table): table for table in tables}
        with self.connection.cursor() as cursor:
            cursor.execute(RIGHTS_LACKING, [list(names), list(names)])
            return [(names.get(name, name), act) for name, act in cursor.fetchall()]

    def filtered(self, tables: Sequence[str]) -> list[str]:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT relname FROM pg_class WHERE relrowsecurity AND row_security_active(oid) "
                "AND oid IN (SELECT to_regclass(name) FROM unnest(%s::text[]) AS name) ORDER BY relname",
                [[self.connection.ops.quote_name(table) for table in tables]],
            )
            return [name for (name,) in cursor.fetchall()]

    switch = re.compile(r"synchro\.capture\b")

    def triggers_on(self, tables: Sequence[str]) -> list[ForeignTrigger]:
        with self.connection.cursor() as cursor:
            names = [self.connection.ops.quote_name(table) for table in tables]
            cursor.execute(*by_place(TRIGGERS_ON, tables=names))
            return [ForeignTrigger(*row) for row in cursor.fetchall()]

    def place(self) -> str:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT 'postgresql ' || system_identifier || '/' || "
                "(SELECT oid FROM pg_database WHERE datname = current_database()) || '/' || current_schema() "
                "FROM pg_control_system()"
            )
            return str(cursor.fetchone()[0])[:255]

    def is_same(self, other: BaseDatabaseWrapper, table: str) -> bool:
        # A server that was copied says the same of itself; but it does not see the other's locks.
        number = secrets.randbits(62)
        with transaction.atomic(using=self.connection.alias), self.connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s), %s::regclass::oid::bigint", [number, table])
            _, here = cursor.fetchone()
            with transaction.atomic(using=other.alias), other.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_try_advisory_xact_lock(%s), %s::regclass::oid::bigint", [number, table]
                )
                is_free, there = cursor.fetchone()
        return not is_free and here == there

    def now(self) -> datetime:
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
            return datetime.fromtimestamp(float(cursor.fetchone()[0]), UTC)

    @contextmanager
    def lock(self, name: str) -> Iterator[bool]:
        # Held by a transaction that stays open, on a connection of its own. A lock of a session would stay behind in a
        # pooler, which gives each transaction to whichever session is free.
        number = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), signed=True)
        own = self.connection.copy()
        own.settings_dict["OPTIONS"].pop("pool", None)  # that may be empty
        try:
            with own.cursor() as cursor:
                cursor.execute("BEGIN")
                cursor.execute(NEVER_TIMED_OUT)
                cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number])
                taken: bool = cursor.fetchone()[0]
            yield taken
        finally:
            with suppress(Error), own.wrap_database_errors:  # a connection that is lost has lost its lock too
                if own.connection is not None:
                    own.connection.execute("ROLLBACK")
            own.close()

    def reserves_ids(self, table: str, column: str) -> bool:
        with self.connection.cursor() as cursor:
            sql = (
                f"SELECT 1 FROM pg_sequence WHERE seqrelid = ({SEQUENCE})::regclass "
                "AND (seqcache > 1 OR seqincrement < 0)"
            )
            cursor.execute(*by_place(sql, table=self.connection.ops.quote_name(table), column=column))
            return cursor.fetchone() is not None

    def gives_ids_again(self, table: str, column: str, highest: int) -> bool:
        with self.connection.cursor() as cursor:
            # Of a sequence that was never asked the last value is NULL; where there is none, there is no row.
            sql = (
                f"SELECT coalesce(pg_sequence_last_value(sequence) < %(highest)s, true) "
                f"FROM (SELECT ({SEQUENCE})::regclass AS sequence) AS one WHERE sequence IS NOT NULL"
            )
            name = self.connection.ops.quote_name(table)
            cursor.execute(*by_place(sql, table=name, column=column, highest=highest))
            found = cursor.fetchone()
            return found is not None and bool(found[0])

    def writers(self, table: str) -> frozenset[str] | None:
        # Whoever inserts locks the table before it takes an id, and until it ends; every role may look.
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT CASE WHEN pid IS NULL THEN %s ELSE '' END || virtualtransaction FROM pg_locks "
                "WHERE locktype = 'relation' AND relation = %s::regclass AND mode = 'RowExclusiveLock' "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
                "AND pid IS DISTINCT FROM pg_backend_pid()",
                [PREPARED, self.connection.ops.quote_name(table)],
            )
            return frozenset(name for (name,) in cursor.fetchall())


def _spelling(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """How this session spells values in its open transaction, or in the one that `dump` would open."""
    status = connection.connection.info.parameter_status
    styles = {name: status(name) for name in SPELLING} if connection.in_atomic_block else SPELLING
    return {**styles, "client_encoding": status("client_encoding")}
