"""How columns name rows: foreign keys, and the plain columns that ``SYNCHRO_KEYS`` says hold keys."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db.models import ManyToManyField, Model

from synchro.exceptions import WrongSetting
from synchro.keys import AnyField, column_field, is_integer, key_fields
from synchro.model_options import model_option, names_option
from synchro.natural import natural_fields, natural_names


def points_at_rows(field: AnyField) -> bool:
    """Whether the column names rows of a model: a foreign key does, and what ``SYNCHRO_KEYS`` says."""
    return field.remote_field is not None or named_model(field) is not None


def pointed_model(field: AnyField) -> type[Model] | None:
    """Return the model whose rows the column names."""
    if field.remote_field is None:
        return named_model(field)
    return field.related_model._meta.concrete_model if field.related_model is not None else None


def target_of(field: AnyField) -> type[Model] | None:
    """
    Return the model whose key the column holds.

    None for a plain column, and for a foreign key to something else than the key, whose value is the same on both
    sides.
    """
    if field.remote_field is None:
        return named_model(field)
    if field.related_model is None:
        return None
    model: type[Model] = field.related_model._meta.concrete_model
    keys = key_fields(model)
    if len(keys) == 1 and field.target_field in (keys[0], model._meta.pk):
        return model
    return None


@cache
def ends_of_set(through: type[Model]) -> tuple[AnyField, AnyField] | None:
    """
    Return the two foreign keys by which the model of a many-to-many field's own table joins objects, that of the object
    which declares the field first. None for other models, and for automatic tables.
    """
    if through._meta.auto_created:
        return None
    for model in apps.get_models():
        for field in model._meta.local_many_to_many:
            if isinstance(field, ManyToManyField) and field.remote_field.through is through:
                names = field.m2m_field_name(), field.m2m_reverse_field_name()
                near, far = (through._meta.get_field(name) for name in names)
                return near, far
    return None


def logged_natural_fields(model: type[Model]) -> tuple[AnyField, ...] | None:
    """
    Return the columns whose values the entry of a deletion holds: those of the natural key; of the model of a set those
    of the pair, which is what its rows are known by where it took over the set's automatic table.
    """
    found = natural_fields(model)
    if found is not None or hasattr(model, "natural_key") or natural_names(model):
        return found
    return ends_of_set(model)


def must_exist(field: AnyField) -> bool:
    """Whether the database sees to it that the row which the column names is there."""
    return bool(field.remote_field is not None and field.db_constraint)


def named_model(field: AnyField) -> type[Model] | None:
    """Return the model that ``SYNCHRO_KEYS`` says a plain column holds keys of."""
    return named_models(field.model).get(field.name)


@cache
def named_models(model: type[Model]) -> dict[str, type[Model]]:
    """
    Return the models by the names of the plain columns that hold their keys.

    Raises `WrongSetting` for what is none: left alone, the column would hold wrong keys on REMOTE.
    """
    named = model_option(model, "KEYS", {})
    where = f"{names_option(model, 'KEYS')} of {model._meta.label}"
    if not isinstance(named, Mapping):
        raise WrongSetting(
            f"{where} is {named!r}; it must be a dictionary, such as {{'offer_id': 'shop.Offer'}}."
        )
    found = {
        name: _named(model, where, name, target)
        for name, target in named.items()
        if target is not None  # said to be no key
    }
    return {name: target for name, target in found.items() if target is not None}


def _named(model: type[Model], where: str, name: Any, target: Any) -> type[Model] | None:
    try:
        field: AnyField = model._meta.get_field(str(name))
    except FieldDoesNotExist:
        raise WrongSetting(f"{where} names {name!r}, which is no field of the model.") from None
    if field not in model._meta.local_concrete_fields:
        if field.concrete and field.model is not model:
            return None  # a parent's column, which the parent's table translates
        raise WrongSetting(f"{where} names {name!r}, which is no column of its table.")
    if field.remote_field is not None or field.primary_key:
        raise WrongSetting(
            f"{where} names {name!r}, which is a {'key' if field.primary_key else 'foreign key'}."
        )
    try:
        other: Any = apps.get_model(str(target))._meta.concrete_model
    except (LookupError, ValueError):
        raise WrongSetting(
            f"{where} says that {name!r} holds keys of {target!r}, which is no model."
        ) from None
    keys = key_fields(other)
    if len(keys) != 1 or not _holds_same(field, keys[0]):
        raise WrongSetting(
            f"{where} says that {name!r} holds keys of {other._meta.label}, but they are of other types."
        )
    return other  # type: ignore[no-any-return]


def _holds_same(field: AnyField, key: AnyField) -> bool:
    """Whether a value of the column and the key that it stands for are written alike."""
    if is_integer(key):
        return is_integer(field)
    return bool(field.get_internal_type() == column_field(key).get_internal_type())


def forget_named_models() -> None:
    """To be called where what the settings say of models has changed."""
    named_models.cache_clear()
    ends_of_set.cache_clear()
