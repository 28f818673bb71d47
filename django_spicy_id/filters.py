"""django-filter: filters over spicy ids take ids."""

from __future__ import annotations

import django_filters

from django_spicy_id.fields import SPICY_FIELDS
from django_spicy_id.forms import SpicyIdField


class SpicyIdFilter(django_filters.Filter):  # type: ignore[misc]
    """A filter whose value is an id of `model_field`; anything else makes the filter form invalid."""

    field_class = SpicyIdField


def register() -> None:
    """Make filter sets use `SpicyIdFilter` for spicy fields. Calling it again changes nothing."""
    # REST framework's filter sets have a table of their own, where there is REST framework.
    filter_set = getattr(django_filters, "rest_framework", django_filters).FilterSet
    for table in (django_filters.FilterSet.FILTER_DEFAULTS, filter_set.FILTER_DEFAULTS):
        for field_class in SPICY_FIELDS:
            table[field_class] = {
                "filter_class": SpicyIdFilter,
                "extra": lambda field: {"model_field": field},
            }
