"""Logged: the entries of a log, read in bulk, with their names resolved."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db.models import Model, Q, QuerySet

from synchro.fields import moment_reader
from synchro.keys import TextReader, key_reader
from synchro.models import M2M_CHANGE, ChangeLog
from synchro.replay.log.changes import NO_KEY, Entry, pair_named
from synchro.replay.log.moments import Moment
from synchro.replay.log.names import names_watched_set, unreadable_key
from synchro.replay.log.ranges import Range
from synchro.replay.log.unread import Standing, Unread, standing_of
from synchro.replay.session import Database

COLUMNS = (
    "id", "content_type_id", "object_id", "action", "date", "fields", "natural_key", "members",
    "made", "origin", "number",
)  # fmt: skip


def entries_of(
    side: Database,
    ranges: Iterable[Range],
    unread: Unread | None = None,
    in_bulk: Collection[int] = (),
) -> Iterator[Entry]:
    """
    Return the entries of a batch, oldest id first; `unread` takes up those that this process cannot read. Of rows of
    these content types `in_bulk` there are none among them.
    """
    several = list(ranges)
    for start in range(0, len(several), 200):
        log = log_of(side, several[start : start + 200])
        if in_bulk:
            log = log.exclude(~Q(action=M2M_CHANGE), content_type_id__in=in_bulk)
        yield from read_entries(side, log, unread)


def log_of(side: Database, ranges: Iterable[Range]) -> QuerySet[ChangeLog]:
    """The entries with these ids, oldest first."""
    condition = Q()
    for ids in ranges:
        condition |= Q(id__range=ids)
    return ChangeLog.objects.using(side.alias).filter(condition).order_by("id")


def read_entries(
    side: Database, log: QuerySet[ChangeLog], unread: Unread | None = None, node: UUID | None = None
) -> Iterator[Entry]:
    """
    Entries of the log on `side`; `unread` takes up those of models that this process does not watch. Changes
    of sets are read all the same: an object at one end of a watched many-to-many table need not be watched itself.
    With `node`, the name of `side`, the dates say which node made the change.

    Raises `Refused` for an entry whose key cannot be read.
    """
    readers: dict[int, tuple[type[Model], TextReader, bool] | None] = {}
    moment = moment_reader(side.connection)
    for number, type_id, text, action, date, fields, natural_key, members, *source in _stored(side, log):
        if type_id not in readers:
            readers[type_id] = _reader(side, type_id)
        reader = readers[type_id]
        if reader is None or not (reader[2] or _is_about_a_watched_set(reader[0], action, fields)):
            if unread is not None:
                unread.add(type_id, number)
            continue
        model, key_from, _is_watched = reader
        try:
            key = key_from(text)
        except NO_KEY as error:
            named = pair_named(model, text)
            if named is None:
                raise unreadable_key(number, model, text) from error
            key = named
        made, origin, first = source
        at, maker = moment(made or date), None if origin is None else as_uuid(origin)
        if node is not None:
            at = Moment.at(at, maker or node)
        yield Entry(number, model, key, action, at, _names(fields), natural_key, members, maker, first)


def _stored(side: Database, log: QuerySet[ChangeLog]) -> Iterator[tuple[Any, ...]]:
    """Rows as the driver gives them: what Django does to each value costs more than all the rest of this step."""
    compiler = log.values_list(*COLUMNS).query.get_compiler(side.alias)
    with side.connection.cursor() as cursor:
        cursor.execute(*compiler.as_sql())
        while rows := cursor.fetchmany(5000):
            yield from rows


def _reader(side: Database, type_id: int) -> tuple[type[Model], TextReader, bool] | None:
    """The model of a content type, what reads its keys, and whether it is watched."""
    standing, model = standing_of(side, type_id)
    return (model, key_reader(model), standing is Standing.WATCHED) if model is not None else None


def _is_about_a_watched_set(model: type[Model], action: int, fields: str | None) -> bool:
    return action == M2M_CHANGE and names_watched_set(model, _names(fields) or ())


@lru_cache(maxsize=1000)
def as_uuid(stored: Any) -> UUID:
    """The UUID that a driver gives as one, or as its text."""
    return stored if isinstance(stored, UUID) else UUID(stored)


@lru_cache(maxsize=10_000)
def _names(text: str | None) -> tuple[str, ...] | None:
    names: tuple[str, ...] | None = ChangeLog._meta.get_field("fields").to_python(text)
    return names
