"""
Parts: what a natural key that others wrote is made of.

A part may be an object, or a key of one: ``(self.group, self.collection_id)``. Those are other rows on REMOTE, so they
have to be known for what they are. Keys are marked before `natural_key()` is called and recognized in what it returns.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeAlias

from django.apps import apps
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import FieldDoesNotExist
from django.db import connections
from django.db.models import Model
from django.utils.timezone import is_aware

from synchro.keys import (
    AnyField,
    Key,
    from_text,
    is_expression,
    key_fields,
    key_of,
    normalize,
    to_text,
    value_to_text,
)
from synchro.model_options import model_option
from synchro.natural import follow, natural_names
from synchro.relations import target_of

#: The model of a content type of the database that the object comes from.
ModelOf: TypeAlias = Callable[[int], type[Model] | None]


@dataclass(frozen=True)
class NamedRow:
    """A part that stands for a row."""

    model: type[Model]
    key: Key
    #: The field whose column holds the key; None where the part is the object itself.
    field: AnyField = None
    #: How the column spells the key.
    spelled: Any = None


class NotUsable(ValueError):
    """The natural key is not made of values."""


class _Number(int):
    field: AnyField


class _Text(str):
    field: AnyField


def natural_values(instance: Model) -> tuple[Any, ...]:
    """Return the natural key of `instance`, as the project or the model's own method gives it."""
    model = type(instance)
    values: Any
    if model_option(model, "NATURAL_KEY") or not hasattr(model, "natural_key"):
        values = tuple(follow(instance, name) for name in natural_names(model))
    else:
        values = instance.natural_key()  # type: ignore[attr-defined]
    return tuple(values) if isinstance(values, tuple | list) else (values,)


def natural_parts(instance: Model, model_of: ModelOf) -> list[Any]:
    """
    Return the same with a `NamedRow` for each part that stands for a row.

    Raises `NotUsable` for what is no value, and whatever the model's own method raises.
    """
    values = natural_values(_marked(instance))
    return [_part(instance, value, model_of) for value in values]


def named_rows(parts: Sequence[Any]) -> Iterator[NamedRow]:
    """Yield the rows that stand in a natural key, also in a natural key within it."""
    for part in parts:
        if isinstance(part, NamedRow):
            yield part
        elif isinstance(part, list):
            yield from named_rows(part)


def to_json(parts: Sequence[Any]) -> str:
    return json.dumps(parts, default=_as_json, ensure_ascii=False)


def from_json(model: type[Model], text: str) -> list[Any]:
    """
    Read what `to_json` wrote.

    Raises `ValueError` or Django's `ValidationError` for what names a model or a field that is no more.
    """
    parts = json.loads(text, strict=False)  # triggers leave a NUL character as it is
    return [_read(model, part) for part in (parts if isinstance(parts, list) else [parts])]


@cache
def is_left_unused(model: type[Model]) -> bool:
    """
    Whether the model's own natural key has the key of a generic foreign key without its content type.

    It is found out by an object with marks in place of values, on which nothing is asked of a database.
    """
    generics = [field for field in model._meta.private_fields if isinstance(field, GenericForeignKey)]
    if not generics or not hasattr(model, "natural_key"):
        return False
    try:
        probe = model()
        for generic in generics:
            _mark_generic(probe, generic)
        with ExitStack() as stack:
            for alias in connections:
                stack.enter_context(connections[alias].execute_wrapper(_ask_nothing))
            values = list(_flat(natural_values(probe)))
    except Exception:  # noqa: BLE001  code of others: what it does with marks says nothing
        return False
    marks = {value.field.name for value in values if isinstance(value, _Number | _Text)}
    return any(
        generic.fk_field in marks
        and generic.ct_field not in marks
        and not any(value is generic or isinstance(value, ContentType) for value in values)
        and not {"an_app", "a_model"} <= {value for value in values if isinstance(value, str)}
        for generic in generics
    )


