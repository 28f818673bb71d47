"""The nouns of the replay: the values that the steps of a batch pass on to each other."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.keys import AnyField, Key
from synchro.models import Conflict
from synchro.registry import Table
from synchro.relations import generic_keys
from synchro.replay.log.changes import Change, RowId
from synchro.replay.log.names import has_fields

#: A row of an automatic many-to-many table: the keys of both objects, first that of the model that declares the field;
#: None for an object that the database lacks.
Pair = tuple[Key, Key]


@dataclass(frozen=True)
class LostRow:
    """A row that only REMOTE has, and that is deleted there together with the object that it depends on."""

    #: The object that LOCAL deleted, by LOCAL's key.
    model: type[Model]
    key: Key
    #: The row, by REMOTE's key, and the column by which it points at the object.
    child: type[Model]
    remote_key: Key
    column: AnyField
    local_date: datetime
    remote_date: datetime
    winner: str = Conflict.LOCAL


@dataclass(frozen=True)
class Decision:
    """A conflict about a row, and which side won it."""

    model: type[Model]
    #: LOCAL's key, and REMOTE's.
    key: Key
    remote_key: Key
    #: The names of the fields that both sides changed; None for the whole row.
    fields: tuple[str, ...] | None
    #: When LOCAL changed it, by LOCAL's clock, and REMOTE by REMOTE's.
    local_date: datetime
    remote_date: datetime
    #: `Conflict.LOCAL`, `Conflict.REMOTE` or `Conflict.MERGED`.
    winner: str


@dataclass(frozen=True)
class Merge:
    """The values that a callable gave for an object, to be written to LOCAL."""

    model: type[Model]
    key: Key
    #: LOCAL's row as the callable saw it.
    row: Sequence[Any]
    values: Mapping[AnyField, Any]
    #: The decisions about the fields of this object, which are put on record together with the values.
    decisions: Sequence[Decision]


@dataclass(frozen=True)
class MemberConflict:
    """A member of a set that both sides changed and only one has in its set, and which side won."""

    #: By LOCAL's keys, and by REMOTE's.
    pair: Pair
    remote_pair: Pair
    #: Whether LOCAL has it in the set, and REMOTE has not; else the other way round.
    is_local_member: bool
    local_date: datetime
    remote_date: datetime
    #: `Conflict.LOCAL` or `Conflict.REMOTE`.
    winner: str


@dataclass
class Plan:
    """
    What a batch does to REMOTE, and what was decided about it.

    Each step of the batch completes it: `resolve`, `resolve_cascades`, `resolve_members`, `add_parents`,
    `leave_out_refused`. The writer carries it out.
    """

    #: LOCAL's keys of the rows to write to REMOTE, with the names of the fields to write; None for the whole row.
    writes: dict[type[Model], dict[Key, frozenset[str] | None]] = field(default_factory=dict)
    #: LOCAL's keys of the rows that are written in bulk, by model; once they are, of those that LOCAL has.
    bulk: dict[type[Model], Collection[Key]] = field(default_factory=dict)
    #: REMOTE's keys of the rows to delete there, with LOCAL's keys where they are known.
    deletions: dict[type[Model], dict[Key, Key | None]] = field(default_factory=dict)
    #: LOCAL's keys of objects that LOCAL has no more, whose references are deleted with the batch.
    obsolete_references: dict[type[Model], list[Key]] = field(default_factory=dict)
    #: LOCAL's keys of objects that are not written since REMOTE's change won; None for one that LOCAL has no key for.
    remote_wins: dict[type[Model], list[Key | None]] = field(default_factory=dict)
    #: REMOTE's keys of objects that LOCAL deleted and REMOTE keeps, with the time of REMOTE's change that won.
    withheld_deletions: dict[type[Model], dict[Key, datetime]] = field(default_factory=dict)
    #: LOCAL's keys of objects that REMOTE deleted and that are written there again, since LOCAL's change won.
    restored: dict[type[Model], set[Key]] = field(default_factory=dict)
    #: REMOTE's keys of rows that REMOTE changed itself and that depend on an object that LOCAL deleted: the decision
    #: about the object is also the one about them.
    decided_dependents: dict[type[Model], set[Key]] = field(default_factory=dict)
    #: Rows that only REMOTE has, and that are deleted together with an object.
    lost_rows: list[LostRow] = field(default_factory=list)
    #: The conflicts about rows.
    conflicts: list[Decision] = field(default_factory=list)
    #: The conflicts about members of sets, by the automatic table.
    member_conflicts: dict[type[Model], list[MemberConflict]] = field(default_factory=dict)
    #: Values to write to LOCAL. Where there are any, the batch begins again and nothing of this plan is carried out.
    merges: list[Merge] = field(default_factory=list)
    #: How many conflicts were put on record when values were merged, before the batch began again.
    recorded_before: int = 0
    #: LOCAL's keys of objects of the batch that are quarantined with it, and taken out of all of the above.
    quarantined: dict[type[Model], set[Key]] = field(default_factory=dict)

    def objects(self, model: type[Model]) -> set[Key]:
        """Return LOCAL's keys of all objects of `model` that the batch is about, whatever was decided."""
        deleted = {local for local in self.deletions.get(model, {}).values() if local is not None}
        others = (
            self.obsolete_references.get(model, ()),
            self.remote_wins.get(model, ()),
            self.quarantined.get(model, ()),
            self.bulk.get(model, ()),
        )
        return {*self.writes.get(model, {}), *deleted, *chain.from_iterable(others)}

    def write(self, model: type[Model], key: Key, fields: frozenset[str] | None = None) -> None:
        """Have the row with LOCAL's `key` written to REMOTE: the named fields, or all."""
        self.writes.setdefault(model, {})[key] = fields

    def is_written(self, model: type[Model], key: Key) -> bool:
        """Return whether the row with LOCAL's `key` is written to REMOTE, by itself or in bulk."""
        return key in self.writes.get(model, ()) or key in self.bulk.get(model, ())

    def delete(self, model: type[Model], remote: Key, local: Key | None) -> None:
        """Have the row with REMOTE's key deleted there; `local` is LOCAL's key, where it is known."""
        self.deletions.setdefault(model, {})[remote] = local

    def keep_remote(self, model: type[Model], key: Key | None) -> None:
        """Leave an object as REMOTE has it; `key` is LOCAL's, where it is known."""
        self.remote_wins.setdefault(model, []).append(key)

    def forget_reference(self, model: type[Model], key: Key) -> None:
        """Have the reference of an object deleted that LOCAL has no more."""
        self.obsolete_references.setdefault(model, []).append(key)

    def restore(self, model: type[Model], key: Key) -> None:
        """Note that an object which REMOTE deleted is written there again."""
        self.restored.setdefault(model, set()).add(key)

    def note_member(self, through: type[Model], conflict: MemberConflict) -> None:
        """Note what was decided about a member of a set; `through` is the automatic table."""
        self.member_conflicts.setdefault(through, []).append(conflict)


