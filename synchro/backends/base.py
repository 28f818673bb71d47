"""The interface of an engine."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime

from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.backends.foreign import ForeignTrigger
from synchro.backends.rows import Convert, PairsTable, Row, Rows, Unfit, quoted

__all__ = ["PREPARED", "Backend", "Convert", "PairsTable", "Row", "Rows", "Unfit", "quoted"]

#: How the name of a transaction begins that was prepared for a commit in two phases: it outlives its connection.
PREPARED = "prepared "


class Backend(Rows):
    """What differs between the engines, bound to a connection as Django's own operations are."""

    @contextmanager
    def own_session(self) -> Iterator[None]:
        """Inside, and outside of transactions, the session reads and writes SQL as the replayer does."""
        yield

    @contextmanager
    def strictly(self) -> Iterator[None]:
        """Inside, what a column cannot hold as it is raises an error, whatever the server is told otherwise."""
        yield

    def begin_writing(self) -> None:
        """First thing in a transaction that will write: take what could not be taken later on."""

    def before_read_committed(self) -> None:
        """Make the transaction that begins next see what others commit while it runs, whatever the default is."""

    @contextmanager
    def long_texts(self) -> Iterator[None]:
        """Inside, texts of many rows that are joined to one are not cut off, as far as the server can help it."""
        yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """A transaction in which all that is read is of one moment, whatever others commit meanwhile."""
        self.before_snapshot()
        with transaction.atomic(using=self.connection.alias):
            if not self.connection.savepoint_ids:  # the outermost block: nothing has been asked yet
                self.begin_snapshot()
            yield

    def before_snapshot(self) -> None:
        """What has to be said before the transaction of a snapshot begins."""

    @abstractmethod
    def begin_snapshot(self) -> None:
        """First thing in the transaction of a snapshot: fix the moment."""

    def sees_commits(self) -> bool:
        """Whether each statement of the present transaction sees what others have committed up to then."""
        return True

    @abstractmethod
    def is_transient(self, error: BaseException) -> bool:
        """
        Whether `error`, of Django or of the driver, may well not come again: a lost connection, a server that is
        just being restarted, a deadlock, a lock that somebody else held for too long.
        """

    def refuses_row(self, error: BaseException) -> bool:
        """
        Whether `error`, of Django, may be about a row that the database does not take, or does not give.

        That is any error but those of the connection, the transaction, the account and the server.
        """
        if isinstance(error, IntegrityError | DataError):
            return True
        return (
            isinstance(error, DatabaseError)
            and not isinstance(error, InterfaceError | transaction.TransactionManagementError)
            and not self.is_transient(error)
            and not self.is_full(error)
            and not self.is_about_the_server(error)
        )

    @abstractmethod
    def is_about_the_server(self, error: BaseException) -> bool:
        """Whether `error`, of Django, would come whatever row was written: the server, or the account, is not fit."""

    @abstractmethod
    def is_full(self, error: BaseException) -> bool:
        """Whether `error` says that there is no room left on the database's disk."""

    def lacking_rights(self, tables: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
        """
        The `tables`, given with their columns, that this account may not write into, each with what it may not:
        INSERT, UPDATE or DELETE. As far as the database tells without writing.
        """
        return []

    def filtered(self, tables: Sequence[str]) -> list[str]:
        """Those of the `tables` of which the database hides rows from this account, by policies of theirs."""
        return []

    #: How a trigger names the switch that is on while a run writes.
    switch: re.Pattern[str]

    @abstractmethod
    def triggers_on(self, tables: Sequence[str]) -> list[ForeignTrigger]:
        """All triggers, and rules, that fire where a run writes into these tables; ours are among them."""

    def sees_triggers(self) -> bool:
        """Whether this account is shown the triggers of every table."""
        return True

    @abstractmethod
    def place(self) -> str:
        """
        Which database of which server this is, as the server itself says: the same by whatever name or address it is
        reached.
        """

    @abstractmethod
    def is_same(self, other: BaseDatabaseWrapper, table: str) -> bool:
        """Whether `table` of `one`, and of `other` on the same engine, is one and the same table."""

    def keep_texts_exact(self, tables: Sequence[str]) -> None:
        """
        Have the text columns of these tables, which are synchro's, take every character, and tell any two texts apart.

        Raises `NotReady` where somebody else has a lock on one for too long.
        """

    @abstractmethod
    def now(self) -> datetime:
        """The database's clock, aware, in UTC."""

    @abstractmethod
    def lock(self, name: str) -> AbstractContextManager[bool]:
        """
        Try to be the only one, in any process, that holds the lock `name`; never wait.

        Gives whether it was taken. It is released at the end of the block, or with the process.
        """

    def reserves_ids(self, table: str, column: str) -> bool:
        """Whether a session may take several ids at once and use them later, in transactions that have not begun."""
        return False

    def gives_ids_again(self, table: str, column: str, highest: int) -> bool:
        """Whether new rows get ids up to `highest` although there is a row with that one."""
        return False

    @abstractmethod
    def writers(self, table: str) -> frozenset[str] | None:
        """
        Names of the other open transactions that may have taken an id of `table` and not shown it yet.

        A name is never used again while it matters. None where the engine, or the account, cannot tell.
        """

    def still_open(self, then: frozenset[str], now: frozenset[str]) -> frozenset[str]:
        """
        The `writers` of an earlier moment that are among those of `now`, by the names that they have now.

        A transaction gets another name when it is prepared, so any prepared one may be one of them.
        """
        return (then & now) | {name for name in now if name.startswith(PREPARED)} if then else then

    def atomic_write(self) -> AbstractContextManager[None]:
        """A transaction that will write, and may read before; to be used where none is open."""
        block: AbstractContextManager[None] = transaction.atomic(using=self.connection.alias, savepoint=False)
        return block

    @contextmanager
    def capture_off(self) -> Iterator[None]:
        """Inside, what this connection writes is not captured by triggers; nobody else's writes are affected."""
        yield
