"""Retry: what is likely to pass is tried again, with growing pauses, before it counts as an error."""

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
    """Inside, in any thread, Python's cycle collector does not run; what has no cycles is freed as ever."""
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

#: Seconds to wait before each further attempt, about: two that are in each other's way should not meet again.
PAUSES = (0.1, 0.4, 1.5, 4.0)


def retry_transient(attempt: Callable[[], T], sides: Sequence[Database], progress: Callable[[], int]) -> T:
    """
    What `attempt` returns; each time that it gets further, by `progress`, the patience is new.

    Raises `Interrupted` when it is at an end.
    """
    tries, reached = 0, progress()
    while True:
        try:
            return attempt()
        except (Error, SynchroError) as error:
            for side in sides:
                _release(side)
            if progress() > reached:
                tries, reached = 0, progress()
            if not _may_pass(error, sides, tries) or _are_bound(sides):
                raise
            if tries == len(PAUSES):
                raise _at_the_end(error, sides) from error
        _pause(PAUSES[tries] * random.uniform(0.8, 1.2))  # noqa: S311  no secret
        tries += 1
        for side in sides:
            side.connection.close_if_unusable_or_obsolete()


def _release(side: Database) -> None:
    """
    Where a connection is lost just after a commit, Django cannot go back to autocommit, and takes the connection for
    one inside a transaction as soon as the next begins: for ever, since what it closes there it does not open again.
    """
    connection = side.connection
    if connection.in_atomic_block and not connection.atomic_blocks:
        connection.in_atomic_block = connection.closed_in_transaction = False
        with suppress(Error):
            connection.close()


def _pause(seconds: float) -> None:
    stopping.wait(seconds)


def _may_pass(error: BaseException, sides: Sequence[Database], tries: int) -> bool:
    # The server may not have noticed yet that the session which held our lock is gone.
    if isinstance(error, Busy):
        return tries > 0
    # Somebody who cannot be reached at all is not waited for, unless he was there a moment ago.
    if isinstance(error, NotReady) and not tries:
        return False
    return any(side.backend.is_transient(each) for each in _chain(error) for side in sides)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what it came of; a driver that raises an error again may close the chain to a ring."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        yield error
        seen.append(error)
        error = error.__cause__ or error.__context__


def _are_bound(sides: Sequence[Database]) -> bool:
    """Whether all happens inside the transaction of a test case, which cannot be begun again."""
    return any(side.connection.in_atomic_block for side in sides)


def _at_the_end(error: Exception, sides: Sequence[Database]) -> SynchroError:
    if isinstance(error, SynchroError):
        return error
    return Interrupted(
        _(
            "The run to the database “%(alias)s” was interrupted %(count)d times, at last by %(cause)s. What has "
            "arrived there stays; run synchronize again."
        )
        % {"alias": sides[-1].alias, "count": len(PAUSES) + 1, "cause": type(error).__name__}
    )
