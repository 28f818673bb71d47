"""Cascades: rows that the database itself deletes or empties along with others, as Django 6.1 declares it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from django.db import models
from django.db.models import Model

from synchro.keys import AnyField, Key, key_fields
from synchro.replay.link import Side
from synchro.replay.read import as_key, as_values, select


def is_done_by_the_database(rule: Any) -> bool:
    """Whether an `on_delete` is one of Django 6.1's that the database carries out."""
    return type(rule).__name__ == "DatabaseOnDelete"


def rows_below(
    side: Side, model: type[Model], keys: Collection[Key]
) -> Iterator[tuple[type[Model], list[Key]]]:
    """What the database deletes or empties when these rows go, and when those go, by model."""
    seen = {(model, key) for key in keys}
    waiting = [(model, list(keys))]
    while waiting:
        above, several = waiting.pop()
        for column, is_deleted in _pointing_at(above):
            found = _pointing(side, column, above, several)
            new = [key for key in found if (column.model, key) not in seen]
            seen.update((column.model, key) for key in new)
            if new:
                yield column.model, new
            if new and is_deleted:
                waiting.append((column.model, new))


def _pointing_at(model: type[Model]) -> Iterator[tuple[AnyField, bool]]:
    for relation in model._meta.get_fields(include_hidden=True):
        rule = getattr(relation, "on_delete", None)
        if relation.auto_created and not relation.concrete and is_done_by_the_database(rule):
            yield relation.field, rule is getattr(models, "DB_CASCADE", None)  # type: ignore[union-attr]


def _pointing(side: Side, column: AnyField, model: type[Model], keys: Collection[Key]) -> list[Key]:
    """The keys of the rows that point by this column at these rows of `model`."""
    values = [
        tuple(row)
        for row in select(side, model, [column.target_field], key_fields(model), list(map(as_values, keys)))
    ]
    return [as_key(row) for row in select(side, column.model, key_fields(column.model), [column], values)]
