"""Changes: many entries of one object become one `Change`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple, TypeAlias
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import Model

from synchro.keys import Key, key_fields, to_text, value_from_text, value_to_text
from synchro.models import ADDITION, DELETION, M2M_CHANGE
from synchro.registry import is_watched
from synchro.relations import ends_of_set, is_symmetrical, same_key_parents
from synchro.replay.log.names import has_fields, has_sets, sets_named, unreadable_key

#: A row of LOCAL.
RowId: TypeAlias = tuple[type[Model], Key]
ByModel: TypeAlias = dict[type[Model], set[Key]]

#: What is raised for a text that is no key.
NO_KEY = (ValueError, TypeError, ValidationError)


class Entry(NamedTuple):
    """A row of the log, with its names resolved."""

    id: int
    model: type[Model]
    key: Key
    action: int
    #: When it was made, which of a change that was received is before it was logged.
    date: datetime
    fields: tuple[str, ...] | None
    natural_key: str | None
    members: str | None = None
    #: Of a change that was received: the node that made it, and the id of the entry there.
    origin: UUID | None = None
    number: int | None = None


@dataclass(slots=True)
class Change:
    """What a set of entries says of one row of one table."""

    model: type[Model]
    key: Key
    #: When it was last changed.
    date: datetime
    #: The latest entry that does not name its fields: the whole row may have changed then.
    whole: datetime | None = None
    #: When the fields that are named were last changed.
    fields: dict[str, datetime] = field(default_factory=dict)
    #: The natural key that a deleted object had, as its entry holds it.
    natural_key: str | None = None
    #: When it was last deleted; None where it was not, or was added again since.
    deleted: datetime | None = None
    #: Whether its first entry says that it was added: nothing of it can have been on REMOTE before.
    is_born: bool = False
    #: Whether it was there again after a deletion, and no entry says who added it: REMOTE's run has brought it.
    came_back: bool = False
    #: The newest entry.
    entry: int = 0
    #: Whether an entry names this very table, rather than that of a child whose row includes this one.
    is_own: bool = False
    #: Whether there is no entry of it (any more), and REMOTE may have changed the row all the same.
    is_presumed: bool = False

    def add(self, entry: Entry, fields: tuple[str, ...] | None, own: bool) -> None:
        date = entry.date
        self.date = max(self.date, date)
        self.is_own |= own
        self.entry = max(self.entry, entry.id)
        self.natural_key = entry.natural_key or self.natural_key
        if self.deleted is not None and entry.action != ADDITION and fields != ():
            self.is_born, self.came_back = False, True
        if entry.action == DELETION:
            self.deleted = date
        elif entry.action == ADDITION:
            self.deleted = None
        if fields is None:
            self.whole = date if self.whole is None else max(self.whole, date)
        elif self.fields:
            for name in fields:
                self.fields[name] = max(self.fields.get(name, date), date)
        else:
            self.fields = dict.fromkeys(fields, date)

    def copy(self) -> Change:
        return replace(self, fields=dict(self.fields))

    def follow(self, earlier: Change) -> None:
        """Take over what an earlier change of the row says, which has not arrived yet."""
        self.date = max(self.date, earlier.date)
        self.natural_key = self.natural_key or earlier.natural_key
        self.is_born = earlier.is_born and not self.came_back
        if earlier.whole is not None:
            self.whole = earlier.whole if self.whole is None else max(self.whole, earlier.whole)
        for name, date in earlier.fields.items():
            self.fields[name] = max(self.fields.get(name, date), date)

    def name_field(self, name: str) -> None:
        """Have the change be one of this field as well."""
        self.fields.setdefault(name, self.date)

    @property
    def says_nothing(self) -> bool:
        """Return whether nothing is known but that the row may be gone, as after a REPLACE on SQLite."""
        return not (self.whole or self.fields or self.deleted)

    def changed_at(self, name: str) -> datetime | None:
        """Return when the field `name` was last changed, or may have been; None where it was not."""
        known = self.fields.get(name)
        return known if self.whole is None else self.whole if known is None else max(known, self.whole)


class M2M(NamedTuple):
    """The set of an automatic many-to-many field, seen from one object."""

    through: type[Model]
    #: Whether the object is at the end that does not declare the field.
    reverse: bool
    key: Key


@dataclass
class SetChange:
    """What a set of entries says of such a set."""

    #: The latest entry that does not name the members: any may have changed then.
    whole: datetime | None = None
    #: When the members that are named were last added or removed.
    members: dict[Key, datetime] = field(default_factory=dict)

    def add(self, date: datetime, members: Iterable[Key] | None) -> None:
        if members is None:
            self.whole = max(self.whole or date, date)
        else:
            for key in members:
                self.members[key] = max(self.members.get(key, date), date)

    def dates(self) -> list[datetime]:
        return [*self.members.values(), *((self.whole,) if self.whole else ())]

    def changed_at(self, member: Key) -> datetime | None:
        known = self.members.get(member)
        return known if self.whole is None else self.whole if known is None else max(known, self.whole)


@dataclass
class Changes:
    """All that a batch is about."""

    rows: dict[tuple[type[Model], Key], Change] = field(default_factory=dict)
    sets: dict[M2M, SetChange] = field(default_factory=dict)
    entries: int = 0
    #: The date of the newest entry.
    last: datetime | None = None

    def take_along(self, objects: Iterable[tuple[type[Model], Key]], later: Changes, begun: datetime) -> None:
        """Make these rows part of the batch too, with what `later` says of them: the entries that REMOTE lacks."""
        date = self.last or max((change.date for change in self.rows.values()), default=begun)
        for row_id in objects:
            change, own = later.rows.get(row_id), self.rows.get(row_id)
            if change is not None and own is not None:
                change.follow(own)
            if change is not None or own is None:
                self.rows[row_id] = change or Change(*row_id, date, whole=date)

    def take_in(self, entries: Iterable[Entry]) -> None:
        """Make rows part of the batch of which there are no entries in the log."""
        for row_id, change in coalesce(entries).rows.items():
            own = self.rows.setdefault(row_id, change)
            if own is not change:
                own.follow(change)

    def by_model(self) -> dict[type[Model], list[Key]]:
        found: dict[type[Model], list[Key]] = {}
        for model, key in self.rows:
            found.setdefault(model, []).append(key)
        return found

    def member_changed_at(self, through: type[Model], pair: tuple[Key, Key]) -> datetime | None:
        """Return when a member of a set was last added or removed, or may have been, from either end."""
        first, second = pair
        ends = [(M2M(through, False, first), second), (M2M(through, True, second), first)]
        if is_symmetrical(through):
            ends.append((M2M(through, False, second), first))
        found = [self.sets[near].changed_at(far) for near, far in ends if near in self.sets]
        row = self.rows.get((through, pair))
        found.append(row.date if row else None)
        return max((date for date in found if date is not None), default=None)


def by_model(row_ids: Iterable[RowId]) -> ByModel:
    found: ByModel = {}
    for model, key in row_ids:
        found.setdefault(model, set()).add(key)
    return found


def coalesce(entries: Iterable[Entry]) -> Changes:
    """Return one `Change` per row; of a child in multi-table inheritance also one for each parent's row."""
    changes = Changes()
    rows = changes.rows
    for entry in entries:
        changes.entries += 1
        if changes.last is None or changes.last < entry.date:
            changes.last = entry.date
        if entry.action == M2M_CHANGE:
            for m2m in sets_of(entry):
                try:
                    members = members_of(m2m, entry)
                except NO_KEY as error:
                    raise unreadable_key(entry.id, entry.model, entry.members or "") from error
                changes.sets.setdefault(m2m, SetChange()).add(entry.date, members)
            continue
        if is_pair(entry):
            owner, member = entry.key
            former = M2M(entry.model, False, owner)
            changes.sets.setdefault(former, SetChange()).add(entry.date, [member])
            continue
        for model, fields in tables_of(entry.model, entry.fields, entry.action == DELETION):
            row_id = (model, entry.key)
            change = rows.get(row_id)
            if change is None:
                rows[row_id] = _first(model, entry, fields)
            else:
                change.add(entry, fields, model is entry.model)
    return changes


