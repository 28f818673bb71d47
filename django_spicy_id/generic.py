"""
Generic foreign keys and `prefetch_related`, where Django needs help.

Before Django 6.0, the prefetch compares the key of the found row with the integer of the stored key, and
takes the two for the same kind of value. With ids they are not, and every target would silently be None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.contenttypes.fields import GenericForeignKey


def patch_prefetch() -> None:
    """Make the prefetch compare integers with integers. Calling it again changes nothing."""
    target: Any = GenericForeignKey
    original: Callable[..., tuple[Any, ...]] = target.get_prefetch_querysets
    if hasattr(original, "knows_spicy_ids"):
        return

    def get_prefetch_querysets(self: Any, instances: Any, querysets: Any = None) -> tuple[Any, ...]:
        rows, _, *rest = original(self, instances, querysets)
        return rows, _prepared_key, *rest

    get_prefetch_querysets.knows_spicy_ids = True  # type: ignore[attr-defined]
    target.get_prefetch_querysets = get_prefetch_querysets


def _prepared_key(row: Any) -> tuple[Any, type[Any]]:
    return row._meta.pk.get_prep_value(row.pk), row.__class__
