"""The models that an argument of a command names."""

from __future__ import annotations

from django.apps import apps
from django.core.management.base import CommandError
from django.db.models import Model

from synchro.conf import did_you_mean
from synchro.registry import is_watched, watched_models
from synchro.relations import m2m_fields


def models_of(label: str) -> list[type[Model]]:
    """Return the model, and the tables of its many-to-many fields."""
    try:
        model = apps.get_model(label)
    except (LookupError, ValueError):
        labels = [each._meta.label for each in watched_models()]
        raise CommandError(f"There is no model {label!r}.{did_you_mean(label, labels)}") from None
    concrete = model._meta.concrete_model
    if concrete is None or not is_watched(concrete):
        raise CommandError(f"{model._meta.label} is not watched: SYNCHRO_MODELS does not name it.")
    return [concrete, *(field.remote_field.through for field in m2m_fields(concrete))]
