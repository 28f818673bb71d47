"""Read the entries of models that go in bulk: as lists of keys, not one by one."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Aggregate, Count, Max, Min, Model, Q, Sum, TextField
from django.db.models.functions import Length

from synchro.keys import Key
from synchro.models import ADDITION, DELETION, M2M_CHANGE
from synchro.relations import same_key_parents
from synchro.replay.apply.bulk.eligible import NotBulk, ends_of, is_plain, is_plain_set
from synchro.replay.apply.receivers import has_receivers_of_deletes
from synchro.replay.conflicts.remote_changes import has_remote_changes, has_unsent_changes
from synchro.replay.identity.models import keeps_references
from synchro.replay.identity.natural_keys import finder
from synchro.replay.log.changes import NO_KEY
from synchro.replay.log.entries import MOST_RANGES, log_of
from synchro.replay.log.names import has_sets, sets_named
from synchro.replay.log.ranges import Range
from synchro.replay.log.remote_log import RemoteLog
from synchro.replay.plan import synchronized_names
from synchro.replay.session import Database, Session

#: How many sets of columns that changed together are written one after the other.
MOST_SETS = 10

#: Names of the columns that entries name; None for the whole row.
Names = frozenset[str] | None
#: Of pairs that entries about sets name: on REMOTE there is nothing to change in one that is there.
NO_COLUMN: Names = frozenset()


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
        """Return whether the batch says of all these that they were added, and names them only once."""
        return len(self.keys) == 1 and keys.keys() <= self.born


class EntryGroup(NamedTuple):
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


@dataclass(frozen=True)
class BulkPart:
    """The part of a batch that goes in bulk."""

    named: Mapping[type[Model], Named] = field(default_factory=dict)
    #: Which entries of the batch it takes.
    taken: Q = field(default_factory=Q)
    #: How many entries it has, and the dates of the batch's oldest one and of its own newest one.
    entries: int = 0
    first: datetime | None = None
    last: datetime | None = None
    #: Whether it is the whole batch.
    is_all: bool = False
    #: Whether it is part of a load, whose rows are older than any change of REMOTE's own.
    is_loaded: bool = False

    def with_news(self, log: RemoteLog) -> set[type[Model]]:
        """Return the models of which REMOTE's log has news by now."""
        if self.is_loaded:
            assert self.first is not None
            return {m for m in self.named if has_unsent_changes(log, [m, *ends_of(m)], self.first)}
        return _with_news(log, self.named, self.first) if self.first is not None else set()


NOTHING = BulkPart()


class _Joined(Aggregate):
    """Texts with commas between them."""

    function = "GROUP_CONCAT"
    output_field = TextField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="STRING_AGG(%(expressions)s, ',')", **context)


def grouped(database: Database, ranges: Sequence[Range]) -> list[EntryGroup]:
    """Return the entries with these ids in groups; none where they lie in too many ranges."""
    if len(ranges) > MOST_RANGES:
        return []
    entries = log_of(database, ranges).order_by().values_list("content_type_id", "action", "fields")
    found = entries.annotate(
        entries=Count("id"),
        first=Min("date"),
        last=Max("date"),
        texts=_Joined("object_id"),
        letters=Sum(Length("object_id")),
    )
    with database.backend.long_texts():
        return [EntryGroup(*group) for group in found]


def bulk_part(
    session: Session,
    log: RemoteLog,
    ranges: Sequence[Range],
    groups: Sequence[EntryGroup],
    excluded: Collection[type[Model]],
) -> BulkPart:
    """
    Return what the batch with these ids, whose entries are in these groups, names of models that go in bulk: none of
    the `excluded` ones, and none that REMOTE's log has news of.
    """
    named = _named(session, ranges, groups, {*excluded, *session.left_out})
    if not named:
        return NOTHING
    first = min(group.first for group in groups)
    for model in _with_news(log, named, first):
        del named[model]
    taken = [group for group in groups if _table(session, group) in named]
    if not taken:
        return NOTHING
    return BulkPart(
        named,
        _condition(taken),
        sum(group.entries for group in taken),
        first,
        max(group.last for group in taken),
        len(taken) == len(groups),
    )


def _with_news(log: RemoteLog, models: Iterable[type[Model]], first: datetime) -> set[type[Model]]:
    asked = {model: [model, *ends_of(model)] for model in models}
    if not has_remote_changes(log, list({each for several in asked.values() for each in several}), first):
        return set()
    return {model for model in asked if has_remote_changes(log, asked[model], first)} or {*asked}


