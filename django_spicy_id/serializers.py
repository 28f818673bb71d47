"""A field of Django REST framework for ids."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.core.exceptions import ValidationError as DjangoValidationError
from rest_framework.serializers import CharField, ValidationError

from django_spicy_id.base import SpicyField


class SpicyIdField(CharField):  # type: ignore[misc]
    """
    An id, in and out; integers are taken too, and anything else is invalid.

    Which model's ids: those of `model_field`, or of the field of that name of the serializer's model.
    """

    def __init__(self, *, model_field: SpicyField | None = None, **kwargs: Any) -> None:
        self.model_field = model_field
        super().__init__(**kwargs)

    def bind(self, field_name: str, parent: Any) -> None:
        super().bind(field_name, parent)
        model = getattr(getattr(parent, "Meta", None), "model", None)
        if self.model_field is None and model is not None:
            try:
                field = model._meta.get_field(self.source)
            except FieldDoesNotExist:
                return
            if isinstance(field, SpicyField):
                self.model_field = field

    def to_internal_value(self, data: Any) -> Any:
        if self.model_field is None:
            return super().to_internal_value(data)
        try:
            return self.model_field.to_python(data)
        except DjangoValidationError as error:
            raise ValidationError(error.messages, code="invalid") from error
