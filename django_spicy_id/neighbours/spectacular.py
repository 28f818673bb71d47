"""drf-spectacular: schemas of ids say what ids look like."""

from __future__ import annotations

from functools import wraps
from typing import Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension

from django_spicy_id.base import SpicyField
from django_spicy_id.schemas import openapi_schema


class SpicyIdExtension(OpenApiSerializerFieldExtension):  # type: ignore[misc]
    """The schema of a serializer's field, for those that know which model's ids they are."""

    target_class = "django_spicy_id.serializers.SpicyIdField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Any:
        if self.target.model_field is None:
            return auto_schema._map_serializer_field(self.target, direction, bypass_extensions=True)
        return openapi_schema(self.target.model_field)


def introduce(openapi: Any) -> None:
    original = openapi.AutoSchema._map_model_field

    @wraps(original)
    def _map_model_field(self: Any, model_field: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(model_field, SpicyField):
            return openapi_schema(model_field)
        return original(self, model_field, *args, **kwargs)

    openapi.AutoSchema._map_model_field = _map_model_field