def is_pair(entry: Entry) -> bool:
    """Return whether the entry is about a row of an automatic table that is a model's now."""
    return isinstance(entry.key, tuple) and len(key_fields(entry.model)) == 1


def _first(model: type[Model], entry: Entry, fields: tuple[str, ...] | None) -> Change:
    """Return what `Change.add` makes of the first entry of a row, which most often is the only one."""
    date, is_deletion = entry.date, entry.action == DELETION
    return Change(
        model,
        entry.key,
        date,
        date if fields is None else None,
        {} if fields is None else dict.fromkeys(fields, date),
        entry.natural_key,
        date if is_deletion else None,
        entry.action == ADDITION,
        False,
        entry.id,
        model is entry.model,
    )


@lru_cache(maxsize=10_000)
def tables_of(
    model: type[Model], names: tuple[str, ...] | None, is_deletion: bool
) -> list[tuple[type[Model], tuple[str, ...] | None]]:
    """
    Return the tables whose rows such an entry is about, each with the names of its fields that changed.

    A name that no field has any more may stand for any of them.
    """
    if not has_fields(model, names or ()):
        names = None
    found = [(model, _own_fields(model, names))]
    if is_deletion:
        return found  # the parents' rows have entries of their own, or were kept
    for parent in same_key_parents(model):
        fields = _own_fields(parent, names)
        if fields != ():
            found.append((parent, fields))
    return found


def _own_fields(model: type[Model], names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if names is None:
        return None
    own = {field.name for field in model._meta.local_concrete_fields}
    return tuple(name for name in names if name in own)


def sets_of(entry: Entry) -> Iterator[M2M]:
    """Yield the sets that an entry is about."""
    for through, reverse in sets_named(entry.model, entry.fields or ()):
        if is_watched(through):
            yield M2M(through, reverse, entry.key)


def members_of(m2m: M2M, entry: Entry) -> list[Key] | None:
    """Return the keys of the objects that came or went; None where any may have."""
    if entry.members is None or not has_sets(entry.model, entry.fields or ()):
        return None
    far = (ends_of_set(m2m.through) or key_fields(m2m.through))[0 if m2m.reverse else 1]
    return [value_from_text(far, text) for text in json.loads(entry.members)]


def pair_named(model: type[Model], text: str) -> Key | None:
    """Return the keys of the two objects that a row of an automatic table joined which is that of `model` now."""
    ends = ends_of_set(model)
    try:
        parts = json.loads(text, strict=False) if ends is not None else None
        if ends is None or not isinstance(parts, list) or len(parts) != len(ends):
            return None
        return tuple(value_from_text(field, str(part)) for field, part in zip(ends, parts, strict=True))
    except NO_KEY:
        return None


def to_text_or_pair(model: type[Model], key: Key) -> str:
    """Return a key as entries spell it; a pair of an automatic table that is a model's now as they spelled it then."""
    if isinstance(key, tuple) and len(key_fields(model)) == 1:
        return json.dumps(
            [part if type(part) is int else value_to_text(part) for part in key],
            ensure_ascii=False,
            separators=(",", ":"),
        )
    return to_text(model, key)