@dataclass
class Tally:
    """How many rows of each model a batch added, changed and deleted on REMOTE."""

    added: dict[type[Model], int] = field(default_factory=dict)
    changed: dict[type[Model], int] = field(default_factory=dict)
    deleted: dict[type[Model], int] = field(default_factory=dict)


class Reason(NamedTuple):
    """Why a row is quarantined."""

    cause: str
    #: Whether REMOTE does not refuse it, and it only waits for another row.
    waits: bool = False


Reasons: TypeAlias = dict[RowId, Reason]


@dataclass(frozen=True)
class QuarantineUpdate:
    """How a batch changes the quarantine."""

    #: The changes that are quarantined with the batch, for the first time or still, and the reasons.
    held: Mapping[RowId, Change] = field(default_factory=dict)
    reasons: Mapping[RowId, Reason] = field(default_factory=dict)
    #: The changes that leave the quarantine with the batch.
    released: Mapping[RowId, Change] = field(default_factory=dict)


class Prerequisites(Exception):
    """A batch cannot be applied without these objects of LOCAL: it begins again with them in it."""

    def __init__(self, row_ids: Iterable[RowId], columns: Mapping[RowId, str] | None = None) -> None:
        self.row_ids = frozenset(row_ids)
        #: Of objects that are in the batch already: the column to write besides those that entries name.
        self.columns = columns or {}
        labels = sorted({model._meta.label for model, _key in self.row_ids})
        super().__init__(
            _(
                "%(models)s: rows depend on each other, and were changed again and again. The batch was rolled back."
            )
            % {"models": ", ".join(labels)}
            + " "
            + _("Run synchronize again.")
        )


@lru_cache(maxsize=10_000)
def synchronized_names(model: type[Model], names: tuple[str, ...]) -> frozenset[str] | None:
    """Return those of the named fields that are synchronized; None where these are all, or may be any."""
    if not has_fields(model, names):
        return None  # one that has another name now
    fields = Table(model).fields
    wanted = {*names}
    for generic in generic_keys(model):  # a key means nothing without its content type
        if wanted & {generic.ct_field, generic.fk_field}:
            wanted |= {generic.ct_field, generic.fk_field}
    found = frozenset(field.name for field in fields if field.name in wanted)
    return None if len(found) == len(fields) else found
