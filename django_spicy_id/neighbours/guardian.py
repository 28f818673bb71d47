"""django-guardian: it keeps the keys of objects as text, and makes integers of them again by a cast."""

from __future__ import annotations

from functools import partial, wraps
from typing import Any

from django_spicy_id.neighbours.casts import IdCast, spicy_target


def introduce(shortcuts: Any) -> None:
    original = shortcuts._handle_pk_field

    @wraps(original)
    def _handle_pk_field(queryset: Any, *args: Any, **kwargs: Any) -> Any:
        field = spicy_target(queryset.model._meta.pk)
        return partial(IdCast, output_field=field) if field else original(queryset, *args, **kwargs)

    shortcuts._handle_pk_field = _handle_pk_field
