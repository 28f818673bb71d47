"""
Models that have one table: one of those that are watched stands for all of them.

A row has one name in the log, and one reference. With two of each it would arrive twice on a REMOTE that hands out its
own keys. So whatever is written by way of any of these models is logged, looked for and applied as a row of the one
that knows most of the table's columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from django.apps import apps
from django.db.models import Model

from synchro.keys import key_fields

Chosen = Callable[[Sequence[type[Model]]], Sequence[type[Model]]]


def _unsorted(models: Sequence[type[Model]]) -> Sequence[type[Model]]:
    return models


#: Gives the watched ones of some models, the one that stands for them first. `synchro.registry`, which stands above
#: this module, says which these are.
_watched_of: Chosen = _unsorted


def set_watched_of(watched_of: Chosen) -> None:
    global _watched_of
    _watched_of = watched_of


@cache
def _sharing() -> Mapping[type[Model], tuple[type[Model], ...]]:
    """Return the models whose table others have too, with all that have it."""
    by_table: dict[str, list[type[Model]]] = {}
    for model in apps.get_models(include_auto_created=True):
        if not model._meta.proxy:
            by_table.setdefault(model._meta.db_table, []).append(model)
    return {model: tuple(found) for found in by_table.values() if len(found) > 1 for model in found}


def forget_shared_tables() -> None:
    _sharing.cache_clear()


def stands_for(model: type[Model]) -> type[Model]:
    """Return the model under whose name rows of the table of `model` are known; itself where no other has its table."""
    sharing = _sharing().get(model)
    if sharing is None:
        return model
    watched = _watched_of(sharing)
    return watched[0] if watched and model in watched else model


def models_of_table(model: type[Model]) -> tuple[type[Model], ...]:
    """Return the models that have the table of `model`, itself included."""
    return _sharing().get(model, (model,))


def as_row_of(owner: type[Model], model: type[Model], instance: Model, read: Mapping[str, Any]) -> Model:
    """
    Return the row that `instance` has in the table of `model` as an object of `owner`, which has the same table.

    `read` has values, by the attributes of `owner`, that the object itself does not hold.
    """
    held = instance.__dict__
    by_column = {field.column: field.attname for field in model._meta.local_concrete_fields}
    values = {
        field.attname: held[by_column[field.column]]
        for field in owner._meta.concrete_fields
        if by_column.get(field.column) in held
    } | dict(read)
    names = [field.attname for field in owner._meta.concrete_fields if field.attname in values]
    row = owner.from_db(instance._state.db, names, [values[name] for name in names])
    row._state.adding = instance._state.adding
    return row


def names_in(owner: type[Model], model: type[Model], names: Sequence[str]) -> tuple[str, ...] | None:
    """Return the names that fields of `model` have in `owner`, which has the same table; None where one has none."""
    by_column = {field.column: field.name for field in owner._meta.local_concrete_fields}
    columns = {field.name: field.column for field in model._meta.local_concrete_fields}
    found = [by_column.get(columns.get(name)) for name in names]
    return None if None in found else tuple(sorted(name for name in found if name is not None))


def lacks_key_of(owner: type[Model], model: type[Model]) -> bool:
    """Whether `model` does not know the columns that are the key in `owner`."""
    return not {field.column for field in key_fields(owner)} <= {
        field.column for field in model._meta.local_concrete_fields
    }
