"""What an entry says of an object: its key, its natural key and the keys of its set, as text."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import DatabaseError
from django.db.models import Model
from django.utils.timezone import is_aware

from synchro.entries import ModelName
from synchro.historical import is_historical
from synchro.keys import Key, key_fields, key_of, normalize, to_text, value_to_text
from synchro.natural import natural_fields

#: What values raise that are no keys, and objects that have none.
NO_KEY = (AttributeError, TypeError, ValueError, ArithmeticError, ValidationError, ObjectDoesNotExist)


def label_of(model: type[Model]) -> ModelName:
    return ModelName(model._meta.app_label, str(model._meta.model_name))


def text_of(model: type[Model], instance: Model) -> str | None:
    """
    The key of `instance` in the table of `model`; None where it has none (yet).

    Raises one of `NO_KEY` for what is no key.
    """
    key = _key(model, instance)
    if key is None or (type(key) is tuple and None in key):
        return None
    return to_text(model, key)


def _key(model: type[Model], instance: Model) -> Key:
    own = type(instance)
    if not is_historical(own):
        return key_of(instance, model)
    fields = key_fields(model)
    names = [field.attname for field in fields]
    if not all(hasattr(instance, name) for name in names):  # the key has another name by now
        names = [field.attname for field in own._meta.pk_fields]
    values = tuple(
        normalize(field, getattr(instance, name)) for field, name in zip(fields, names, strict=True)
    )
    return values[0] if len(values) == 1 else values


def natural_key_of(instance: Model, model: type[Model]) -> str | None:
    """
    The natural key's values as a JSON list: those of its columns where it is made of such (as triggers write them).

    None for an object that has none, or none any more since an object that it names is missing: the deletion
    itself must not fail for that, nor for anything else that a method of the project raises.
    """
    try:
        fields = None if is_historical(model) else natural_fields(model)
        if fields is not None:
            values: Any = [normalize(field, getattr(instance, field.attname)) for field in fields]
        elif hasattr(instance, "natural_key"):
            values = instance.natural_key()
        else:
            return None
        several = values if isinstance(values, tuple | list) else [values]
        return json.dumps(several, default=_as_json, ensure_ascii=False)
    except DatabaseError:
        raise  # the transaction may be at its end
    except Exception:  # noqa: BLE001  the project's own code may raise anything
        return None


def _as_json(value: Any) -> Any:
    """A value that JSON has no type for; an object stands for its key, as it does in its column."""
    match value:
        case Model():
            return key_of(value)
        case datetime() if is_aware(value):
            return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value_to_text(value)


def far_keys(through: type[Model], reverse: bool, keys: Collection[Any] | None) -> str | None:
    """The objects that came to a set or went, as a JSON list; None where they are not known."""
    if keys is None:
        return None
    far = key_fields(through)[0 if reverse else 1]
    try:
        return json.dumps(sorted(value_to_text(normalize(far, key)) for key in keys))
    except NO_KEY:
        return None
