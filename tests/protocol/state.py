"""
What the model of the protocol knows of each database, of each run, and of the world around them.

All of it is values that are never changed, so that a state can be remembered and met again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

#: A change of a row, named by the moment at which it was made. No two are made at the same moment.
Moment: TypeAlias = int
Moments: TypeAlias = frozenset[Moment]
NOTHING: Moments = frozenset()


class Row(NamedTuple):
    """The value of a row, or what was known of it when it was deleted."""

    #: Which object it is. No database knows that; the checker does.
    object: int
    written: Moment
    #: The changes that have led to this value. No database knows that either.
    seen: Moments


class Entry(NamedTuple):
    id: int
    key: int
    written: Moment
    #: "add", "set" or "del".
    action: str


class Transaction(NamedTuple):
    """One that is open on a database. Its ids are taken, and nobody sees its entries yet."""

    name: int
    entries: tuple[Entry, ...]
    rows: tuple[tuple[int, Row], ...]


class Gap(NamedTuple):
    id: int
    writers: frozenset[int]


class Batch(NamedTuple):
    number: int
    ids: tuple[int, ...]
    token: int
    #: When it was formed. (Nothing but pruning asks.)
    formed: Moment = 0


class Note(NamedTuple):
    """A change in quarantine, or that it is there no more."""

    batch: int
    key: int
    written: Moment
    action: str
    is_over: bool


class Record(NamedTuple):
    """A conflict: the changes that lost it."""

    batch: int
    key: int
    losers: Moments


class Pair(NamedTuple):
    """A reference: the key here, the key there, and the batch that made it."""

    own: int
    other: int
    batch: int


class Peer(NamedTuple):
    """What a database knows of another one."""

    checkpoint: int = 0
    #: The last batch that came from there, and its token.
    receipt: tuple[int, int] = (0, 0)
    pairs: frozenset[Pair] = frozenset()
    notes: frozenset[Note] = frozenset()
    records: frozenset[Record] = frozenset()


class Node(NamedTuple):
    """A database."""

    peers: tuple[Peer, ...]
    next_key: int
    rows: tuple[tuple[int, Row], ...] = ()
    gone: tuple[tuple[int, Row], ...] = ()
    log: tuple[Entry, ...] = ()
    next_id: int = 1
    open: tuple[Transaction, ...] = ()
    highest: int = 0
    gaps: tuple[Gap, ...] = ()
    batches: tuple[Batch, ...] = ()
    formed: int = 0
    pruned: int = 0
    pruned_until: Moment = 0
    #: How often it was put back to an older state.
    life: int = 0


class Effect(NamedTuple):
    """What a batch does to one row of REMOTE: a value to write, or None to delete it."""

    local: int
    remote: int | None
    row: Row | None


class Plan(NamedTuple):
    effects: tuple[Effect, ...] = ()
    #: LOCAL's keys whose references are to be forgotten on LOCAL, and REMOTE's on REMOTE.
    forgotten: tuple[int, ...] = ()
    #: Pairs that are there already, and that are not remembered yet.
    pairs: tuple[tuple[int, int], ...] = ()
    records: frozenset[Record] = frozenset()
    notes: frozenset[Note] = frozenset()


class Run(NamedTuple):
    """A process that synchronizes, and where it is."""

    link: int
    step: str
    is_retry: bool = False
    #: Whether it holds the lock. A connection that is lost takes the lock along.
    is_alone: bool = True
    is_first: bool = True
    arrived: int = 0
    batch: Batch | None = None
    new: tuple[int, ...] = ()
    writers: frozenset[int] = frozenset()
    visible: frozenset[int] | None = None
    changes: tuple[Entry, ...] = ()
    born: frozenset[int] = frozenset()
    #: Up to which batch LOCAL had received REMOTE's changes before it was read.
    taken: int = 0
    #: Up to which batch REMOTE had dropped its own log before LOCAL was read.
    pruned: int = 0
    #: What of that LOCAL had refused, as it is in REMOTE's quarantine.
    held: tuple[Note, ...] = ()
    rows: tuple[tuple[int, Row], ...] = ()
    identities: tuple[tuple[int, int | None], ...] = ()
    plan: Plan = Plan()


class State(NamedTuple):
    nodes: tuple[Node, ...]
    runs: tuple[Run | None, ...]
    #: The moment of the next change.
    clock: Moment = 1
    objects: int = 0
    #: The changes that were committed, with the object that each is about.
    committed: frozenset[tuple[Moment, int]] = frozenset()
    #: How many writes each database has left, and how often something may go wrong.
    writes: tuple[int, ...] = ()
    crashes: int = 0
    drops: int = 0
    retries: int = 0
    #: Objects that REMOTE refuses until somebody corrects that.
    refused: frozenset[int] = frozenset()
    #: A copy of a database, to be put back.
    copies: int = 0
    copy: tuple[int, Node] | None = None
    was_put_back: bool = False


def put(pairs: tuple[tuple[int, Row], ...], key: int, row: Row) -> tuple[tuple[int, Row], ...]:
    return tuple(sorted([*((k, r) for k, r in pairs if k != key), (key, row)]))


def drop(pairs: tuple[tuple[int, Row], ...], key: int) -> tuple[tuple[int, Row], ...]:
    return tuple((k, r) for k, r in pairs if k != key)


def replace_one(values: tuple, place: int, value: object) -> tuple:  # type: ignore[type-arg]
    return (*values[:place], value, *values[place + 1 :])


def with_node(state: State, place: int, node: Node) -> State:
    return state._replace(nodes=replace_one(state.nodes, place, node))


def with_peer(node: Node, place: int, peer: Peer) -> Node:
    return node._replace(peers=replace_one(node.peers, place, peer))


def remember(pairs: Iterable[Pair], new: Iterable[Pair]) -> frozenset[Pair]:
    """One reference for each of a database's own keys."""
    new = list(new)
    own = {pair.own for pair in new}
    return frozenset([*(pair for pair in pairs if pair.own not in own), *new])
