"""Ask both servers at the same time, each by the connection that this process has to it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.verify.sides import Side, Sides

T = TypeVar("T")


def of_both(sides: Sides, ask: Callable[[Side], T]) -> tuple[T, T]:
    """Return what `ask` says of LOCAL and of REMOTE; it asks nobody else."""
    connection = sides.remote.database.connection
    connection.inc_thread_sharing()  # this thread does not use it meanwhile
    try:
        with ThreadPoolExecutor(max_workers=1) as thread:
            remote = thread.submit(_with, connection, ask, sides.remote)
            return ask(sides.local), remote.result()
    finally:
        connection.dec_thread_sharing()


def _with(connection: BaseDatabaseWrapper, ask: Callable[[Side], T], side: Side) -> T:
    """Ask by this connection, in place of one that Django would open for the thread."""
    connections[connection.alias] = connection
    try:
        return ask(side)
    finally:
        del connections[connection.alias]


__all__ = ["of_both"]
