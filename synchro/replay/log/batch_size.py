"""
Batch size: a batch of wide rows has fewer entries, since most steps hold its rows in memory all at once.

The width is measured by some of the rows, evenly spread: to measure all would take as long as to read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model

from synchro.conf import LOCAL
from synchro.keys import Key, column_field, key_reader
from synchro.models import ChangeLog
from synchro.registry import Table, is_watched
from synchro.replay.log.ranges import Range
from synchro.replay.rows import encode_keys, key_columns
from synchro.replay.session import Database

#: How many bytes of rows a batch should have at the most, and by how many rows that is guessed.
MOST_BYTES, SAMPLE = 32 * 2**20, 50
#: Batches of fewer entries are not measured.
FEW = 10
#: Columns of fewer characters do not count.
NARROW = 1000


def fitting(ranges: Sequence[Range]) -> int:
    """Return how many of these entries make a batch, if the rows that they name are as wide as a sample of them."""
    count = sum(map(len, ranges))
    if count <= FEW:
        return count
    database = Database(LOCAL)
    ids = _spread(ranges, count)
    named: dict[type[Model], set[Key]] = {}
    for type_id, text in (
        ChangeLog.objects.using(LOCAL).filter(id__in=ids).values_list("content_type_id", "object_id")
    ):
        model = database.model_of(type_id)
        if model is not None and is_watched(model) and _wide_columns(model):
            with suppress(ValueError, TypeError, ValidationError):  # who reads the entry will say so
                named.setdefault(model, set()).add(key_reader(model)(text))
    total = sum(_width(database, model, list(keys)) for model, keys in named.items())
    return max(1, min(count, MOST_BYTES * len(ids) // max(1, total)))


def has_wide_columns(model: type[Model]) -> bool:
    """Return whether rows of `model` may be so wide that their number alone does not bound what they take."""
    return bool(_wide_columns(model))


def rows_that_fit(database: Database, model: type[Model], sample: list[Key], most: int) -> int:
    """Return how many rows, `most` at the most, are not too many at once if they are as wide as those of the sample."""
    if not sample or not has_wide_columns(model):
        return most
    return max(1, min(most, MOST_BYTES * len(sample) // max(1, _width(database, model, sample))))


def _spread(ranges: Sequence[Range], count: int) -> list[int]:
    ids = [number for each in ranges for number in range(each.first, each.last + 1)]
    return ids[:: count // SAMPLE + 1]


def _wide_columns(model: type[Model]) -> list[str]:
    return [field.column for field in Table(model).fields if _is_wide(column_field(field))]


def _is_wide(field: Any) -> bool:
    if field.get_internal_type() in ("TextField", "BinaryField", "JSONField"):
        return True
    return field.get_internal_type() == "CharField" and (field.max_length or NARROW + 1) > NARROW


def _width(database: Database, model: type[Model], keys: list[Key]) -> int:
    """Return the bytes of these rows together."""
    encoded = encode_keys(model, keys, database)
    columns, own = _wide_columns(model), key_columns(model)
    return database.backend.width(model._meta.db_table, columns, own, encoded)
