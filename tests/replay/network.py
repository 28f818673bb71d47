"""Up to four deployments within one process. The first two are the pair of the run; the others are SQLite files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from synchro.core import call_synchronize
from synchro.report import Report
from tests.replay.deployments import BY_TRIGGERS, LOCAL, REMOTE, capture, set_capture

#: The nodes, by the aliases of their databases outside of `at`.
A, B, C, D = LOCAL, REMOTE, "branch", "island"


@contextmanager
def more_databases(blocker: Any, folder: Path, *aliases: str) -> Iterator[None]:
    """Inside, there are these databases too, with all tables. To be entered outside of tests."""
    if connections[LOCAL].vendor == "mysql":
        pytest.skip("tables of the suite have names then that SQLite's files cannot have")
    for alias in aliases:
        file = str(folder / f"{alias}.sqlite3")
        settings.DATABASES[alias] = {
            **connections[REMOTE].settings_dict,
            **dict.fromkeys(("USER", "PASSWORD", "HOST", "PORT"), ""),
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": file,
            "OPTIONS": {},
        }
        with blocker.unblock():
            call_command("migrate", database=alias, verbosity=0)
            if BY_TRIGGERS:
                set_capture(alias, "triggers")
        capture.setdefault(alias, settings.SYNCHRO_CAPTURE)
    try:
        yield
    finally:
        with blocker.unblock():
            for alias in aliases:
                connections[alias].close()
        for alias in aliases:
            del connections[alias], settings.DATABASES[alias]


@contextmanager
def at(node: str) -> Iterator[None]:
    """Inside, this process is the deployment whose own database is `node`, which is ``default`` there."""
    _exchange(node)
    try:
        yield
    finally:
        _exchange(node)


def _exchange(node: str) -> None:
    if node != LOCAL:
        local, other = connections[LOCAL], connections[node]
        local.alias, other.alias = node, LOCAL
        connections[LOCAL], connections[node] = other, local
        databases = connections.databases
        databases[LOCAL], databases[node] = databases[node], databases[LOCAL]
    ContentType.objects.clear_cache()


def alias_at(node: str, other: str) -> str:
    """What the deployment of `node` calls the database of `other`."""
    return node if other == LOCAL else LOCAL if other == node else other


def send(node: str, *others: str, atomic: bool = False) -> Report:
    """The deployment of `node` synchronizes to these, one after the other."""
    with at(node), override_settings(SYNCHRO_REMOTE=[alias_at(node, other) for other in others]):
        return call_synchronize(atomic=atomic)


def meet(edges: Sequence[tuple[str, str]]) -> None:
    """As the documentation has it: each synchronizes once before anything is changed."""
    for edge in edges:
        send(*edge)


def settle(edges: Sequence[tuple[str, str]], rounds: int = 6) -> int:
    """
    Let everybody send until nothing is pending; return how many rounds that took.

    Fails where it has no end.
    """
    for number in range(rounds):
        if not sum(send(*edge).entries for edge in edges):
            return number
    raise AssertionError(f"still something to send after {rounds} rounds")
