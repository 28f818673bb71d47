"""MySQL and MariaDB, with InnoDB."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from hashlib import blake2b
from math import isinf, isnan
from typing import Any, NamedTuple
from uuid import uuid4

from django.db import DatabaseError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.translation import gettext as _

from synchro.backends.base import (
    INCOMING,
    PREPARED,
    Backend,
    Convert,
    PairsTable,
    Row,
    Unfit,
    quoted,
    whole_range,
)
from synchro.backends.capture import SessionSwitch
from synchro.backends.digests import Digests
from synchro.backends.digests.mysql import MySQLDigests
from synchro.backends.exact import Reading, exact_date, exact_moment, exact_time, finite_decimal
from synchro.backends.foreign import ForeignTrigger
from synchro.backends.narrow import Described, described
from synchro.backends.packets import fitting
from synchro.exceptions import NotReady
from synchro.keys import AnyField

#: What in a text may be a number of JSON that a float does not hold.
LONG_NUMBER = re.compile(r"[\d.]{17}|\d[eE][+-]?\d\d")

#: Modes that say what a column may hold. Others change what SQL means, or what a value is when it is read.
MODES = {
    "STRICT_ALL_TABLES",
    "STRICT_TRANS_TABLES",
    "NO_ZERO_DATE",
    "NO_ZERO_IN_DATE",
    "ALLOW_INVALID_DATES",
    "ERROR_FOR_DIVISION_BY_ZERO",
    "NO_ENGINE_SUBSTITUTION",
    "NO_AUTO_VALUE_ON_ZERO",
    "ONLY_FULL_GROUP_BY",
    "NO_AUTO_CREATE_USER",
}

#: A lock that was not granted, a deadlock, a row that changed meanwhile; too many connections, a server that is shut
#: down, a connection that it has ended; a server that cannot be reached, has gone away, or is lost in a query. (0 is
#: what the driver says of a connection that is closed.)
PASSING = {1205, 1213, 1020, 1040, 1053, 1927, 4031, 2002, 2003, 2006, 2013, 2055, 0}

#: What no row is the reason of: an account that lacks a right; a server without memory, room, files or threads, that
#: is read-only, shut down, or at its limits; a network that fails; a table that is damaged; a statement that was ended;
#: a transaction that prepared ones, a lost lock or a changed table are in the way of. (2000 and more are the client's.)
OF_THE_SERVER = (
    {1044, 1045, 1142, 1143, 1227, 1290, 1370, 1792, 1836}
    | {1016, 1017, 1021, 1023, 1024, 1026, 1028, 1030, 1034, 1035, 1036, 1037, 1038, 1041, 1053, 1114, 1135}
    | {1040, 1158, 1159, 1160, 1161, 1194, 1195, 1203, 1206, 1226, 1317, 1969, 3024}
    | {1180, 1399, 1400, 1401, 1402, 1412, 1568, 1613, 1614}
)
CLIENT = range(2000, 3000)

#: Collations that take every byte for what it is: MySQL's, MariaDB's, and one that pads with blanks.
EXACT = ("utf8mb4_0900_bin", "utf8mb4_nopad_bin", "utf8mb4_bin")
#: How many seconds to wait for whoever has a lock on a table that is altered, and the error after that.
PATIENCE, LOCKED = 60, 1205

#: Bytes; 20,000 keys take a hundredth of that.
LONGEST_TEXT = 16 * 2**20

#: A table, the disk, and what a storage engine says of the disk, by the number of the operating system's error.
FULL, OUT_OF_SPACE = {1114, 1021}, (1030, "error 28")

#: What the server answers an account that lacks a right.
DENIED = {1142, 1143, 1227}

#: How many pairs of keys a statement has; each takes some sixty bytes.
PAIRS = 5000

#: After how many seconds without a question MariaDB looks for its open transactions anew. Two replayers that ask in
#: step would keep each other from ever having a new answer.
RENEWED_AFTER, OUT_OF_STEP = 0.11, 0.15
#: In place of writers' names: they can be told, but not at this moment.
LATER = "later"


#: The driver gives NULL for dates that do not exist, and the server six digits of a FLOAT.
READINGS = {
    "DateField": Reading("CAST({} AS CHAR)", exact_date),
    "DateTimeField": Reading("CAST({} AS CHAR)", exact_moment),
    "TimeField": Reading("CAST({} AS CHAR)", exact_time),
    "FloatField": Reading("{} * 1e0"),
}


class MySQL(Backend):
    #: Whether long whole numbers in JSON become floats.
    rounds_json = True
    defers_foreign_keys = False
    reserves_keys = False
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

    @contextmanager
    def capture_off(self) -> Iterator[None]:
        with SessionSwitch.off(self.connection):
            yield

    @contextmanager
    def own_session(self) -> Iterator[None]:
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT @@SESSION.sql_mode")
            before: str = cursor.fetchone()[0]
            wanted = ",".join(mode for mode in before.split(",") if mode in MODES)
            if wanted != before:
                cursor.execute("SET SESSION sql_mode = %s", [wanted])
        session = self.connection.connection
        try:
            yield
        finally:
            if wanted != before and self.connection.connection is session and session is not None:
                with suppress(self.connection.Database.Error):  # type: ignore[attr-defined]
                    session.cursor().execute("SET SESSION sql_mode = %s", [before])

    @contextmanager
    def strictly(self) -> Iterator[None]:
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT @@SESSION.sql_mode")
            before: str = cursor.fetchone()[0]
            # Without the second, a key of 0 becomes the next automatic one.
            wanted = {"STRICT_ALL_TABLES", "NO_AUTO_VALUE_ON_ZERO"} - set(before.split(","))
            if wanted:
                cursor.execute(
                    "SET SESSION sql_mode = %s", [",".join(filter(None, [before, *sorted(wanted)]))]
                )
        try:
            yield
        finally:
            if wanted and self.connection.connection is not None:
                # Past Django, which lets no statement through after an error; a lost connection has no mode to restore.
                with suppress(self.connection.Database.Error):  # type: ignore[attr-defined]
                    self.connection.connection.cursor().execute("SET SESSION sql_mode = %s", [before])

    def before_read_committed(self) -> None:
        if not self.connection.in_atomic_block:
            with self.connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")

    @contextmanager
    def long_texts(self) -> Iterator[None]:
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT @@SESSION.group_concat_max_len")
            before = cursor.fetchone()[0]
            cursor.execute("SET SESSION group_concat_max_len = %s", [LONGEST_TEXT])
            yield
            cursor.execute("SET SESSION group_concat_max_len = %s", [before])

    def before_snapshot(self) -> None:
        if not self.connection.in_atomic_block:
            with self.connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")

    def begin_snapshot(self) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")

    def sees_commits(self) -> bool:
        if not self.connection.savepoint_ids:  # the outermost block asked for it
            return True
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT @@{self.isolation_variable}")
            return bool(cursor.fetchone()[0] == "READ-COMMITTED")

    isolation_variable = "transaction_isolation"

    def is_transient(self, error: BaseException) -> bool:
        name = type(error).__name__
        return (
            name in ("OperationalError", "InterfaceError") and bool(error.args) and error.args[0] in PASSING
        )

    def is_about_the_server(self, error: BaseException) -> bool:
        number = error.args[0] if error.args else None
        if not isinstance(number, int):  # not said by the server
            return isinstance(error, OperationalError)
        return number in OF_THE_SERVER or number in CLIENT

    def is_full(self, error: BaseException) -> bool:
        number, *text = error.args or (None,)
        return number in FULL or (number == OUT_OF_SPACE[0] and OUT_OF_SPACE[1] in str(text))

    def keep_texts_exact(self, tables: Sequence[str]) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT collation_name FROM information_schema.collations WHERE collation_name IN %s", [EXACT]
            )
            known = {name for (name,) in cursor.fetchall()}
            wanted = next(name for name in EXACT if name in known)
            cursor.execute(
                "SELECT DISTINCT c.table_name FROM information_schema.columns AS c JOIN information_schema.tables AS t "
                "ON t.table_schema = c.table_schema AND t.table_name = c.table_name "
                "WHERE c.table_schema = DATABASE() AND c.table_name IN %s "
                "AND (t.table_collation <> %s OR c.collation_name <> %s) ORDER BY c.table_name",
                [tuple(tables), wanted, wanted],
            )
            inexact = [name for (name,) in cursor.fetchall()]
            if inexact:
                self._convert(cursor, inexact, wanted)

    def _convert(self, cursor: Any, tables: Sequence[str], collation: str) -> None:
        cursor.execute("SELECT @@SESSION.lock_wait_timeout")
        (before,) = cursor.fetchone()
        cursor.execute("SET SESSION lock_wait_timeout = %s", [PATIENCE])
        try:
            for table in tables:
                cursor.execute(
                    f"ALTER TABLE {quoted(self.connection, table)} CONVERT TO CHARACTER SET utf8mb4 COLLATE {collation}"
                )
        except OperationalError as error:
            if not error.args or error.args[0] != LOCKED:
                raise
            raise NotReady(
                f"The character set of {', '.join(tables)} in {self.connection.alias!r} has to be changed to utf8mb4, "
                "and another transaction has used one of them and did not end in time. Run migrate again."
            ) from error
        finally:
            cursor.execute("SET SESSION lock_wait_timeout = %s", [before])

    def lacking_rights(self, tables: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
        everywhere = self._granted_everywhere()
        return [
            (table, act)
            for act in ("INSERT", "UPDATE", "DELETE")
            for table, columns in tables.items()
            if act not in everywhere and not self._may(act, quoted(self.connection, table), columns)
        ]

    def _granted_everywhere(self) -> frozenset[str]:
        """What this account may do in each table of the database; it may have more, by a role or by a pattern."""
        me = "CONCAT('\\'', REPLACE(CURRENT_USER(), '@', '\\'@\\''), '\\'')"
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"SELECT privilege_type FROM information_schema.user_privileges WHERE grantee = {me} UNION "
                f"SELECT privilege_type FROM information_schema.schema_privileges WHERE grantee = {me} "
                "AND table_schema = DATABASE()"
            )
            return frozenset(act for (act,) in cursor.fetchall())

    def _may(self, act: str, table: str, columns: Sequence[str]) -> bool:
        """Explaining a statement takes the rights of the statement, and does not carry it out."""
        names = [self.connection.ops.quote_name(column) for column in columns]
        statement = {
            "INSERT": f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(names)} FROM {table} WHERE 1 = 0",
            "UPDATE": f"UPDATE {table} SET {', '.join(f'{name} = {name}' for name in names)} WHERE 1 = 0",
            "DELETE": f"DELETE FROM {table} WHERE 1 = 0",
        }[act]
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN {statement}")
        except DatabaseError as error:
            if self.is_transient(error):
                raise
            # Anything else but a missing right is the business of the real statement.
            return not error.args or error.args[0] not in DENIED
        return True

    # A comparison with NULL keeps, in an opened table, what another session had.
    switch = re.compile(r"@synchro_capture_off\b(?!\W*\s+IS\s+(?:NOT\s+)?NULL)", re.IGNORECASE)

    def triggers_on(self, tables: Sequence[str]) -> list[ForeignTrigger]:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT event_object_table, trigger_name, action_statement, action_timing = 'BEFORE', "
                "event_manipulation = 'DELETE' FROM information_schema.triggers "
                "WHERE event_object_schema = DATABASE() ORDER BY 1, 2"
            )
            names = {table.lower() for table in tables}
            return [
                ForeignTrigger(table, name, text, text, bool(is_before), bool(on_deletion))
                for table, name, text, is_before, on_deletion in cursor.fetchall()
                if table.lower() in names
            ]

    server_cascades_sql = """
        SELECT pair.TABLE_NAME, pair.CONSTRAINT_NAME, pair.COLUMN_NAME, pair.REFERENCED_TABLE_NAME,
            pair.REFERENCED_COLUMN_NAME, made.DELETE_RULE, made.UPDATE_RULE
        FROM information_schema.REFERENTIAL_CONSTRAINTS AS made
        JOIN information_schema.KEY_COLUMN_USAGE AS pair ON pair.CONSTRAINT_SCHEMA = made.CONSTRAINT_SCHEMA
            AND pair.CONSTRAINT_NAME = made.CONSTRAINT_NAME AND pair.TABLE_NAME = made.TABLE_NAME
        WHERE made.CONSTRAINT_SCHEMA = DATABASE() AND (made.DELETE_RULE NOT IN ('NO ACTION', 'RESTRICT')
            OR made.UPDATE_RULE NOT IN ('NO ACTION', 'RESTRICT'))
        ORDER BY pair.TABLE_NAME, pair.CONSTRAINT_NAME, pair.ORDINAL_POSITION
    """

    def sees_triggers(self) -> bool:
        return "TRIGGER" in self._granted_everywhere()

    #: What a server calls itself.
    own_name = "@@server_uuid"

    def place(self) -> str:
        with self.connection.cursor() as cursor:
            try:
                cursor.execute(f"SELECT CONCAT('mysql ', {self.own_name}, '/', DATABASE())")
            except DatabaseError:  # older ones have no name
                cursor.execute("SELECT CONCAT('mysql ', @@hostname, ':', @@port, @@datadir, '/', DATABASE())")
            return str(cursor.fetchone()[0])[:255]

    def is_same(self, other: BaseDatabaseWrapper, table: str) -> bool:
        # A server that was copied says the same of itself; but it does not see the other's locks.
        name = f"synchro-{uuid4().hex}"
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT GET_LOCK(%s, 0), DATABASE()", [name])
            _, here = cursor.fetchone()
            try:
                with other.cursor() as asking:
                    asking.execute("SELECT IS_FREE_LOCK(%s), DATABASE()", [name])
                    is_free, there = asking.fetchone()
            finally:
                cursor.execute("SELECT RELEASE_LOCK(%s)", [name])
        return not is_free and here == there

    def now(self) -> datetime:
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT UTC_TIMESTAMP(6)")
            moment: datetime = cursor.fetchone()[0]
            return moment.replace(tzinfo=UTC)

    @contextmanager
    def lock(self, name: str) -> Iterator[bool]:
        short = f"synchro-{blake2b(name.encode(), digest_size=16).hexdigest()}"
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT GET_LOCK(%s, 0)", [short])
            taken = cursor.fetchone()[0] == 1
        try:
            yield taken
        finally:
            if taken and self.connection.is_usable():
                with self.connection.cursor() as cursor:
                    cursor.execute("SELECT RELEASE_LOCK(%s)", [short])

    def writers(self, table: str) -> frozenset[str] | None:
        # Whoever inserts holds the table's metadata lock before it takes an id, and until it ends. When a transaction
        # is prepared (XA), its locks are cloned, by mdl.cc itself.
        locks = self._ask(
            "SELECT CONCAT(IF(source LIKE 'mdl.cc%%', %s, ''), COALESCE(owner_thread_id, 0), '/', "
            "COALESCE(owner_event_id, 0)) FROM performance_schema.metadata_locks "
            "WHERE object_schema = DATABASE() AND object_name = %s AND object_type = 'TABLE' "
            "AND lock_type LIKE 'SHARED_WRITE%%' AND NOT owner_thread_id <=> PS_CURRENT_THREAD_ID()",
            [PREPARED, table],
        )
        watched = self._ask(
            "SELECT name FROM performance_schema.setup_instruments "
            "WHERE name = 'wait/lock/metadata/sql/mdl' AND enabled = 'YES' AND @@performance_schema = 1 "
            "AND 'YES' = (SELECT enabled FROM performance_schema.setup_consumers "
            "WHERE name = 'global_instrumentation') "
            "AND 0 = (SELECT variable_value FROM performance_schema.global_status "
            "WHERE variable_name = 'Performance_schema_metadata_lock_lost')",
            [],
        )
        # Locks from before the instrument was switched on are not in that list. InnoDB's own, which come right after
        # the id, always are in theirs.
        own = self._ask(
            "SELECT DISTINCT CONCAT('innodb ', engine_transaction_id) FROM performance_schema.data_locks "
            "WHERE object_schema = DATABASE() AND object_name = %s AND lock_type = 'TABLE' "
            "AND lock_mode = 'IX' AND NOT thread_id <=> PS_CURRENT_THREAD_ID()",
            [table],
        )
        if locks is None or own is None or not watched:
            return None
        return frozenset(name for (name,) in (*locks, *own))

    def _ask(self, sql: str, values: list[Any]) -> Sequence[tuple[Any, ...]] | None:
        """The rows, or None where this account may not look."""
        with self.connection.cursor() as cursor:
            try:
                cursor.execute(sql, values)
            except DatabaseError as error:
                if error.args and error.args[0] in DENIED:
                    return None
                raise
            rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
            return rows


class MariaDB(MySQL):
    rounds_json = False
    own_name = "@@server_uid"
    isolation_variable = "tx_isolation"  # transaction_isolation is a variable from MariaDB 11.1 on

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        super().__init__(connection)
        #: When to ask again for the open transactions, by time.monotonic().
        self._ask_after = 0.0

    def writers(self, table: str) -> frozenset[str] | None:
        # A transaction is known by its connection and its start: its own id changes with its first write. Between
        # taking an id and being listed as a transaction, a connection is at work on a statement; so statements are
        # asked for first, and one that has no transaction yet goes by its connection alone.
        if time.monotonic() < self._ask_after:
            return frozenset({LATER})
        statements = self._ask(
            "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() "
            "AND command NOT IN ('Sleep', 'Daemon', 'Binlog Dump', 'Slave_IO', 'Slave_SQL')",
            [],
        )
        transactions = self._transactions()
        if statements is None or transactions is None:
            return None
        if not transactions.is_new:
            return frozenset({LATER})
        at_work = {str(number) for (number,) in statements} - {
            str(number) for number, _ in transactions.others
        }
        return frozenset(at_work) | {
            f"{number}/{start}" if number else f"{PREPARED}{start}" for number, start in transactions.others
        }

    def _transactions(self) -> _Transactions | None:
        """
        The open transactions but our own; None where this account may not look.

        The server answers from a copy, which it renews only when nobody has asked for a tenth of a second. It is new
        when our own transaction is in it with this very statement. Nobody waits for that: a hole can stay until the
        next question.
        """
        found = self._ask(
            "SELECT trx_mysql_thread_id, CAST(trx_started AS CHAR), trx_mysql_thread_id = CONNECTION_ID(), "
            "COALESCE(LOCATE(%s, trx_query), 0) FROM information_schema.innodb_trx",
            [uuid4().hex],
        )
        if found is None:
            return None
        pause = random.uniform(RENEWED_AFTER, RENEWED_AFTER + OUT_OF_STEP)  # noqa: S311  no secret
        self._ask_after = time.monotonic() + pause
        return _Transactions(
            any(is_own and is_new for _number, _start, is_own, is_new in found),
            [(number, start) for number, start, is_own, _is_new in found if not is_own],
        )

    def still_open(self, then: frozenset[str], now: frozenset[str]) -> frozenset[str]:
        if LATER in now:
            return then
        if LATER in then:  # then anybody may have been one of them
            return now
        at_work = {name for name in then if name.isdigit()}
        return super().still_open(then, now) | {name for name in now if name.split("/")[0] in at_work}


class _Transactions(NamedTuple):
    """What MariaDB says of its open transactions."""

    is_new: bool
    #: The connection and the start of each.
    others: list[tuple[int, str]]


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
