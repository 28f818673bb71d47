"""Up to four deployments within one process. The first two are the pair of the run; the others are like these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.test import override_settings

from synchro.core import call_synchronize
from synchro.report import Report
from tests.clones import clone
from tests.flush import flush
from tests.replay.deployments import BY_TRIGGERS, LOCAL, REMOTE, capture, set_capture

#: The nodes, by the aliases of their databases outside of `at`.
A, B, C, D = LOCAL, REMOTE, "branch", "island"


@contextmanager
def more_databases(blocker: Any, folder: Path, *aliases: str) -> Iterator[None]:
    """
    Inside, there are these databases too, with all tables: of REMOTE's kind and of LOCAL's, by turns.

    To be entered outside of tests.
    """
    made: list[str] = []
    try:
        for alias, template in zip(aliases, cycle((REMOTE, LOCAL)), strict=False):
            with blocker.unblock():
                settings.DATABASES[alias] = clone(connections[template], alias, folder)
                made.append(alias)
                flush(alias)  # the other one's node id, among others
                if BY_TRIGGERS:
                    set_capture(alias, "triggers")
            capture.setdefault(alias, settings.SYNCHRO_CAPTURE)
        yield
    finally:
        for alias in made:
            with blocker.unblock():
                connections[alias].creation.destroy_test_db("", verbosity=0)
            del connections[alias], settings.DATABASES[alias]
            capture.pop(alias, None)


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


def send(node: str, *others: str, atomic: bool = False, retry: bool = False) -> Report:
    """The deployment of `node` synchronizes to these, one after the other."""
    with at(node), override_settings(SYNCHRO_REMOTE=[alias_at(node, other) for other in others]):
        return call_synchronize(atomic=atomic, retry=retry)


def meet(edges: Sequence[tuple[str, str]]) -> None:
    """As the documentation has it: each synchronizes once before anything is changed."""
    for edge in edges:
        send(*edge)


def settle(edges: Sequence[tuple[str, str]], rounds: int = 6, retry: bool = False) -> int:
    """
    Let everybody send until nothing is pending; return how many rounds that took.

    With `retry`, nothing is left in quarantine either. Fails where it has no end.
    """
    for number in range(rounds):
        reports = [send(*edge, retry=retry) for edge in edges]
        if not any(report.entries or (retry and report.aside) for report in reports):
            return number
    raise AssertionError(f"still something to send after {rounds} rounds")