def _condition(groups: Iterable[EntryGroup]) -> Q:
    types, condition = set(), Q()
    for group in groups:
        if group.action == M2M_CHANGE:
            condition |= Q(action=M2M_CHANGE, content_type_id=group.type_id, fields=group.fields)
        else:
            types.add(group.type_id)
    return condition | Q(~Q(action=M2M_CHANGE), content_type_id__in=types) if types else condition


def _table(session: Session, group: EntryGroup) -> type[Model] | None:
    """Return the model whose rows these entries are about; None where that is not just one."""
    model = session.local.model_of(group.type_id)
    if model is None or group.action != M2M_CHANGE:
        return model
    sets = sets_named(model, group.fields or ())
    return sets[0][0] if len(sets) == 1 and has_sets(model, group.fields or ()) else None


def _named(
    session: Session,
    ranges: Sequence[Range],
    groups: Sequence[EntryGroup],
    others: set[type[Model]],
) -> dict[type[Model], Named]:
    found: dict[type[Model], Named] = {}
    others |= _sets_of_several(session, groups)
    sets: dict[type[Model], list[EntryGroup]] = {}
    for group in groups:
        model = _table(session, group)
        if model is None or model in others:
            continue
        try:
            if not (is_plain_set(model) if model._meta.auto_created else is_plain(model)):
                raise NotBulk(model)  # noqa: TRY301
            if group.action == M2M_CHANGE and not model._meta.auto_created:
                raise NotBulk(model)  # noqa: TRY301  the pairs are no keys of its rows
            if group.action == M2M_CHANGE:
                sets.setdefault(model, []).append(group)
            else:
                _add(found.setdefault(model, Named(model)), group)
        except NotBulk:
            others.add(model)
    for model, several in sets.items():
        if model not in others:
            try:
                pairs = _pairs(session, ranges, several)
            except NO_KEY:
                others.add(model)
            else:
                found.setdefault(model, Named(model)).keys[NO_COLUMN] = pairs
    for model in others:
        for each in (model, *same_key_parents(model)):  # whose rows these entries are about too
            found.pop(each, None)
    return found


def _sets_of_several(session: Session, groups: Iterable[EntryGroup]) -> set[type[Model]]:
    """Return the tables of sets that some of the entries are about which do not tell which set has changed."""
    found: set[type[Model]] = set()
    for group in groups:
        model = session.local.model_of(group.type_id)
        if group.action == M2M_CHANGE and model is not None and _table(session, group) is None:
            found.update(through for through, _reverse in sets_named(model, group.fields or ()))
    return found


def _add(named: Named, group: EntryGroup) -> None:
    """Add what a group names. Raises `NotBulk` where these rows cannot go in bulk."""
    model = named.model
    if group.action == DELETION and has_receivers_of_deletes(model):
        raise NotBulk(model)
    if group.action == ADDITION and keeps_references(model) and finder(model) is not None:
        raise NotBulk(model)  # its own manager has to say of each new row whether REMOTE has it
    names = None if group.fields is None else synchronized_names(model, group.fields)
    keys = _keys(model, group)
    named.keys.setdefault(None if model._meta.auto_created else names, {}).update(keys)
    if group.action == ADDITION:
        named.born |= keys.keys()
    if len(named.keys) > MOST_SETS:
        raise NotBulk(model)


def _keys(model: type[Model], group: EntryGroup) -> dict[Key, None]:
    # A server may cut long texts off, in the midst of a key.
    if len(group.texts) != group.letters + group.entries - 1:
        raise NotBulk(model)
    try:
        if model._meta.auto_created:
            pairs = json.loads(f"[{group.texts}]")
            found: dict[Key, None] = dict.fromkeys((int(first), int(second)) for first, second in pairs)
            count = len(pairs)
        else:
            texts = group.texts.split(",")
            found, count = dict.fromkeys(map(int, texts)), len(texts)
    except NO_KEY as error:
        raise NotBulk(model) from error
    if count != group.entries:
        raise NotBulk(model)
    return found


def _pairs(session: Session, ranges: Sequence[Range], groups: Sequence[EntryGroup]) -> dict[Key, None]:
    """
    Return the pairs of one table that these entries name, which are about the sets of objects.

    Raises an error of `NO_KEY` where one does not name the members.
    """
    is_reverse = {}
    for group in groups:
        model = session.local.model_of(group.type_id)
        assert model is not None
        ((_through, is_reverse[group.type_id]),) = sets_named(model, group.fields or ())
    log = log_of(session.local, ranges).order_by().filter(_condition(groups))
    found: dict[Key, None] = {}
    for type_id, text, members in log.values_list("content_type_id", "object_id", "members"):
        if members is None:
            raise ValueError("Any member may have come or gone.")
        near, far = int(text), map(int, json.loads(members))
        found.update(((other, near), None) if is_reverse[type_id] else ((near, other), None) for other in far)
    return found
