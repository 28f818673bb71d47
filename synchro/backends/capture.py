"""
Switching triggers off for what one connection writes.

Each switch stands in the connection's list of execute wrappers while it is in use, so it sees every statement
that goes through Django's cursor, in whatever transaction, and after a reconnect.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

S = TypeVar("S", bound="Switch")


class Switch:
    """What `capture_off` keeps for a connection."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        #: How many `capture_off` are open.
        self.depth = 0

    @classmethod
    @contextmanager
    def off(cls, connection: BaseDatabaseWrapper) -> Iterator[None]:
        switch = cls.of(connection)
        switch.depth += 1
        try:
            if switch.depth == 1:
                switch.begin()
            yield
        finally:
            switch.depth -= 1
            if switch.depth == 0:
                switch.end()

    @classmethod
    def of(cls: type[S], connection: BaseDatabaseWrapper) -> S:
        for wrapper in connection.execute_wrappers:
            if isinstance(wrapper, cls):
                return wrapper
        switch = cls(connection)
        # First in the list, since `execute_wrapper` takes its own off the end.
        connection.execute_wrappers.insert(0, switch)
        return switch

    def begin(self) -> None:
        """The outermost block begins."""

    def end(self) -> None:
        """The outermost block is over."""
        self.leave()

    def leave(self) -> None:
        self.connection.execute_wrappers.remove(self)

    def __call__(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        raise NotImplementedError


class TransactionSwitch(Switch):
    """
    PostgreSQL: a setting of the transaction.

    Where no transaction is open, each statement gets one of its own, so that a session that goes back to a
    pool, or is shared by way of one, never carries the setting. What a savepoint takes back with it, and what
    it brings back, is put right after the rollback, also when the block is over but its transaction is not.
    """

    NAME = "synchro.capture"
    #: Libpq's PQTRANS_IDLE and PQTRANS_INTRANS.
    IDLE, INTRANS = 0, 2

    def status(self) -> int:
        driver = self.connection.connection
        return self.IDLE if driver is None or driver.closed else int(driver.info.transaction_status)

    def begin(self) -> None:
        if self.status() == self.INTRANS:
            self.set("off")

    def end(self) -> None:
        status = self.status()
        if status == self.INTRANS:
            self.set("on")
        if status == self.IDLE:
            self.leave()

    def set(self, value: str) -> None:
        assert self.connection.connection is not None
        with self.connection.wrap_database_errors, self.connection.connection.cursor() as cursor:
            cursor.execute("SELECT pg_catalog.set_config(%s, %s, true)", [self.NAME, value])

    def __call__(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        if self.status() != self.IDLE:
            result = execute(sql, params, many, context)
            if str(sql).startswith("ROLLBACK TO"):
                self.set("off" if self.depth else "on")
            return result
        if not self.depth:
            # The transaction in which the block was is over.
            self.leave()
            return execute(sql, params, many, context)
        if not self.connection.get_autocommit():
            self.set("off")
            return execute(sql, params, many, context)
        if not writes(sql):
            return execute(sql, params, many, context)
        with transaction.atomic(using=self.connection.alias):
            self.set("off")
            return execute(sql, params, many, context)


class SessionSwitch(Switch):
    """
    MySQL and MariaDB: a variable of the session, which knows no transactions.

    It is set before the first statement of each session that the block uses, and taken back when the block
    ends or closes its connection, since that may go to a pool.
    """

    NAME = "@synchro_capture_off"

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        super().__init__(connection)
        self.session: Any = None

    def begin(self) -> None:
        close = self.connection.close

        def close_clean() -> None:
            self.set_back()
            close()

        self.connection.close = close_clean  # type: ignore[method-assign]
        if self.connection.connection is not None:
            self.set_off()

    def end(self) -> None:
        try:
            self.set_back()
        finally:
            del self.connection.close
            self.leave()

    def set_off(self) -> None:
        session = self.connection.connection
        if session is not self.session:
            self.session = session
            self.execute(f"SET {self.NAME} = 1")

    def set_back(self) -> None:
        session, self.session = self.session, None
        # A session that is lost has lost its variables too.
        if session is not None and session is self.connection.connection and self.connection.is_usable():
            self.execute(f"SET {self.NAME} = NULL")

    def execute(self, sql: str) -> None:
        assert self.connection.connection is not None
        with self.connection.wrap_database_errors, self.connection.connection.cursor() as cursor:
            cursor.execute(sql)

    def __call__(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        self.set_off()
        return execute(sql, params, many, context)


class StatementSwitch(Switch):
    """
    SQLite: a row in a table, put there before each statement that writes, and deleted right after it.

    Both happen in the transaction of that statement, which holds the database's one write lock, so nobody
    else ever sees the row. Where no transaction is open, the three get one of their own.
    """

    TABLE = "synchro_captureswitch"

    def __call__(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        if not writes(sql) or selects(sql):
            return execute(sql, params, many, context)
        if self.connection.in_atomic_block or not self.connection.get_autocommit():
            return self.switched(execute, sql, params, many, context)
        with transaction.atomic(using=self.connection.alias):
            result = self.switched(execute, sql, params, many, context)
            _detach_rows(context["cursor"].cursor)
            return result

    def switched(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        assert self.connection.connection is not None
        driver = self.connection.connection
        with self.connection.wrap_database_errors:
            # Not there: this database has no tables of synchro's, hence no triggers.
            if not driver.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [self.TABLE]).fetchone():
                return execute(sql, params, many, context)
            driver.execute(f'INSERT INTO "{self.TABLE}" (id, never_id) VALUES (1, 0)')
        try:
            return execute(sql, params, many, context)
        finally:
            # Some errors have rolled back everything; then there is nothing to delete.
            with self.connection.wrap_database_errors:
                driver.execute(f'DELETE FROM "{self.TABLE}"')


# Possessive: otherwise the time doubles with each blank that a statement begins with.
_COMMENT = r"(?:\s++|--[^\n]*+\n|/\*.*?\*/)*+"
_READS = re.compile(
    _COMMENT
    + "(?:PRAGMA|SAVEPOINT|RELEASE|ROLLBACK|BEGIN|COMMIT|END|EXPLAIN|SET|SHOW|VACUUM|ANALYZE|ATTACH|DETACH"
    "|CREATE|ALTER|DROP|REINDEX|CLUSTER|REFRESH|LISTEN|NOTIFY|FETCH|DECLARE|CLOSE|LOCK|RESET|DISCARD)\\b",
    re.IGNORECASE | re.DOTALL,
)
_SELECT = re.compile(_COMMENT + r"SELECT\b", re.IGNORECASE | re.DOTALL)


def writes(sql: Any) -> bool:
    """Whether the statement may change rows of a table. (On PostgreSQL a function that is selected may.)"""
    return not _READS.match(str(sql))


def selects(sql: Any) -> bool:
    return bool(_SELECT.match(str(sql)))


def _detach_rows(cursor: Any) -> None:
    """
    Take what a statement with RETURNING gave, and let the cursor give it again from a SELECT.

    SQLite does not commit while a statement that writes has rows left to give.
    """
    if cursor.description is None:
        return
    rows = cursor.fetchall()
    if not rows:
        return
    width = len(rows[0])
    one = f"({', '.join(['%s'] * width)})"
    values = [value for row in rows for value in row]
    cursor.execute(f"VALUES {', '.join([one] * len(rows))}", values)
