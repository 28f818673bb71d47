"""
Parcel: what the entries of a batch of plain rows are about, read as keys instead of one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Aggregate, Count, Max, Min, Model, Sum, TextField
from django.db.models.functions import Length

from synchro.keys import Key, is_automatic, is_integer, key_fields
from synchro.models import ADDITION, M2M_CHANGE
from synchro.registry import Table, is_watched
from synchro.relations import generic_keys, pointing_at, points_at_rows, target_of
from synchro.replay.apply.altered import is_checked
from synchro.replay.apply.receivers import has_receivers_of_saves
from synchro.replay.conflicts.remote_changes import has_remote_changes
from synchro.replay.identity.identities import keeps_references, uses_same_key
from synchro.replay.identity.natural_keys import has_natural_key
from synchro.replay.log.entries import log_of
from synchro.replay.log.ranges import Range
from synchro.replay.log.remote_log import RemoteLog
from synchro.replay.plan import synchronized_names
from synchro.replay.session import Database, Session

#: In how many ranges of ids a batch may lie for one statement.
MOST_RANGES = 200
#: How many sets of columns that changed together are written one after the other.
MOST_SETS = 10

#: Names of the columns that entries name; None for the whole row.
Names = frozenset[str] | None


class NotBulk(Exception):
    """The batch has to go the usual way."""


@dataclass
class Named:
    """The rows of one model that a batch names."""

    model: type[Model]
    #: Their keys, by the columns to write.
    keys: dict[Names, dict[Key, None]] = field(default_factory=dict)
    #: Those that the batch says were added.
    born: set[Key] = field(default_factory=set)

    def all_keys(self) -> dict[Key, None]:
        found: dict[Key, None] = {}
        for keys in self.keys.values():
            found |= keys
        return found

    def are_born(self, keys: Mapping[Key, None]) -> bool:
        """Whether the batch says of all these that they were added, and names them only once."""
        return len(self.keys) == 1 and keys.keys() <= self.born


@dataclass(frozen=True)
class BulkPlan:
    """A batch that can be replayed wholesale."""

    entries: int
    #: The dates of its oldest and newest entries.
    first: datetime
    last: datetime
    named: tuple[Named, ...]

    @property
    def models(self) -> list[type[Model]]:
        return [named.model for named in self.named]


def bulk_plan_of(session: Session, log: RemoteLog, ranges: Sequence[Range]) -> BulkPlan | None:
    """What the entries with these ids are about; None where they have to go the usual way."""
    if len(ranges) > MOST_RANGES:
        return None
    groups = _groups(session.local, ranges)
    if not groups:
        return None
    try:
        named = _named(session, groups)
    except NotBulk:
        return None
    first, last = min(group.first for group in groups), max(group.last for group in groups)
    parcel = BulkPlan(sum(group.entries for group in groups), first, last, named)
    return None if has_remote_changes(log, parcel.models, parcel.first) else parcel


class _Group(NamedTuple):
    """Entries that say the same of their objects."""

    type_id: int
    action: int
    fields: tuple[str, ...] | None
    entries: int
    first: datetime
    last: datetime
    #: The objects' keys, with commas between them, and how many characters the keys have.
    texts: str
    letters: int


class _Joined(Aggregate):
    """Texts with commas between them."""

    function = "GROUP_CONCAT"
    output_field = TextField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="STRING_AGG(%(expressions)s, ',')", **context)


def _groups(side: Database, ranges: Sequence[Range]) -> list[_Group]:
    entries = log_of(side, ranges).order_by().values_list("content_type_id", "action", "fields")
    found = entries.annotate(
        entries=Count("id"),
        first=Min("date"),
        last=Max("date"),
        texts=_Joined("object_id"),
        letters=Sum(Length("object_id")),
    )
    with side.backend.long_texts():
        return [_Group(*group) for group in found]


def _named(session: Session, groups: Iterable[_Group]) -> tuple[Named, ...]:
    found: dict[type[Model], Named] = {}
    for group in groups:
        model = session.local.model_of(group.type_id)
        if (
            model is None
            or model in session.left_out
            or group.action == M2M_CHANGE
            or not is_plain_model(model)
        ):
            raise NotBulk
        named = found.setdefault(model, Named(model))
        names = None if group.fields is None else synchronized_names(model, group.fields)
        keys = _keys(group)
        named.keys.setdefault(names, {}).update(keys)
        if group.action == ADDITION:
            named.born |= keys.keys()
            if keeps_references(model) and has_natural_key(model):
                raise NotBulk  # what is new may be a row that REMOTE has
        if len(named.keys) > MOST_SETS:
            raise NotBulk
    return tuple(found.values())


def _keys(group: _Group) -> dict[Key, None]:
    texts = group.texts.split(",")
    # A server may cut long texts off, in the midst of a key.
    if len(texts) != group.entries or len(group.texts) != group.letters + group.entries - 1:
        raise NotBulk
    try:
        return dict.fromkeys(map(int, texts))
    except ValueError as error:
        raise NotBulk from error


def is_plain_model(model: type[Model]) -> bool:
    """
    Whether all there is to find out about its rows is which keys they, and what they point at, have on REMOTE.
    """
    own, *more = key_fields(model)
    return (
        not more
        and own.remote_field is None
        and is_watched(model)
        and is_integer(own)
        and (uses_same_key(model) or not is_automatic(own) or keeps_references(model))
        and not has_receivers_of_saves(model)
        and not generic_keys(model)
        and not any(is_checked(f) for f in Table(model).fields)
        and all(not points_at_rows(f) or target_of(f) is not None for f in Table(model).fields)
        and all(f.has_db_default() for f in Table(model).skipped)
        and all(column.target_field.primary_key for column, _rule in pointing_at(model))
    )
