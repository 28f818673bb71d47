"""
The model fields: Django's automatic integer keys, and its UUIDs, seen from Python as ids such as ``usr_8M0kX``.

Migrations name these classes by this module.
"""

from __future__ import annotations

from typing import Final

from django.db import models

from django_spicy_id import lookups, neighbours, references, rows
from django_spicy_id.base import LEGAL_PREFIX, Given, SpicyField, Taken
from django_spicy_id.encoding import (
    ENCODING_BASE_32,
    ENCODING_BASE_58,
    ENCODING_BASE_62,
    ENCODING_HEX,
)
from django_spicy_id.integers import SpicyAutomatic, SpicyInteger
from django_spicy_id.uuids import SpicyUUID

__all__ = [
    "ENCODING_BASE_32",
    "ENCODING_BASE_58",
    "ENCODING_BASE_62",
    "ENCODING_HEX",
    "LEGAL_PREFIX_RE",
    "SpicyAutoField",
    "SpicyBigAutoField",
    "SpicyBigIntegerField",
    "SpicyField",
    "SpicyIntegerField",
    "SpicySmallAutoField",
    "SpicySmallIntegerField",
    "SpicyUUIDField",
]

#: By the name that django-spicy-id gives it.
LEGAL_PREFIX_RE = LEGAL_PREFIX


class SpicyBigAutoField(SpicyAutomatic[Taken, Given], models.BigAutoField):  # type: ignore[type-arg, misc]
    """An id over a `BigAutoField`: 64 bits."""

    BITS = 64


class SpicyAutoField(SpicyAutomatic[Taken, Given], models.AutoField):  # type: ignore[type-arg, misc]
    """An id over an `AutoField`: 32 bits."""

    BITS = 32


class SpicySmallAutoField(SpicyAutomatic[Taken, Given], models.SmallAutoField):  # type: ignore[type-arg, misc]
    """An id over a `SmallAutoField`: 16 bits."""

    BITS = 16


class SpicyBigIntegerField(SpicyInteger[Taken, Given], models.BigIntegerField):  # type: ignore[type-arg, misc]
    """A column that holds the key of a row elsewhere, without a reference to it: 64 bits."""

    BITS = 64


class SpicyIntegerField(SpicyInteger[Taken, Given], models.IntegerField):  # type: ignore[type-arg, misc]
    """The same with 32 bits."""

    BITS = 32


class SpicySmallIntegerField(SpicyInteger[Taken, Given], models.SmallIntegerField):  # type: ignore[type-arg, misc]
    """The same with 16 bits."""

    BITS = 16


class SpicyUUIDField(SpicyUUID[Taken, Given], models.UUIDField):  # type: ignore[type-arg, misc]
    """An id over a `UUIDField`: 128 bits."""


SPICY_FIELDS: Final = (
    SpicyAutoField,
    SpicyBigAutoField,
    SpicyBigIntegerField,
    SpicyIntegerField,
    SpicySmallAutoField,
    SpicySmallIntegerField,
    SpicyUUIDField,
)

lookups.register(SpicyField)
references.connect(SpicyField)
rows.connect(SpicyField)
neighbours.watch()
