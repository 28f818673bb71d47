"""Natural keys, in bulk where they are made of the model's own columns."""

from __future__ import annotations

import json
from typing import Any

from django.db.models import Model

from synchro.keys import value_from_text
from synchro.natural import NaturalManager, natural_fields


def allows_many(model: type[Model]) -> bool:
    return any(manager.allow_many for manager in model._meta.managers if isinstance(manager, NaturalManager))


def finder(model: type[Model]) -> Any:
    """The manager that finds by a natural key which is not made of own columns; None where there is none."""
    if natural_fields(model) is not None or not hasattr(model, "natural_key"):
        return None
    for manager in (model._default_manager, *model._meta.managers):
        if hasattr(manager, "get_by_natural_key"):
            return manager
    return None


def has_natural_key(model: type[Model]) -> bool:
    return natural_fields(model) is not None or finder(model) is not None


def values_from_entry(model: type[Model], text: str) -> tuple[Any, ...] | None:
    """The values of `natural_fields` in an entry of a deletion; None where they do not fit the model of today."""
    fields = natural_fields(model)
    values = json.loads(text, strict=False)  # triggers leave a NUL character as it is
    if fields is None or not isinstance(values, list) or len(values) != len(fields):
        return None
    if any(isinstance(value, list | dict) for value in values):
        return None
    return tuple(
        None if value is None else value if isinstance(value, bool) else value_from_text(field, str(value))
        for field, value in zip(fields, values, strict=True)
    )