def _mark_generic(probe: Model, generic: GenericForeignKey) -> None:
    kind, key = (probe._meta.get_field(name) for name in (generic.ct_field, generic.fk_field))
    probe.__dict__[kind.attname] = _mark(0, kind)  # type: ignore[union-attr]
    probe.__dict__[key.attname] = _mark(0, key)  # type: ignore[union-attr]
    probe._state.fields_cache[kind.name] = ContentType(app_label="an_app", model="a_model")


def _ask_nothing(*_args: Any) -> Any:
    raise RuntimeError("No database is asked.")


def _flat(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, tuple | list):
            yield from _flat(value)
        else:
            yield value


def _marked(instance: Model) -> Model:
    """A copy of the object in which each key of another row is marked with its field."""
    fields = [f for f in _columns_with_keys(type(instance)) if f.attname in instance.__dict__]
    if not fields:
        return instance
    other = copy(instance)
    for field in fields:
        value = other.__dict__[field.attname]
        if isinstance(value, int | str) and not isinstance(value, bool):
            other.__dict__[field.attname] = _mark(value, field)
    return other


def _mark(value: int | str, field: AnyField) -> _Number | _Text:
    marked: Any = _Text(value) if isinstance(value, str) else _Number(value)
    marked.field = field
    return marked  # type: ignore[no-any-return]


@cache
def _columns_with_keys(model: type[Model]) -> tuple[AnyField, ...]:
    generic = _generic_fields(model)
    return tuple(
        field
        for field in model._meta.concrete_fields
        if target_of(field) is not None or field.name in generic or field.primary_key
    )


def _generic_fields(model: type[Model]) -> dict[str, GenericForeignKey]:
    return {
        field.fk_field: field for field in model._meta.private_fields if isinstance(field, GenericForeignKey)
    }


def _part(instance: Model, value: Any, model_of: ModelOf) -> Any:
    match value:
        case Model():
            return NamedRow(value._meta.concrete_model, key_of(value))  # type: ignore[arg-type]
        case _Number() | _Text():
            return _named_by(instance, value, model_of)
        case tuple() | list():
            return [_part(instance, each, model_of) for each in value]
    if is_expression(value):
        raise NotUsable("a part of it is an expression, and no value")
    return value


def _named_by(instance: Model, value: Any, model_of: ModelOf) -> Any:
    field = value.field
    target: Any = target_of(field) or (type(instance)._meta.concrete_model if field.primary_key else None)
    if target is None:
        kind = getattr(instance, _kind_of(type(instance), field))
        target = model_of(kind) if kind is not None else None
    plain = str(value) if isinstance(value, str) else int(value)
    if target is None or len(key_fields(target)) != 1:
        return plain
    return NamedRow(target, normalize(key_fields(target)[0], plain), field, plain)


def _kind_of(model: type[Model], field: AnyField) -> str:
    generic = _generic_fields(model)[field.name]
    kind: AnyField = model._meta.get_field(generic.ct_field)
    return str(kind.attname)


def _as_json(value: Any) -> Any:
    """A value that JSON has no type for."""
    match value:
        case NamedRow():
            found = {"row": value.model._meta.label_lower, "key": to_text(value.model, value.key)}
            if value.field is not None:
                found |= {"field": value.field.name, "spelled": str(value.spelled)}
            return found
        case datetime() if is_aware(value):
            return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value_to_text(value)


def _read(model: type[Model], part: Any) -> Any:
    if isinstance(part, list):
        return [_read(model, each) for each in part]
    if not isinstance(part, Mapping):
        return part
    try:
        target = apps.get_model(part["row"])
        field = model._meta.get_field(part["field"]) if "field" in part else None
        return NamedRow(target, from_text(target, part["key"]), field, part.get("spelled"))
    except (LookupError, FieldDoesNotExist) as error:
        raise NotUsable("it names what is no more") from error


def forget_natural_parts() -> None:
    """To be called where what the settings say of models has changed."""
    is_left_unused.cache_clear()
    _columns_with_keys.cache_clear()
