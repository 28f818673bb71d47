"""A sample: some rows of a table, picked at random on both sides."""

from __future__ import annotations

import random
from collections.abc import Iterator

from django.db.models import Model

from synchro.backends.base import quoted
from synchro.keys import Key, is_integer, key_fields
from synchro.replay.session import Database, Session
from synchro.verify.checksums import Found
from synchro.verify.ranges import parts_of_keys

#: At how many places of the table rows are taken, at most.
PLACES = 100

RANDOM = random.Random()  # noqa: S311


def sampled(session: Session, model: type[Model], count: int) -> Iterator[Found]:
    """Yield the keys of `count` rows of each side; of all rows where there are no more."""
    yield Found(local_keys=_keys(session.local, model, count))
    yield Found(remote_keys=_keys(session.remote, model, count))


def _keys(database: Database, model: type[Model], count: int) -> list[Key]:
    own, *more = key_fields(model)
    if more or not is_integer(own):
        return _of_all(database, model, count)
    bounds = _bounds(database, model)
    if bounds is None:
        return []
    first, last = bounds
    if last - first < 2 * count:
        return _of_all(database, model, count)
    places = min(PLACES, count)
    found: dict[Key, None] = {}
    for _place in range(2 * places):  # some places overlap, or have few rows after them
        start = RANDOM.randint(first, last)
        size = min(-(-count // places), count - len(found))
        found.update(dict.fromkeys(next(parts_of_keys(database, model, size, (start, last)), ())))
        if len(found) >= count:
            return list(found)
    return _of_all(database, model, count)


def _bounds(database: Database, model: type[Model]) -> tuple[int, int] | None:
    connection = database.connection
    column = quoted(connection, key_fields(model)[0].column)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT MIN({column}), MAX({column}) FROM {quoted(connection, model._meta.db_table)}", []
        )
        low, high = cursor.fetchone()
    return None if low is None else (int(low), int(high))


def _of_all(database: Database, model: type[Model], count: int) -> list[Key]:
    """Return some keys, each row's with the same chance. All keys are read, and so many are kept."""
    kept: list[Key] = []
    seen = 0
    for keys in parts_of_keys(database, model):
        for key in keys:
            seen += 1
            if len(kept) < count:
                kept.append(key)
            elif (place := RANDOM.randrange(seen)) < count:
                kept[place] = key
    return kept


__all__ = ["sampled"]
