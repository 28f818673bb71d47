"""The words that the rules, the steps and the invariants of the model share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tests.protocol.state import (
    NOTHING,
    Effect,
    Entry,
    Moment,
    Note,
    Plan,
    Record,
    Row,
    Run,
    State,
)


class Wrong(Exception):
    """A promise is broken."""


class Stopped(Exception):
    """A run that refuses to go on, in words."""


class Scope(NamedTuple):
    """How large the model is."""

    #: From which database to which.
    links: tuple[tuple[int, int], ...] = ((0, 1),)
    #: How many changes each database makes.
    writes: tuple[int, ...] = (3, 0)
    objects: int = 2
    #: How many transactions are open on a database at once, with how many changes each.
    writers: int = 2
    changes: int = 1
    batch_size: int = 2
    crashes: int = 1
    #: How often a run loses its lock, and another one begins beside it.
    drops: int = 0
    #: Whether REMOTE hands out keys of its own.
    references: bool = True
    #: Whether objects can be deleted, and whether transactions are rolled back.
    deletes: bool = True
    rollbacks: bool = True
    #: How often somebody asks for what is in quarantine to be tried again; None where there is none.
    retries: int | None = None
    #: Whether REMOTE takes an object when it is new, and refuses its changes only.
    refuses_changes: bool = False
    prunes: bool = False
    #: How often a copy of LOCAL is taken and put back.
    copies: int = 0


class Conflict(NamedTuple):
    """REMOTE's own changes of a row that LOCAL has not received."""

    written: Moment
    deleted: bool
    is_born: bool


class Planned:
    """A plan that is being made."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.effects: list[Effect] = []
        self.forgotten: list[int] = []
        self.records: list[Record] = []

    def record(self, key: int, moments: frozenset[Moment]) -> None:
        if moments:
            self.records.append(Record(self.number, key, moments))

    def decide(
        self, key: int, ours: tuple[Row, Moment], theirs: tuple[Row | None, Moment], is_won: bool
    ) -> None:
        (loser, until), (winner, _) = (theirs, ours) if is_won else (ours, theirs)
        self.record(key, losers(loser, winner, until))

    def plan(self) -> Plan:
        return Plan(tuple(self.effects), tuple(self.forgotten), records=frozenset(self.records))


def later(first: Entry | None, second: Entry | None) -> Entry:
    """What two entries of one object say together."""
    if first is None or second is None:
        found = first or second
        assert found is not None
        return found
    return second._replace(written=max(first.written, second.written))


def losers(loser: Row | None, winner: Row | None, until: Moment | None = None) -> frozenset[Moment]:
    """The changes, up to a moment, that are in the one and not in the other."""
    if loser is None:
        return NOTHING
    lost = loser.seen - (winner.seen if winner else NOTHING)
    return lost if until is None else frozenset(moment for moment in lost if moment <= until)


def newest_notes(notes: Iterable[Note], arrived: int) -> list[Note]:
    found: dict[int, Note] = {}
    for note in sorted(notes):
        if note.batch <= arrived:
            found[note.key] = note
    return [note for note in found.values() if not note.is_over]


def recorded(state: State, scope: Scope, run: Run | None = None) -> frozenset[Moment]:
    """All changes that a record says have lost, of batches that have arrived, or that are about to."""
    found: set[Moment] = set()
    for place, (here, there) in enumerate(scope.links):
        arrived = state.nodes[there].peers[here].receipt[0]
        if run is not None and run.link == place and run.batch is not None:
            arrived = max(arrived, run.batch.number)
        for record in state.nodes[here].peers[there].records:
            if record.batch <= arrived:
                found |= record.losers
    return frozenset(found)
