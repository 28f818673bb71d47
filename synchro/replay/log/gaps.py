"""
Gaps: ids below the highest one seen that are not visible yet.

Ids say nothing about the order of commits. So a gap is looked into again, until no transaction is left that could
still bring its ids.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.db import connections
from django.utils.translation import gettext as _

from synchro.backends import Backend, backend_for
from synchro.conf import LOCAL
from synchro.models import ChangeLog, Node
from synchro.replay.log.entries import parts_of_log
from synchro.replay.log.ranges import Range, between, ranges_of
from synchro.replay.session import Database, Session


@dataclass(frozen=True)
class Gap:
    """Ids that were not there, and the transactions, open at that time, that may yet bring them."""

    ids: Range
    #: None where the engine cannot tell who is writing: then the gap stays.
    writers: frozenset[str] | None


def gaps_of(node: Node) -> list[Range]:
    """Return the ids that may yet appear below the highest one of the node's log that was put into a batch."""
    return [gap.ids for gap in _load(node)]


def look_into_gaps(node: Node, new: Sequence[Range]) -> list[int]:
    """
    Return the ids that have appeared in LOCAL's gaps, `new` ones among them, and note in `node` which gaps are left.

    The order matters: ask who is writing, then look, so that whoever was not writing any more has had its commit
    seen.
    """
    gaps = _load(node)
    if not gaps and not new:
        return []
    backend = backend_for(connections[LOCAL])
    writers = backend.writers(ChangeLog._meta.db_table) if backend.sees_commits() else None
    gaps += [Gap(ids, writers) for ids in new]
    filled = visible_ids([gap.ids for gap in gaps])
    _store(node, _left(backend, gaps, filled, writers))
    return filled


def _left(
    backend: Backend, gaps: Iterable[Gap], filled: Sequence[int], writers: frozenset[str] | None
) -> Iterator[Gap]:
    for gap in gaps:
        if writers is None or gap.writers is None:  # noqa: SIM108  a line of its own for the reason
            waiting = writers  # once it can be told, whoever writes at that moment counts as a candidate
        else:
            waiting = backend.still_open(gap.writers, writers)
        if waiting is None or waiting:
            inside = [number for number in filled if gap.ids.first <= number <= gap.ids.last]
            for ids in between(ranges_of([*inside, gap.ids.last + 1]), gap.ids.first - 1):
                yield Gap(ids, waiting)


def visible_ids(ranges: Iterable[Range]) -> list[int]:
    """Return those of these ids that LOCAL's log has at this moment, ascending."""
    parts = parts_of_log(Database(LOCAL), ranges)
    return sorted(number for part in parts for number in part.values_list("id", flat=True))


def warn_of_unknown_writers(session: Session, node: Node) -> None:
    """Warn where gaps stay only because nobody can tell who is writing."""
    if any(gap.writers is None for gap in _load(node)):
        session.warn(
            _(
                "The account of LOCAL may not see which transactions are open. So ids that were rolled back are "
                "looked for at every run, for ever, which costs a little time and loses nothing. Grant it PROCESS "
                "(MariaDB), or SELECT on performance_schema (MySQL)."
            )
        )


def _load(node: Node) -> list[Gap]:
    return [
        Gap(Range(first, last), None if writers is None else frozenset(writers))
        for first, last, writers in json.loads(node.holes)
    ]


def _store(node: Node, gaps: Iterable[Gap]) -> None:
    node.holes = json.dumps(
        [[*gap.ids, None if gap.writers is None else sorted(gap.writers)] for gap in gaps]
    )
