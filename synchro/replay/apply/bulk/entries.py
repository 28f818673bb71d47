"""What the entries of a batch name of the models that go in bulk, read as keys instead of one by one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Aggregate, Count, Max, Min, Model, Sum, TextField
from django.db.models.functions import Length

from synchro.keys import Key
from synchro.models import ADDITION, DELETION, M2M_CHANGE
from synchro.relations import same_key_parents
from synchro.replay.apply.bulk.eligible import NotBulk, is_plain
from synchro.replay.apply.receivers import has_receivers_of_deletes
from synchro.replay.conflicts.remote_log import RemoteLog
from synchro.replay.identity.identities import keeps_references
from synchro.replay.identity.natural_keys import finder
from synchro.replay.log.entries import MOST_RANGES, log_of
from synchro.replay.log.ranges import Range
from synchro.replay.plan import synchronized_names
from synchro.replay.session import Database, Session

#: How many sets of columns that changed together are written one after the other.
MOST_SETS = 10

#: Names of the columns that entries name; None for the whole row.
Names = frozenset[str] | None


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
    #: The content types of their entries.
    type_ids: Collection[int] = ()
    #: How many entries it has, and the dates of the batch's oldest one and of its own newest one.
    entries: int = 0
    first: datetime | None = None
    last: datetime | None = None
    #: Whether it is the whole batch.
    is_all: bool = False


NOTHING = BulkPart()


class _Joined(Aggregate):
    """Texts with commas between them."""

    function = "GROUP_CONCAT"
    output_field = TextField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="STRING_AGG(%(expressions)s, ',')", **context)


def grouped(side: Database, ranges: Sequence[Range]) -> list[EntryGroup]:
    """Return the entries with these ids in groups; none where they lie in too many ranges."""
    if len(ranges) > MOST_RANGES:
        return []
    entries = log_of(side, ranges).order_by().values_list("content_type_id", "action", "fields")
    found = entries.annotate(
        entries=Count("id"),
        first=Min("date"),
        last=Max("date"),
        texts=_Joined("object_id"),
        letters=Sum(Length("object_id")),
    )
    with side.backend.long_texts():
        return [EntryGroup(*group) for group in found]


def bulk_part(
    session: Session, log: RemoteLog, groups: Sequence[EntryGroup], excluded: Collection[type[Model]]
) -> BulkPart:
    """
    Return what these groups, which are all of a batch, name of models that go in bulk: none of the `excluded` ones, and
    none that REMOTE's log has news of.
    """
    named = _named(session, groups, excluded)
    if not named:
        return NOTHING
    first = min(group.first for group in groups)
    for model in log.with_news(named, first):
        del named[model]
    taken = [group for group in groups if group.action != M2M_CHANGE and _model(session, group) in named]
    if not taken:
        return NOTHING
    return BulkPart(
        named,
        {group.type_id for group in taken},
        sum(group.entries for group in taken),
        first,
        max(group.last for group in taken),
        len(taken) == len(groups),
    )


def _model(session: Session, group: EntryGroup) -> type[Model] | None:
    return session.local.model_of(group.type_id)


def _named(
    session: Session, groups: Iterable[EntryGroup], excluded: Collection[type[Model]]
) -> dict[type[Model], Named]:
    found: dict[type[Model], Named] = {}
    others = {*excluded, *session.left_out}
    for group in groups:
        model = _model(session, group)
        if model is None or group.action == M2M_CHANGE or model in others:
            continue
        try:
            _add(found.setdefault(model, Named(model)), group)
        except NotBulk:
            others.add(model)
    for model in others:
        for each in (model, *same_key_parents(model)):  # whose rows these entries are about too
            found.pop(each, None)
    return found


def _add(named: Named, group: EntryGroup) -> None:
    """Add what a group names. Raises `NotBulk` where these rows cannot go in bulk."""
    model = named.model
    if not is_plain(model):
        raise NotBulk(model)
    if group.action == DELETION and has_receivers_of_deletes(model):
        raise NotBulk(model)
    if group.action == ADDITION and keeps_references(model) and finder(model) is not None:
        raise NotBulk(model)  # its own manager has to say of each new row whether REMOTE has it
    names = None if group.fields is None else synchronized_names(model, group.fields)
    keys = _keys(model, group)
    named.keys.setdefault(names, {}).update(keys)
    if group.action == ADDITION:
        named.born |= keys.keys()
    if len(named.keys) > MOST_SETS:
        raise NotBulk(model)


def _keys(model: type[Model], group: EntryGroup) -> dict[Key, None]:
    texts = group.texts.split(",")
    # A server may cut long texts off, in the midst of a key.
    if len(texts) != group.entries or len(group.texts) != group.letters + group.entries - 1:
        raise NotBulk(model)
    try:
        return dict.fromkeys(map(int, texts))
    except ValueError as error:
        raise NotBulk(model) from error
