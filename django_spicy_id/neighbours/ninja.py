"""django-ninja: ids in schemas are strings, and only ids are taken."""

from __future__ import annotations

from functools import wraps
from typing import Annotated, Any

from django.core.exceptions import ValidationError
from django.db.models import ForeignKey
from pydantic import BeforeValidator, WithJsonSchema

from django_spicy_id.base import SpicyField
from django_spicy_id.neighbours import replace
from django_spicy_id.neighbours.casts import spicy_target
from django_spicy_id.schemas import openapi_schema


def id_type(field: SpicyField) -> Any:
    """Return the type of pydantic for ids of `field`: takes ids and integers, gives ids."""

    def checked(value: Any) -> Any:
        try:
            return field.to_python(value)
        except ValidationError as error:
            raise ValueError(" ".join(error.messages)) from error

    return Annotated[str, BeforeValidator(checked), WithJsonSchema(openapi_schema(field))]


def id_of_row_type(field: SpicyField) -> Any:
    """The same for the members of a set, which are rows where it is given out."""

    def key(value: Any) -> Any:
        return getattr(value, "pk", value)

    return Annotated[id_type(field), BeforeValidator(key)]


def introduce(fields: Any) -> None:
    original = fields.get_schema_field

    @wraps(original)
    def get_schema_field(field: Any, *, depth: int = 0, **options: Any) -> Any:
        python_type, info = original(field, depth=depth, **options)
        if field.is_relation and depth > 0:
            return python_type, info
        holds_its_value = isinstance(field, ForeignKey) or not field.is_relation  # and others lead to the key
        target = spicy_target(field if holds_its_value else field.related_model._meta.pk)
        if target is None:
            return python_type, info
        if field.one_to_many or field.many_to_many:
            ours: Any = list[id_of_row_type(target)]  # type: ignore[misc]
        else:
            ours = id_type(target)
        is_nullable = type(None) in getattr(python_type, "__args__", ())
        return (ours | None if is_nullable else ours), info

    replace("ninja", "get_schema_field", original, get_schema_field)
    fields.get_schema_field = get_schema_field
