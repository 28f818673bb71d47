"""MySQL and MariaDB, with InnoDB."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.engines.base import Engine, Row, chunks
from synchro.engines.capture import SessionSwitch

INCOMING = "synchro_incoming"


class MySQL(Engine):
    defers_foreign_keys = False
    reserves_keys = False
    lock_clause = " FOR UPDATE"

    def insert_returning(
        self,
        connection: BaseDatabaseWrapper,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Row],
        key: str,
    ) -> list[int]:
        keys: list[int] = []
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@auto_increment_increment")
            step = cursor.fetchone()[0]
            for part in chunks(rows, max(1, self.max_values // max(1, len(columns)))):
                # An INSERT whose number of rows is known beforehand gets one unbroken run of keys, in any
                # innodb_autoinc_lock_mode (MySQL manual, "AUTO_INCREMENT Handling in InnoDB").
                cursor.execute(*self.insert_sql(connection, table, columns, part))
                first = cursor.lastrowid
                keys.extend(range(first, first + step * len(part), step))
        return keys

    def update(
        self,
        connection: BaseDatabaseWrapper,
        table: str,
        columns: Sequence[str],
        key: Sequence[str],
        rows: Sequence[Row],
    ) -> None:
        # Not by INSERT ... ON DUPLICATE KEY UPDATE: it would want values for columns that are not to be touched,
        # fire the triggers of an insertion, and take any row with an equal unique value for the one that is meant.
        quote = connection.ops.quote_name
        values = [column for column in columns if column not in key]
        if not values:
            return
        target, incoming = quote(table), quote(INCOMING)
        names = ", ".join(map(quote, columns))
        same_key = " AND ".join(f"{target}.{quote(c)} = {incoming}.{quote(c)}" for c in key)
        assignments = ", ".join(f"{target}.{quote(c)} = {incoming}.{quote(c)}" for c in values)
        with connection.cursor() as cursor:
            # Of the target's types and collations, without its constraints. This does not commit.
            cursor.execute(f"CREATE TEMPORARY TABLE {incoming} AS SELECT {names} FROM {target} LIMIT 0")
        try:
            self.insert(connection, INCOMING, columns, rows)
            with connection.cursor() as cursor:
                cursor.execute(f"UPDATE {target} JOIN {incoming} ON {same_key} SET {assignments}")
        finally:
            with connection.cursor() as cursor:
                cursor.execute(f"DROP TEMPORARY TABLE {incoming}")

    @contextmanager
    def without_foreign_key_checks(self, connection: BaseDatabaseWrapper) -> Iterator[None]:
        changed = connection.disable_constraint_checking()
        try:
            yield
        finally:
            if changed:
                connection.enable_constraint_checking()

    @contextmanager
    def capture_off(self, connection: BaseDatabaseWrapper) -> Iterator[None]:
        with SessionSwitch.off(connection):
            yield

    def before_read_committed(self, connection: BaseDatabaseWrapper) -> None:
        if not connection.in_atomic_block:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")

    def sees_commits(self, connection: BaseDatabaseWrapper) -> bool:
        if not connection.savepoint_ids:  # the outermost block asked for it
            return True
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT @@{self.isolation_variable}")
            return bool(cursor.fetchone()[0] == "READ-COMMITTED")

    isolation_variable = "transaction_isolation"

    def now(self, connection: BaseDatabaseWrapper) -> datetime:
        with connection.cursor() as cursor:
            cursor.execute("SELECT UTC_TIMESTAMP(6)")
            moment: datetime = cursor.fetchone()[0]
            return moment.replace(tzinfo=UTC)

    @contextmanager
    def lock(self, connection: BaseDatabaseWrapper, name: str) -> Iterator[bool]:
        short = f"synchro-{blake2b(name.encode(), digest_size=16).hexdigest()}"
        with connection.cursor() as cursor:
            cursor.execute("SELECT GET_LOCK(%s, 0)", [short])
            taken = cursor.fetchone()[0] == 1
        try:
            yield taken
        finally:
            if taken and connection.is_usable():
                with connection.cursor() as cursor:
                    cursor.execute("SELECT RELEASE_LOCK(%s)", [short])

    def writers(self, connection: BaseDatabaseWrapper, table: str) -> frozenset[str] | None:
        # Whoever inserts holds the table's metadata lock before it takes an id, and until it ends.
        locks = self._ask(
            connection,
            "SELECT CONCAT(owner_thread_id, '/', owner_event_id) FROM performance_schema.metadata_locks "
            "WHERE object_schema = DATABASE() AND object_name = %s AND object_type = 'TABLE' "
            "AND lock_type LIKE 'SHARED_WRITE%%' AND owner_thread_id <> PS_CURRENT_THREAD_ID()",
            [table],
        )
        watched = self._ask(
            connection,
            "SELECT name FROM performance_schema.setup_instruments "
            "WHERE name = 'wait/lock/metadata/sql/mdl' AND enabled = 'YES' AND @@performance_schema = 1",
            [],
        )
        return locks if watched else None

    def _ask(self, connection: BaseDatabaseWrapper, sql: str, values: list[Any]) -> frozenset[str] | None:
        """The first column, or None where this account may not look."""
        with connection.cursor() as cursor:
            try:
                cursor.execute(sql, values)
            except DatabaseError as error:
                if error.args and error.args[0] in (1142, 1143, 1227):  # command or access denied
                    return None
                raise
            return frozenset(name for (name,) in cursor.fetchall())


class MariaDB(MySQL):
    isolation_variable = "tx_isolation"  # transaction_isolation is a variable from MariaDB 11.1 on

    def writers(self, connection: BaseDatabaseWrapper, table: str) -> frozenset[str] | None:
        # A transaction is known by its connection and its start: its own id changes with its first write. Between
        # taking an id and being listed as a transaction, a connection is at work on a statement.
        transactions = self._ask(
            connection,
            "SELECT CONCAT(trx_mysql_thread_id, '/', trx_started) FROM information_schema.innodb_trx "
            "WHERE trx_mysql_thread_id <> CONNECTION_ID()",
            [],
        )
        statements = self._ask(
            connection,
            "SELECT CONCAT('statement ', query_id) FROM information_schema.processlist "
            "WHERE command IN ('Query', 'Execute') AND id <> CONNECTION_ID()",
            [],
        )
        return None if transactions is None or statements is None else transactions | statements
