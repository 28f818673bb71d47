"""strawberry-django: `auto` over an id is of the type ID."""

from __future__ import annotations

from typing import Any

from django_spicy_id.fields import SPICY_FIELDS
from django_spicy_id.integers import SpicyAutomatic


def introduce(types: Any) -> None:
    for field_class in SPICY_FIELDS:
        types.field_type_map[field_class] = types.strawberry.ID
        if issubclass(field_class, SpicyAutomatic):
            types.relay_field_type_map[field_class] = types.relay.GlobalID
