"""django-import-export: a column of ids is written as ids, and takes ids and integers."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.core.exceptions import ValidationError
from import_export.widgets import Widget

from django_spicy_id.base import SpicyField


class SpicyIdWidget(Widget):  # type: ignore[misc]
    """The widget of a column with ids of `model_field`. An empty cell is None, as in a row that is to be made."""

    def __init__(self, model_field: SpicyField, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model_field = model_field

    def clean(self, value: Any, row: Any = None, **kwargs: Any) -> str | None:
        """Return the id; raise ValueError for what is none."""
        if value in (None, ""):
            return None
        try:
            return self.model_field.to_python(value)
        except ValidationError as error:
            raise ValueError(" ".join(error.messages)) from error


def introduce(resources: Any) -> None:
    original = resources.ModelResource.widget_from_django_field.__func__

    def widget_from_django_field(cls: Any, f: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(f, SpicyField):
            return partial(SpicyIdWidget, f)
        return original(cls, f, *args, **kwargs)

    resources.ModelResource.widget_from_django_field = classmethod(widget_from_django_field)
