"""Entries of a log, read in bulk, with their names resolved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
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

#: How many ranges of ids one statement names.
MOST_RANGES = 200

COLUMNS = (
    "id", "content_type_id", "object_id", "action", "date", "fields", "natural_key", "members",
    "made", "origin", "number",
)  # fmt: skip


#: The condition of no entry.
NONE = Q()


def entries_of(
    database: Database,
    ranges: Iterable[Range],
    unread: Unread | None = None,
    taken: Q = NONE,
) -> Iterator[Entry]:
    """
    Yield the entries with these ids, oldest first; `unread` takes up those that this process cannot read. Those
    that are `taken` already are left out.
    """
    for part in parts_of_log(database, ranges):
        yield from read_entries(database, part.exclude(taken) if taken else part, unread)


def parts_of_log(database: Database, ranges: Iterable[Range]) -> Iterator[QuerySet[ChangeLog]]:
    """Yield the entries with these ids, oldest first, in as many queries as statements are to be asked."""
    several = iter(ranges)
    while part := list(islice(several, MOST_RANGES)):
        yield log_of(database, part)


def log_of(database: Database, ranges: Iterable[Range]) -> QuerySet[ChangeLog]:
    """Return the entries with these ids, oldest first."""
    condition = Q()
    for ids in ranges:
        condition |= Q(id__range=ids)
    return ChangeLog.objects.using(database.alias).filter(condition).order_by("id")


def read_entries(
    database: Database, log: QuerySet[ChangeLog], unread: Unread | None = None, node: UUID | None = None
) -> Iterator[Entry]:
    """
    Yield entries of a log; `unread` takes up those of models that this process does not watch.

    Changes of sets are read all the same: an object at one end of a watched many-to-many table need not be watched
    itself. With `node`, the node id of the database, the dates say which node made the change.

    Raises `Refused` for an entry whose key cannot be read.
    """
    readers: dict[int, tuple[type[Model], TextReader, bool] | None] = {}
    moment = moment_reader(database.connection)
    for number, type_id, text, action, date, fields, natural_key, members, *source in _stored(database, log):
        if type_id not in readers:
            readers[type_id] = _reader(database, type_id)
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


def _stored(database: Database, log: QuerySet[ChangeLog]) -> Iterator[tuple[Any, ...]]:
    """Yield rows as the driver gives them: what Django does to each value costs more than all the rest of this step."""
    compiler = log.values_list(*COLUMNS).query.get_compiler(database.alias)
    with database.connection.cursor() as cursor:
        cursor.execute(*compiler.as_sql())
        while rows := cursor.fetchmany(5000):
            yield from rows


def _reader(database: Database, type_id: int) -> tuple[type[Model], TextReader, bool] | None:
    """Return the model of a content type, what reads its keys, and whether it is watched."""
    standing, model = standing_of(database, type_id)
    return (model, key_reader(model), standing is Standing.WATCHED) if model is not None else None


def _is_about_a_watched_set(model: type[Model], action: int, fields: str | None) -> bool:
    return action == M2M_CHANGE and names_watched_set(model, _names(fields) or ())


@lru_cache(maxsize=1000)
def as_uuid(stored: Any) -> UUID:
    """Return the UUID that a driver gives as one, or as its text."""
    return stored if isinstance(stored, UUID) else UUID(stored)


@lru_cache(maxsize=10_000)
def _names(text: str | None) -> tuple[str, ...] | None:
    names: tuple[str, ...] | None = ChangeLog._meta.get_field("fields").to_python(text)
    return names
