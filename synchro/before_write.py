"""What cannot be known after a row was written or deleted, and so is asked for before (capture by signals)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from django.db import connections
from django.db.models import Model, QuerySet
from django.db.models.expressions import DatabaseDefault

from synchro.expressions import value_of
from synchro.historical import is_historical
from synchro.keys import AnyField, is_expression, key_fields
from synchro.relations import logged_natural_fields

#: Where an object keeps, between the signals before and after its deletion, what was read of its row.
_READ: Final = "_synchro_read"


def ask_for_key(sender: type[Model], instance: Model, using: str) -> None:
    """
    Ask the database for a key that it would make by itself and not tell: the row could not be named afterwards.

    Raises `Uncaptured` for a key that is an expression and cannot be asked for, before the row is written.
    """
    for field in _columns_of_keys(sender):
        value = instance.__dict__.get(field.attname)
        if is_expression(value) and not _is_returned(value, using):
            setattr(instance, field.attname, value_of(field, value, using))


def has_unknown_key(sender: type[Model], instance: Model) -> bool:
    """Whether the key of `instance` is an expression. It is asked at each save, so it looks at no more than that."""
    held = instance.__dict__
    for field in _columns_of_keys(sender):
        value = held.get(field.attname)
        if type(value) is not int and value is not None and is_expression(value):
            return True
    return False


@cache
def _columns_of_keys(sender: type[Model]) -> tuple[AnyField, ...]:
    """The key's columns of a model and of those that it inherits from."""
    model = sender._meta.concrete_model or sender
    return tuple(field for line in (model, *model._meta.all_parents) for field in key_fields(line))


def _is_returned(value: Any, using: str) -> bool:
    """Whether Django learns what the database makes of it from the statement that inserts the row."""
    features = connections[using].features
    return isinstance(value, DatabaseDefault) and bool(features.can_return_columns_from_insert)


def read_natural_key(model: type[Model], instance: Model, using: str) -> None:
    """Read what the natural key is made of and the object does not hold, as long as the row is there."""
    if is_historical(model):
        return
    fields = [field for field in logged_natural_fields(model) or () if not _is_held(instance, field)]
    if fields:
        rows: Any = QuerySet(model, using=using).filter(pk=instance.pk)
        values = rows.values_list(*(field.attname for field in fields)).first()
        if values is not None:
            read = dict(zip((field.attname for field in fields), values, strict=True))
            instance.__dict__[_READ] = read


def _is_held(instance: Model, field: AnyField) -> bool:
    return field.attname in instance.__dict__ and not is_expression(instance.__dict__[field.attname])


def what_was_read(instance: Model) -> Mapping[str, Any]:
    """Return, once, what `read_natural_key` has read: values by the names of attributes."""
    read: Mapping[str, Any] = instance.__dict__.pop(_READ, {})
    return read
