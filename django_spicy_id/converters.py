"""Url converters: a path matches only where it has an id of the field."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import models

from django_spicy_id.lookup import spicy_field


def get_url_converter(model: type[models.Model], field_name: str) -> type[Any]:
    """
    Return the path converter for the ids of a field, to be given to `django.urls.register_converter`.

    The view gets the id as it stands in the path; anything else there is no match, so a 404. `reverse` takes
    ids and keys, and finds no url for anything else.
    """
    field = spicy_field(model, field_name)

    class SpicyIdConverter:
        regex = field.re_pattern

        def to_python(self, value: str) -> str:
            field.validate_string(value)
            return value

        def to_url(self, value: str | int | UUID) -> str:
            url: str = field.spelled(field.key(value))
            return url

    return SpicyIdConverter
