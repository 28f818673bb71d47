"""How columns name rows: foreign keys, and the plain columns that ``SYNCHRO_KEYS`` says hold keys."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from django.apps import apps
from django.contrib.contenttypes.fields import GenericForeignKey
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models import CASCADE, DO_NOTHING, ManyToManyField, Model

from synchro.exceptions import WrongSetting
from synchro.keys import AnyField, column_field, is_integer, key_fields
from synchro.model_options import model_option, names_option
from synchro.natural import natural_fields, natural_names
from synchro.shared_tables import models_of_table, stands_for


def points_at_rows(field: AnyField) -> bool:
    """Whether the column names rows of a model: a foreign key does, and what ``SYNCHRO_KEYS`` says."""
    return field.remote_field is not None or named_model(field) is not None


def pointed_model(field: AnyField) -> type[Model] | None:
    """Return the model whose rows the column names."""
    if field.remote_field is None:
        return named_model(field)
    return stands_for(field.related_model._meta.concrete_model) if field.related_model is not None else None


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
        return stands_for(model)
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


def is_done_by_the_database(rule: Any) -> bool:
    """Whether an `on_delete` is one of Django 6.1's that the database carries out."""
    return type(rule).__name__ == "DatabaseOnDelete"


#: The second one is new in Django 6.1.
CASCADES = (CASCADE, getattr(models, "DB_CASCADE", CASCADE))


def dependents(model: type[Model]) -> Iterator[tuple[type[Model], AnyField, Any]]:
    """Foreign keys to `model` whose rows Django, not the database, takes care of, and how."""
    for child, column, rule in relations(model):
        if rule is not DO_NOTHING and not is_done_by_the_database(rule):
            yield child, column, rule


def relations(model: type[Model]) -> Iterator[tuple[type[Model], AnyField, Any]]:
    """All foreign keys to `model`, and what becomes of their rows when one of its rows goes."""
    for each in models_of_table(model):
        for relation in each._meta.get_fields(include_hidden=True):
            if (
                relation.auto_created
                and not relation.concrete
                and (relation.one_to_one or relation.one_to_many)
            ):
                yield relation.related_model, relation.field, relation.on_delete  # type: ignore[union-attr,misc]


def pointing_at(model: type[Model]) -> Iterator[tuple[AnyField, Any]]:
    """Foreign keys to columns of `model` that REMOTE's server ensures, with what becomes of their rows."""
    for each in models_of_table(model):
        for relation in each._meta.get_fields(include_hidden=True, include_parents=False):
            if (
                relation.auto_created
                and not relation.concrete
                and (relation.one_to_one or relation.one_to_many)
            ):
                column: AnyField = relation.field  # type: ignore[union-attr]
                if column.db_constraint and not column.model._meta.proxy:
                    yield column, relation.on_delete  # type: ignore[union-attr]


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


def same_key_parents(model: type[Model]) -> Iterator[type[Model]]:
    """The models that `model` inherits from whose rows have the same key."""
    for parent, link in model._meta.parents.items():
        if link is not None and link.primary_key:
            yield parent
            yield from same_key_parents(parent)


def is_symmetrical(through: type[Model]) -> bool:
    """Return whether a pair of a many-to-many table means, or may mean, the same the other way round."""
    if through._meta.auto_created:
        return bool(set_field(through).remote_field.symmetrical)
    return len({target_of(end) for end in ends_of_set(through) or ()}) == 1


def set_field(through: type[Model]) -> ManyToManyField[Any, Any]:
    """The many-to-many field that an automatic table belongs to."""
    source: Any = through._meta.auto_created
    return next(f for f in source._meta.local_many_to_many if f.remote_field.through is through)


def m2m_fields(model: type[Model]) -> Iterator[ManyToManyField[Any, Any]]:
    """The many-to-many fields that `model` itself declares."""
    yield from model._meta.local_many_to_many


def generic_keys(model: type[Model]) -> list[GenericForeignKey]:
    """The generic foreign keys that `model` has."""
    return [field for field in model._meta.private_fields if isinstance(field, GenericForeignKey)]
