"""django-simple-history: its copies of automatic keys are plain columns, and these stay columns of ids."""

from __future__ import annotations

from functools import wraps
from typing import Any, Final

from django.db.models import NOT_PROVIDED

from django_spicy_id.fields import SpicyBigIntegerField, SpicyIntegerField, SpicySmallIntegerField
from django_spicy_id.integers import SpicyAutomatic

COLUMNS: Final = {64: SpicyBigIntegerField, 32: SpicyIntegerField, 16: SpicySmallIntegerField}


def introduce(models: Any) -> None:
    original = models.transform_field

    @wraps(original)
    def transform_field(field: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(field, SpicyAutomatic):
            copy: Any = field
            copy.__class__ = COLUMNS[copy.BITS]
            # A row of the history has the key of the row that it is about.
            copy.randomize, copy.default = False, NOT_PROVIDED
            copy.__dict__.pop("_get_default", None)
        return original(field, *args, **kwargs)

    models.transform_field = transform_field
