"""Retries: what is likely to pass is tried again, with growing pauses, before it counts as an error."""

from __future__ import annotations

import gc
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar

from django.db import Error
from django.utils.translation import gettext as _

from synchro import stopping
from synchro.exceptions import Busy, Interrupted, NotReady, SynchroError
from synchro.replay.session import Database

_lock = threading.Lock()
_inside = 0
_was_enabled = False


@contextmanager
def gc_paused() -> Iterator[None]:
    """Inside, Python's cycle collector does not run, in any thread; what has no cycles is freed as ever."""
    global _inside, _was_enabled
    with _lock:
        if _inside == 0:
            _was_enabled = gc.isenabled()
            gc.disable()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _was_enabled:
                gc.enable()


T = TypeVar("T")

#: Seconds to wait before each further attempt, varied a little: two runs that collided should not meet again.
PAUSES = (0.1, 0.4, 1.5, 4.0)


def retry_transient(
    attempt: Callable[[], T], databases: Sequence[Database], progress: Callable[[], int]
) -> T:
    """
    Return what `attempt` returns, tried again after errors that are likely to pass.

    Each time that it gets further, by `progress`, all attempts are allowed anew. Raises `Interrupted` after the last.
    """
    tries, reached = 0, progress()
    while True:
        try:
            return attempt()
        except (Error, SynchroError) as error:
            for database in databases:
                _release(database)
            if progress() > reached:
                tries, reached = 0, progress()
            if not _may_pass(error, databases, tries) or _are_in_transaction(databases):
                raise
            if tries == len(PAUSES):
                raise _last_error(error, databases) from error
        _pause(PAUSES[tries] * random.uniform(0.8, 1.2))  # noqa: S311  no secret
        tries += 1
        for database in databases:
            database.connection.close_if_unusable_or_obsolete()


def _release(database: Database) -> None:
    """
    Free a connection that Django takes for one inside a transaction, though it was lost just after a commit.

    Django cannot go back to autocommit then. It would close the connection in the next transaction, and never open it
    again.
    """
    connection = database.connection
    if connection.in_atomic_block and not connection.atomic_blocks:
        connection.in_atomic_block = connection.closed_in_transaction = False
        with suppress(Error):
            connection.close()


def _pause(seconds: float) -> None:
    stopping.wait(seconds)


def _may_pass(error: BaseException, databases: Sequence[Database], tries: int) -> bool:
    # The server may not have noticed yet that the session which held the lock is gone.
    if isinstance(error, Busy):
        return tries > 0
    # A server that cannot be reached at all is not waited for, unless it answered a moment ago.
    if isinstance(error, NotReady) and not tries:
        return False
    return any(database.backend.is_transient(each) for each in _chain(error) for database in databases)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes; a driver that raises an error again may close the chain to a ring."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        yield error
        seen.append(error)
        error = error.__cause__ or error.__context__


def _are_in_transaction(databases: Sequence[Database]) -> bool:
    """Return whether all happens inside the transaction of a test case, which cannot be begun again."""
    return any(database.connection.in_atomic_block for database in databases)


def _last_error(error: Exception, databases: Sequence[Database]) -> SynchroError:
    if isinstance(error, SynchroError):
        return error
    return Interrupted(
        _(
            "The run to the database “%(alias)s” was interrupted %(count)d times, at last by %(cause)s. What has "
            "arrived there stays; run synchronize again."
        )
        % {"alias": databases[-1].alias, "count": len(PAUSES) + 1, "cause": type(error).__name__}
    )
