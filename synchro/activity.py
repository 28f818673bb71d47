"""
Which long tasks go on: loads, comparisons and moves, in whatever process.

A task holds a lock of LOCAL's server while it lasts. So nothing has to be written for it, and nothing stays behind
where its process is killed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import Error, connections

from synchro.backends import backend_for
from synchro.conf import LOCAL
from synchro.exceptions import Busy

#: What is said of in `synchro_status`.
TASKS = ("load", "verify", "move")


@contextmanager
def at(task: str, alias: str) -> Iterator[None]:
    """Inside, `tasks_of` tells that this task goes on for the REMOTE `alias`; it may go on several times at once."""
    with backend_for(connections[LOCAL]).lock(_name(task, alias)):
        yield


@contextmanager
def alone_at(task: str, alias: str) -> Iterator[None]:
    """The same, for a task that must not go on twice. Raises `Busy` where it does."""
    with backend_for(connections[LOCAL]).lock(_name(task, alias)) as taken:
        if not taken:
            raise Busy(f"Another process is at it: {task} to the database “{alias}”.")
        yield


def tasks_of(alias: str) -> list[str]:
    """Return which tasks go on for the REMOTE `alias`."""
    return [task for task in TASKS if _goes_on(task, alias)]


def _goes_on(task: str, alias: str) -> bool:
    try:
        with backend_for(connections[LOCAL]).lock(_name(task, alias)) as taken:
            return not taken
    except (Error, sqlite3.Error):
        return False  # a folder in which nothing can be written: nobody has a lock there


def _name(task: str, alias: str) -> str:
    # Some servers share lock names between their databases.
    return f"{connections[LOCAL].settings_dict['NAME']} {task} {alias}"
