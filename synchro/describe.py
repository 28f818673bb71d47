"""What an entry says of an object: its key, its natural key and the keys of its set, as text."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db.models import Model

from synchro.before_write import what_was_read
from synchro.conf import LOCAL
from synchro.entries import ModelName
from synchro.historical import is_historical
from synchro.keys import Key, key_fields, key_of, normalize, to_text, value_to_text
from synchro.model_options import model_option
from synchro.natural import natural_names
from synchro.natural_parts import natural_parts, to_json
from synchro.relations import logged_natural_fields

logger = logging.getLogger(__name__)

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

    None for an object that has none, or none any more since an object that it names is missing, or whose method
    raises: the deletion itself must not fail for that.
    """
    read = what_was_read(instance)
    try:
        fields = None if is_historical(model) else logged_natural_fields(model)
        if fields is not None:
            return to_json([normalize(field, _held(instance, field.attname, read)) for field in fields])
        return to_json(natural_parts(instance, _model_of)) if _has_natural_key(type(instance)) else None
    except Exception as error:  # noqa: BLE001  code of others, or a value that is none
        name = type(instance)._meta.label
        logger.warning("The natural key of a deleted %s is not known (%s).", name, type(error).__name__)
        return None


def _has_natural_key(model: type[Model]) -> bool:
    given = model_option(model, "NATURAL_KEY")
    if given is not None and not given:
        return False
    return hasattr(model, "natural_key") or bool(natural_names(model))


def _held(instance: Model, name: str, read: Mapping[str, Any]) -> Any:
    return read[name] if name in read else getattr(instance, name)


def _model_of(content_type_id: int) -> type[Model] | None:
    return ContentType.objects.db_manager(LOCAL).get_for_id(content_type_id).model_class()


def far_keys(through: type[Model], reverse: bool, keys: Collection[Any] | None) -> str | None:
    """The objects that came to a set or went, as a JSON list; None where they are not known."""
    if keys is None:
        return None
    far = key_fields(through)[0 if reverse else 1]
    try:
        return json.dumps(sorted(value_to_text(normalize(far, key)) for key in keys))
    except NO_KEY:
        return None
