"""django-filter: filters over spicy ids take ids."""

from __future__ import annotations

import django_filters
from django_filters.filterset import FILTER_FOR_DBFIELD_DEFAULTS

from django_spicy_id.fields import SpicyAutoField, SpicyBigAutoField, SpicySmallAutoField
from django_spicy_id.forms import SpicyIdField


class SpicyIdFilter(django_filters.Filter):  # type: ignore[misc]
    """A filter whose value is an id of `model_field`; anything else makes the filter form invalid."""

    field_class = SpicyIdField


def register() -> None:
    """Make filter sets use `SpicyIdFilter` for spicy fields. Calling it again changes nothing."""
    for field_class in (SpicyAutoField, SpicyBigAutoField, SpicySmallAutoField):
        FILTER_FOR_DBFIELD_DEFAULTS[field_class] = {
            "filter_class": SpicyIdFilter,
            "extra": lambda field: {"model_field": field},
        }
