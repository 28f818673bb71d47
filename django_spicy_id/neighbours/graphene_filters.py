"""graphene-django: filters over keys take its global ids, also over spicy ones."""

from __future__ import annotations

from typing import Any

from django_spicy_id.fields import SPICY_FIELDS


def introduce(filterset: Any) -> None:
    for field_class in SPICY_FIELDS:
        filterset.GrapheneFilterSetMixin.FILTER_DEFAULTS[field_class] = {
            "filter_class": filterset.GlobalIDFilter
        }
