"""
Wholesale: a batch of plain rows that REMOTE has left alone is replayed without a look at each object.

What the other steps decide for each object is the same for all of them here, so the log is read as keys, rows go from
one database to the other as they are, and statements over many rows find out which of them are new. Where a batch is
not as plain as that, nothing is written, and it goes the usual way.

REMOTE's rows are locked by being written. So whether REMOTE has changes of its own is asked after that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import DatabaseError, transaction
from django.db.models import Aggregate, Count, Max, Min, Model, Sum, TextField
from django.db.models.functions import Length

from synchro.keys import AnyField, Key, is_automatic, is_integer, key_fields
from synchro.models import ADDITION, M2M_CHANGE
from synchro.registry import Table, generic_keys, is_watched
from synchro.replay.coalesce import log_of
from synchro.replay.columns import Codec
from synchro.replay.delete import dependents, pointing_at
from synchro.replay.identify import uses_same_key
from synchro.replay.link import Link, Side
from synchro.replay.listeners import hears_deletes, hears_saves
from synchro.replay.log import Log
from synchro.replay.passing import can_pass, fields_of
from synchro.replay.ranges import Range
from synchro.replay.resolve import synchronized_names
from synchro.replay.write import Tally

#: In how many ranges of ids a batch may lie for one statement.
MOST_RANGES = 200
#: How many sets of columns that changed together are written one after the other.
MOST_SETS = 10
#: Rows are read and written in parts of about so many bytes, of which the first has so many rows.
PART_BYTES, FIRST_PART = 16 * 2**20, 5_000

#: Names of the columns that entries name; None for the whole row.
Names = frozenset[str] | None


class NotPlain(Exception):
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


@dataclass(frozen=True)
class Parcel:
    """A batch that can be replayed wholesale."""

    entries: int
    #: The dates of its oldest and newest entries.
    first: datetime
    last: datetime
    named: tuple[Named, ...]

    @property
    def models(self) -> list[type[Model]]:
        return [named.model for named in self.named]


def pack(link: Link, log: Log, ranges: Sequence[Range]) -> Parcel | None:
    """What the entries with these ids are about; None where they have to go the usual way."""
    if len(ranges) > MOST_RANGES:
        return None
    groups = _groups(link.local, ranges)
    if not groups:
        return None
    try:
        named = _named(link, groups)
    except NotPlain:
        return None
    first, last = min(group.first for group in groups), max(group.last for group in groups)
    parcel = Parcel(sum(group.entries for group in groups), first, last, named)
    return parcel if log.is_quiet_about(parcel.models, parcel.first) else None


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


def _groups(side: Side, ranges: Sequence[Range]) -> list[_Group]:
    entries = log_of(side, ranges).order_by().values_list("content_type_id", "action", "fields")
    found = entries.annotate(
        entries=Count("id"),
        first=Min("date"),
        last=Max("date"),
        texts=_Joined("object_id"),
        letters=Sum(Length("object_id")),
    )
    with side.engine.long_texts(side.connection):
        return [_Group(*group) for group in found]


def _named(link: Link, groups: Iterable[_Group]) -> tuple[Named, ...]:
    found: dict[type[Model], Named] = {}
    for group in groups:
        model = link.local.model_of(group.type_id)
        if model is None or group.action == M2M_CHANGE or not is_plain_model(model):
            raise NotPlain
        named = found.setdefault(model, Named(model))
        names = None if group.fields is None else synchronized_names(model, group.fields)
        keys = _keys(group)
        named.keys.setdefault(names, {}).update(keys)
        if group.action == ADDITION:
            named.born |= keys.keys()
        if len(named.keys) > MOST_SETS:
            raise NotPlain
    return tuple(found.values())


def _keys(group: _Group) -> dict[Key, None]:
    texts = group.texts.split(",")
    # A server may cut long texts off, in the midst of a key.
    if len(texts) != group.entries or len(group.texts) != group.letters + group.entries - 1:
        raise NotPlain
    try:
        return dict.fromkeys(map(int, texts))
    except ValueError as error:
        raise NotPlain from error


def is_plain_model(model: type[Model]) -> bool:
    """Whether nothing about its rows depends on other rows, and on REMOTE they have the same keys."""
    own, *more = key_fields(model)
    return (
        not more
        and is_watched(model)
        and is_integer(own)
        and (uses_same_key(model) or not is_automatic(own))
        and not hears_saves(model)
        and not generic_keys(model)
        and all(f.remote_field is None for f in Table(model).fields)
        and all(f.has_db_default() for f in Table(model).skipped)
        and all(column.target_field.primary_key for column, _rule in pointing_at(model))
    )


def can_go_at_once(model: type[Model]) -> bool:
    """Whether a row can be deleted without a look at what depends on it."""
    return (
        not hears_deletes(model)
        and not any(dependents(model))
        and not any(pointing_at(model))
        and not any(hasattr(f, "bulk_related_objects") for f in model._meta.private_fields)
    )


def deliver(link: Link, log: Log, parcel: Parcel) -> Tally:
    """
    Write the batch, inside REMOTE's transaction.

    Raises `NotPlain` where it has to go the usual way; then nothing is written.
    """
    tally = Tally()
    engine = link.remote.engine
    try:
        with transaction.atomic(using=link.remote.alias):
            for named in parcel.named:
                _Delivery(link, named, tally).run()
            if not log.is_quiet_about(parcel.models, parcel.first):
                raise NotPlain
    except (DatabaseError, ValidationError, ValueError, ArithmeticError) as error:
        if engine.is_passing(error):
            raise
        raise NotPlain from error
    return tally


class _Delivery:
    """Brings REMOTE's rows of one model to LOCAL's."""

    def __init__(self, link: Link, named: Named, tally: Tally) -> None:
        self._local, self._remote, self._named, self._tally = link.local, link.remote, named, tally
        self._model = named.model
        self._table = named.model._meta.db_table
        self._fields = fields_of(named.model)
        self._passes = can_pass(link.local, link.remote, named.model)
        self._there = link.remote.connection
        self._engine = link.remote.engine

    def run(self) -> None:
        here: set[Key] = set()
        added = 0
        for names, keys in self._named.keys.items():
            is_new = keys.keys() <= self._named.born and len(self._named.keys) == 1
            fields = self._fields if is_new else self._fields_named(names)
            for part, rows in self._read(list(keys), fields):
                here.update(part)
                added += self._insert(rows) if is_new else self._change(fields, rows)
        self._count(self._tally.added, added)
        self._count(self._tally.changed, len(here) - added)
        if added and is_automatic(key_fields(self._model)[0]):
            own = key_fields(self._model)[0].column
            self._engine.pass_sequence(self._there, self._table, own, max(here))
        self._delete([key for key in self._named.all_keys() if key not in here])

    def _fields_named(self, names: Names) -> list[AnyField]:
        """The key's, and those with these names."""
        return [f for f in self._fields if f is self._fields[0] or names is None or f.name in names]

    def _read(
        self, keys: list[Key], fields: Sequence[AnyField]
    ) -> Iterator[tuple[Collection[Key], Sequence[Any]]]:
        """LOCAL's rows with these keys as REMOTE takes them, part by part, and the keys of those that are there."""
        start, size = 0, FIRST_PART
        while start < len(keys):
            asked = keys[start : start + size]
            rows = self._rows(asked, fields)
            start += size
            if rows:
                yield (asked if len(rows) == len(asked) else self._keys_of(rows)), rows
                size = max(1, PART_BYTES // _width(rows))

    def _rows(self, keys: Sequence[Key], fields: Sequence[AnyField]) -> Sequence[Any]:
        engine, connection = self._local.engine, self._local.connection
        columns, values = [f.column for f in fields], [(key,) for key in keys]
        if self._passes:
            return engine.dump(connection, self._table, columns, values)
        rows = list(engine.select(connection, self._table, columns, columns[:1], values))
        return Codec(fields, self._there).encode_all(Codec(fields, connection).decode_all(rows))

    def _keys_of(self, rows: Sequence[Any]) -> list[Key]:
        return [int(key) for key in self._engine.dumped_keys(rows)] if self._passes else [r[0] for r in rows]

    def _insert(self, rows: Sequence[Any]) -> int:
        insert = self._engine.insert_dumped if self._passes else self._engine.insert
        insert(self._there, self._table, [f.column for f in self._fields], rows)
        return len(rows)

    def _change(self, fields: Sequence[AnyField], rows: Sequence[Any]) -> int:
        """Write these columns, and rows that REMOTE lacks as a whole; returns how many those were."""
        change = self._engine.change_dumped if self._passes else self._engine.change
        missing = change(self._there, self._table, [f.column for f in fields], rows)
        return self._insert(self._rows(missing, self._fields)) if missing else 0

    def _delete(self, gone: list[Key]) -> None:
        if not gone:
            return
        if not can_go_at_once(self._model) or not self._named.born.isdisjoint(gone):
            raise NotPlain  # what was born and is gone was never on REMOTE, whatever has its key there
        own = [key_fields(self._model)[0].column]
        count = self._engine.delete(self._there, self._table, own, [(key,) for key in gone])
        self._count(self._tally.deleted, count)

    def _count(self, counts: dict[type[Model], int], number: int) -> None:
        if number:
            counts[self._model] = number


def _width(rows: Sequence[Any]) -> int:
    """About how many bytes a row has."""
    some = rows[:: len(rows) // 50 + 1]
    total = sum(len(row) if isinstance(row, bytes) else sum(map(_size, row)) for row in some)
    return max(1, total // len(some))


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes) else 8
