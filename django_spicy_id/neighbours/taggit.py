"""django-taggit: prefetched tags are found by what their column holds, and belong to rows that have ids."""

from __future__ import annotations

from functools import wraps
from typing import Any

from django_spicy_id.neighbours.casts import spicy_target


def introduce(managers: Any) -> None:
    manager = managers._TaggableManager
    original = manager.get_prefetch_querysets

    @wraps(original)
    def get_prefetch_querysets(self: Any, instances: Any, querysets: Any = None) -> Any:
        rows, key_of_row, *rest = original(self, instances, querysets)
        field = spicy_target(instances[0]._meta.pk)
        if field is None:
            return rows, key_of_row, *rest
        read = field.from_db_value
        return rows, lambda row: read(key_of_row(row)), *rest

    manager.get_prefetch_querysets = get_prefetch_querysets
