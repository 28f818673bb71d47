"""Stripe-like ids over plain integer keys, and over UUIDs."""

from __future__ import annotations

from django_spicy_id.auto import spicy_auto_field
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
    ENCODING_BASE_32,
    ENCODING_BASE_58,
    ENCODING_BASE_62,
    ENCODING_HEX,
    SpicyAutoField,
    SpicyBigAutoField,
    SpicyBigIntegerField,
    SpicyIntegerField,
    SpicySmallAutoField,
    SpicySmallIntegerField,
    SpicyUUIDField,
)
from django_spicy_id.resolving import ResolvedId, resolve

__all__ = [
    "ENCODING_BASE_32",
    "ENCODING_BASE_58",
    "ENCODING_BASE_62",
    "ENCODING_HEX",
    "AmbiguousSpicyIdError",
    "MalformedSpicyIdError",
    "ResolvedId",
    "SpicyAutoField",
    "SpicyBigAutoField",
    "SpicyBigIntegerField",
    "SpicyIdError",
    "SpicyIdQueryError",
    "SpicyIntegerField",
    "SpicySmallAutoField",
    "SpicySmallIntegerField",
    "SpicyUUIDField",
    "UnknownSpicyIdError",
    "get_url_converter",
    "monkey_patch_drf",
    "resolve",
    "spicy_auto_field",
]
