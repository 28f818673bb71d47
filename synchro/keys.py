"""
The key of an object, as a value and as text.

A key is the value of the primary key as the database's driver and Django's backend give it (an int for every
integer column, whatever the field makes of it), or a tuple of such values for a composite key and for the pair that
identifies a row of an automatic many-to-many table. Its text is the same for signals and triggers on every engine.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache, partial
from typing import Any, TypeAlias
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import Model
from django.utils import timezone

Key: TypeAlias = Any
#: A concrete field of a model, whose column django-stubs takes for optional.
AnyField: TypeAlias = Any
TextReader: TypeAlias = Callable[[str], Key]

INTEGERS = frozenset(
    f"{prefix}{name}"
    for prefix in ("", "Small", "Big", "Positive", "PositiveSmall", "PositiveBig")
    for name in ("IntegerField", "AutoField")
)


TEXTS = frozenset(("CharField", "TextField", "SlugField", "FileField", "FilePathField"))


@cache
def key_fields(model: type[Model]) -> tuple[AnyField, ...]:
    """The fields that identify a row: the primary key's, or both foreign keys of an automatic m2m table."""
    if model._meta.auto_created:
        return tuple(field for field in model._meta.local_fields if field.remote_field is not None)
    return tuple(model._meta.pk_fields)


@cache
def column_field(field: AnyField) -> AnyField:
    """The field that decides the type of a column: a foreign key's is that of its target, and so on."""
    while field.remote_field is not None:
        field = field.target_field
    return field


def is_integer(field: AnyField) -> bool:
    return column_field(field).get_internal_type() in INTEGERS


def is_text(field: AnyField) -> bool:
    return column_field(field).get_internal_type() in TEXTS


def is_automatic(field: AnyField) -> bool:
    """
    Whether the database hands out the values of this key field.

    A field with a default (a UUID, a spicy id with ``randomize``) makes its own.
    """
    return isinstance(field, models.AutoField) and not field.has_default()


def key_of(instance: Model, model: type[Model] | None = None) -> Key:
    """The key of `instance` in the table of `model` (its own, or one it inherits from)."""
    fields = key_fields(model or type(instance))
    values = tuple(normalize(field, getattr(instance, field.attname)) for field in fields)
    return values[0] if len(values) == 1 else values


def is_expression(value: Any) -> bool:
    """Whether `value` stands for what the database will compute: an `F`, a default of the database, ..."""
    return hasattr(value, "resolve_expression")


def normalize(field: AnyField, value: Any) -> Any:
    """`value`, as a person or a model instance holds it, as the value that a key has."""
    target = column_field(field)
    if value is None:
        return None
    if is_expression(value):
        raise ValueError(f"{field.model._meta.label}.{field.name} holds an expression, and no value")
    kind = target.get_internal_type()
    if kind in INTEGERS:
        number = int(target.get_prep_value(value))
        # MySQL's driver takes the sign from a negative key, and Django takes what it says for the key.
        return number - 2**64 if number >= 2**63 and isinstance(target, models.AutoField) else number
    if kind == "BinaryField":
        return bytes(value)
    if kind == "DecimalField":
        scale = Decimal(1).scaleb(-(target.decimal_places or 0))
        return Decimal(str(value)).quantize(scale)
    return target.to_python(value)


def to_text(model: type[Model], key: Key) -> str:
    """The one spelling in which entries and references name the object."""
    if type(key) is int:  # the usual case, for the sake of speed
        return str(key)
    fields = key_fields(model)
    if len(fields) == 1:
        return value_to_text(key)
    # A truth value is an int for Python, but not where its text is read again.
    parts = [value if type(value) is int else value_to_text(value) for value in key]
    return json.dumps(parts, ensure_ascii=False, separators=(",", ":"))


def from_text(model: type[Model], text: str) -> Key:
    """
    The key that `text` spells.

    Raises `ValueError` or Django's `ValidationError` where it spells none.
    """
    fields = key_fields(model)
    if len(fields) == 1:
        return value_from_text(fields[0], text)
    parts = json.loads(text, strict=False)  # triggers leave a NUL character as it is
    if not isinstance(parts, list) or len(parts) != len(fields):
        raise ValueError(f"{text!r} is no key of {model._meta.label}")
    return tuple(value_from_text(field, str(part)) for field, part in zip(fields, parts, strict=True))


def key_reader(model: type[Model]) -> TextReader:
    """`from_text` for many keys of one model."""
    fields = key_fields(model)
    if len(fields) == 1 and is_integer(fields[0]):
        return int
    return partial(from_text, model)


def value_to_text(value: Any) -> str:
    match value:
        case bool():
            return "1" if value else "0"
        case datetime():
            moment = value.astimezone(UTC) if timezone.is_aware(value) else value
            return moment.replace(tzinfo=None).isoformat(timespec="microseconds")
        case time():
            return value.isoformat(timespec="microseconds")
        case date():
            return value.isoformat()
        case timedelta():
            return str(value // timedelta(microseconds=1))
        case Decimal():
            return format(value, "f")
        case float():
            return repr(value)
        case bytes() | memoryview():
            return bytes(value).hex()
        case UUID():
            return str(value)
    return str(value)


def value_from_text(field: AnyField, text: str) -> Any:
    try:
        return _value_from_text(field, text)
    except ArithmeticError as error:  # no decimal, or more days than there are
        raise ValueError("This text is no key.") from error


def _value_from_text(field: AnyField, text: str) -> Any:
    target = column_field(field)
    match target.get_internal_type():
        case kind if kind in INTEGERS:
            return int(text)
        case "BooleanField":
            return text == "1"
        case "BinaryField":
            return bytes.fromhex(text)
        case "DurationField":
            return timedelta(microseconds=int(text))
        case "DateTimeField":
            moment = datetime.fromisoformat(text)
            return moment.replace(tzinfo=UTC) if settings.USE_TZ else moment
        case "CharField" | "TextField" | "SlugField" | "FileField" | "FilePathField":
            return text
    return normalize(target, text)
