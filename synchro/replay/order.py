"""Order: parents before children, so that a row finds what it points at; deletions go the other way round."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from django.db.models import Model

from synchro.keys import AnyField, key_fields
from synchro.relations import pointed_model


def parents_first(models: Iterable[type[Model]]) -> list[type[Model]]:
    """
    The models, each after those that its foreign keys point at.

    In a circle, foreign keys that may be NULL give way first, since a row can be written without them.
    """
    waiting = sorted(set(models), key=lambda model: model._meta.label)
    done: list[type[Model]] = []
    while waiting:
        ready = _ready(waiting, nullable=True) or _ready(waiting, nullable=False) or waiting[:1]
        done += ready
        waiting = [model for model in waiting if model not in ready]
    return done


def children_first(models: Collection[type[Model]]) -> list[type[Model]]:
    """
    The models, each before those that its foreign keys lead to, be it by way of others: rows of these may go along
    with what they point at.
    """
    between = set(models)
    frontier = between
    while frontier:
        frontier = {parent for model in frontier for parent in _parents(model, nullable=True)} - between
        between |= frontier
    return [model for model in reversed(parents_first(between)) if model in models]


def _ready(waiting: Collection[type[Model]], nullable: bool) -> list[type[Model]]:
    return [model for model in waiting if not (_parents(model, nullable) & set(waiting)) - {model}]


def _parents(model: type[Model], nullable: bool) -> set[type[Model]]:
    """The models that `model` points at; with `nullable`, also by foreign keys that may be NULL."""
    keys = key_fields(model)
    fields: tuple[AnyField, ...] = model._meta.local_concrete_fields
    return {
        target
        for field in fields
        if (target := pointed_model(field)) is not None and (nullable or not field.null or field in keys)
    }
