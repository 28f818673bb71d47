"""SQLite: one writer at a time, no server."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from hashlib import blake2b

from django.contrib.contenttypes.models import ContentType
from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.backends.base import Backend
from synchro.backends.capture import StatementSwitch
from synchro.backends.foreign import ForeignTrigger
from synchro.backends.sqlite_rows import SQLiteRows

_memory_locks: dict[str, threading.Lock] = {}

#: A trigger up to its statements; and what makes a write vanish without an error, which is no refusal.
BEGINNING = re.compile(r".*?\bBEGIN\b", re.IGNORECASE | re.DOTALL)

IGNORED = re.compile(r"\bRAISE\s*\(\s*IGNORE\s*\)", re.IGNORECASE)

#: What a row may be the reason of: any error of a statement, a value that is too long, a constraint, a type that the
#: column does not take, a range.
OF_A_ROW = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_RANGE,
}


def _code(error: BaseException) -> int | None:
    """SQLite's own number for an error of Django or of the driver, without what it adds for the details."""
    cause = error.__cause__ if isinstance(error, Error) else error
    code: int | None = getattr(cause, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


class SQLite(SQLiteRows, Backend):
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


def _exclusive(guard: sqlite3.Connection) -> bool:
    try:
        guard.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True
