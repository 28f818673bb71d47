"""graphene-django: ids are of the type ID, also those over UUIDs and over plain columns of integers."""

from __future__ import annotations

from typing import Any

from django_spicy_id.base import SpicyField


def introduce(converter: Any) -> None:
    def convert(field: SpicyField, _registry: Any = None) -> Any:
        description = converter.get_django_field_description(field)
        return converter.ID(description=description, required=not field.null)

    converter.convert_django_field.register(SpicyField, convert)
