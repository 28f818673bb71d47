"""A form field for ids, where a form asks for one by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms

if TYPE_CHECKING:
    from django_spicy_id.fields import SpicyField


class SpicyIdField(forms.CharField):
    """
    Takes an id of `model_field` and cleans to it; anything else is a ValidationError.

    Nothing entered is None. The other arguments are those of Django's `CharField`. Blanks around the id are
    not taken away, since an id has one spelling.
    """

    def __init__(self, *, model_field: SpicyField, **kwargs: Any) -> None:
        self.model_field = model_field
        super().__init__(**{"strip": False, "empty_value": None, **kwargs})

    def to_python(self, value: Any) -> Any:
        if value in self.empty_values:
            return None
        return self.model_field.to_python(value)
