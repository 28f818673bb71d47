"""What is to be written to REMOTE, and what is decided on the way: the values that the steps of a batch pass on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

from django.db.models import Model

from synchro.keys import AnyField, Key
from synchro.models import Conflict
from synchro.registry import Table
from synchro.relations import generic_keys
from synchro.replay.log.changes import Change, RowId
from synchro.replay.log.names import has_fields

#: The keys of the objects at both ends, that which declares the field first; None for one that a side does not have.
Pair = tuple[Key, Key]


@dataclass(frozen=True)
class Loss:
    """A row that only REMOTE had, and that goes with the object which it belonged to."""

    #: The object that LOCAL deleted, by LOCAL's key.
    model: type[Model]
    key: Key
    child: type[Model]
    remote_key: Key
    column: AnyField
    local_date: datetime
    remote_date: datetime


@dataclass(frozen=True)
class Decision:
    """A conflict and who won it."""

    model: type[Model]
    key: Key
    remote_key: Key
    #: None for the whole row.
    fields: tuple[str, ...] | None
    local_date: datetime
    remote_date: datetime
    winner: str


@dataclass(frozen=True)
class Merge:
    """The values that an object of LOCAL is to get."""

    model: type[Model]
    key: Key
    #: LOCAL's row as the callable saw it.
    row: Sequence[Any]
    values: Mapping[AnyField, Any]
    #: What was decided about the fields of this object, with which it is put on record.
    decisions: Sequence[Decision]


@dataclass(frozen=True)
class MemberConflict:
    """A member of a set that is in it on one side only, since both sides have changed that; and who won."""

    #: By LOCAL's keys, and by REMOTE's.
    pair: Pair
    remote_pair: Pair
    is_in_here: bool
    local_date: datetime
    remote_date: datetime
    winner: str


@dataclass
class Plan:
    """What is to be written to REMOTE."""

    #: LOCAL's keys of the rows to write, with the names of the fields to write; None for the whole row.
    puts: dict[type[Model], dict[Key, frozenset[str] | None]] = field(default_factory=dict)
    #: LOCAL's keys of the rows that go in bulk, by model; when they are written, of those that LOCAL has.
    bulk: dict[type[Model], Collection[Key]] = field(default_factory=dict)
    #: REMOTE's keys of the rows to delete, with LOCAL's keys where they are known.
    removals: dict[type[Model], dict[Key, Key | None]] = field(default_factory=dict)
    #: LOCAL's keys of objects that are gone on LOCAL, whose references are to be forgotten.
    forgotten: dict[type[Model], list[Key]] = field(default_factory=dict)
    #: LOCAL's keys of objects that are left as REMOTE has them; None for one that LOCAL has no key for.
    kept: dict[type[Model], list[Key | None]] = field(default_factory=dict)
    conflicts: list[Decision] = field(default_factory=list)
    #: Of members of sets, by the automatic table.
    member_conflicts: dict[type[Model], list[MemberConflict]] = field(default_factory=dict)
    #: Rows that only REMOTE had, and that go with an object.
    losses: list[Loss] = field(default_factory=list)
    #: REMOTE's keys of objects that LOCAL deleted and that stay there, with the time of the change that they stay for.
    stays: dict[type[Model], dict[Key, datetime]] = field(default_factory=dict)
    #: REMOTE's keys of rows that depend on these, or on what goes, and that REMOTE changed itself: what becomes of them
    #: was decided with the object.
    decided: dict[type[Model], set[Key]] = field(default_factory=dict)
    #: LOCAL's keys of objects that REMOTE deleted, and that come back there.
    revived: dict[type[Model], set[Key]] = field(default_factory=dict)
    #: Values that LOCAL is to get first. Then nothing of this plan is carried out.
    merges: list[Merge] = field(default_factory=list)
    #: How many conflicts were put on record when values were merged, before the batch was begun again.
    recorded: int = 0
    #: LOCAL's keys of objects that the batch is about and that are set aside, so that they are in nothing above.
    left_out: dict[type[Model], set[Key]] = field(default_factory=dict)

    def asked(self, model: type[Model]) -> set[Key]:
        """LOCAL's keys of all objects of the model that the batch is about, whatever becomes of them."""
        going = {local for local in self.removals.get(model, {}).values() if local is not None}
        others = (
            self.forgotten.get(model, ()),
            self.kept.get(model, ()),
            self.left_out.get(model, ()),
            self.bulk.get(model, ()),
        )
        return {*self.puts.get(model, {}), *going, *chain.from_iterable(others)}

    def writes(self, model: type[Model], key: Key) -> bool:
        """Return whether this row is written, by itself or in bulk."""
        return key in self.puts.get(model, ()) or key in self.bulk.get(model, ())

    def put(self, model: type[Model], key: Key, fields: frozenset[str] | None = None) -> None:
        self.puts.setdefault(model, {})[key] = fields

    def remove(self, model: type[Model], remote: Key, local: Key | None) -> None:
        self.removals.setdefault(model, {})[remote] = local

    def keep(self, model: type[Model], key: Key | None) -> None:
        self.kept.setdefault(model, []).append(key)

    def revive(self, model: type[Model], key: Key) -> None:
        self.revived.setdefault(model, set()).add(key)

    def is_lost(self, through: type[Model], member_conflict: MemberConflict | None) -> bool:
        """Whether REMOTE's change of a pair stands; what was decided is noted."""
        if member_conflict is None:
            return False
        self.member_conflicts.setdefault(through, []).append(member_conflict)
        return member_conflict.winner == Conflict.REMOTE


@dataclass
class Tally:
    """How many rows of each model were written."""

    added: dict[type[Model], int] = field(default_factory=dict)
    changed: dict[type[Model], int] = field(default_factory=dict)
    deleted: dict[type[Model], int] = field(default_factory=dict)


class Reason(NamedTuple):
    """Why a row is set aside."""

    cause: str
    #: Whether it only waits for another one.
    waits: bool = False


Reasons: TypeAlias = dict[RowId, Reason]


@dataclass(frozen=True)
class Note:
    """What a batch changes about what is set aside."""

    #: What is set aside with it, anew or still.
    kept: Mapping[RowId, Change] = field(default_factory=dict)
    reasons: Mapping[RowId, Reason] = field(default_factory=dict)
    #: What is set aside no more.
    over: Mapping[RowId, Change] = field(default_factory=dict)


@lru_cache(maxsize=10_000)
def synchronized_names(model: type[Model], names: tuple[str, ...]) -> frozenset[str] | None:
    """Those of the named fields that are synchronized; None where these are all, or may be any."""
    if not has_fields(model, names):
        return None  # one that has another name now
    fields = Table(model).fields
    wanted = {*names}
    for generic in generic_keys(model):  # a key means nothing without its content type
        if wanted & {generic.ct_field, generic.fk_field}:
            wanted |= {generic.ct_field, generic.fk_field}
    found = frozenset(field.name for field in fields if field.name in wanted)
    return None if len(found) == len(fields) else found
