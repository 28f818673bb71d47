"""MySQL, with InnoDB."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from uuid import uuid4

from django.db import DatabaseError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.backends.base import PREPARED, Backend
from synchro.backends.capture import SessionSwitch
from synchro.backends.foreign import ForeignTrigger
from synchro.backends.mysql_rows import MySQLRows
from synchro.backends.rows import quoted
from synchro.exceptions import NotReady

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


class MySQL(MySQLRows, Backend):
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
