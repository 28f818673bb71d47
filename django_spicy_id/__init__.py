"""Stripe-like ids over plain integer keys."""

from __future__ import annotations

from django_spicy_id.converters import get_url_converter
from django_spicy_id.drf import monkey_patch_drf
from django_spicy_id.errors import (
    AmbiguousSpicyIdError,
    MalformedSpicyIdError,
    SpicyIdError,
    SpicyIdQueryError,
    UnknownSpicyIdError,
)
from django_spicy_id.fields import (
    ENCODING_BASE_58,
    ENCODING_BASE_62,
    ENCODING_HEX,
    SpicyAutoField,
    SpicyBigAutoField,
    SpicySmallAutoField,
)
from django_spicy_id.resolving import ResolvedId, resolve

__all__ = [
    "ENCODING_BASE_58",
    "ENCODING_BASE_62",
    "ENCODING_HEX",
    "AmbiguousSpicyIdError",
    "MalformedSpicyIdError",
    "ResolvedId",
    "SpicyAutoField",
    "SpicyBigAutoField",
    "SpicyIdError",
    "SpicyIdQueryError",
    "SpicySmallAutoField",
    "UnknownSpicyIdError",
    "get_url_converter",
    "monkey_patch_drf",
    "resolve",
]
