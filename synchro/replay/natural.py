"""Natural keys, in bulk where they are made of the model's own columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from django.contrib.auth.base_user import BaseUserManager
from django.contrib.contenttypes.models import ContentTypeManager
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model

from synchro.keys import AnyField, value_from_text
from synchro.natural import NaturalManager


@cache
def natural_fields(model: type[Model]) -> tuple[AnyField, ...] | None:
    """The columns of `model` that its natural key is made of; None where it is not made of its own columns."""
    names = _names(model)
    if not names:
        return None
    try:
        fields = tuple(model._meta.get_field(name) for name in names)
    except FieldDoesNotExist:
        return None
    own = set(model._meta.local_concrete_fields)
    return fields if set(fields) <= own else None


def _names(model: type[Model]) -> Sequence[str]:
    managers = [model._default_manager, *model._meta.managers]
    for manager in managers:
        if isinstance(manager, NaturalManager):
            return manager.fields
    if isinstance(model._default_manager, ContentTypeManager):
        return ("app_label", "model")
    if isinstance(model._default_manager, BaseUserManager) and hasattr(model, "USERNAME_FIELD"):
        return (model.USERNAME_FIELD,)
    return {"auth.Group": ("name",), "auth.Permission": ("content_type", "codename")}.get(
        model._meta.label, ()
    )


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
    values = json.loads(text)
    if fields is None or not isinstance(values, list) or len(values) != len(fields):
        return None
    if any(isinstance(value, list | dict) for value in values):
        return None
    return tuple(
        None if value is None else value if isinstance(value, bool) else value_from_text(field, str(value))
        for field, value in zip(fields, values, strict=True)
    )
