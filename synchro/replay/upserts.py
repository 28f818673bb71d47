"""Upserts: which rows an INSERT that updates what is there can meet."""

from __future__ import annotations

from typing import Any

from django.db.models import Model, UniqueConstraint

from synchro.keys import key_fields


def may_meet_by_value(query: Any, model: type[Model]) -> bool:
    """Whether it can update a row by another unique value than the key. `query` is Django's; MySQL names no fields."""
    if query.unique_fields:
        return set(query.unique_fields) != set(key_fields(model))
    return (
        any(field.unique and not field.primary_key for field in model._meta.local_concrete_fields)
        or bool(model._meta.unique_together)
        or any(isinstance(each, UniqueConstraint) for each in model._meta.constraints)
        or key_fields(model) != (model._meta.pk,)
    )
