"""
What kind of values a column holds, as far as their one text form is concerned (`synchro.keys.value_to_text`).
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field

from synchro.keys import column_field, is_integer
from synchro.triggers.base import Uncapturable


class Kind(Enum):
    INTEGER = auto()
    BOOLEAN = auto()
    UUID = auto()
    #: 32 hexadecimal digits in a column of text.
    UUID_TEXT = auto()
    DECIMAL = auto()
    DATE = auto()
    TIME = auto()
    DATETIME = auto()
    DURATION = auto()
    BINARY = auto()
    ADDRESS = auto()
    TEXT = auto()


KINDS = {
    "BooleanField": Kind.BOOLEAN,
    "DecimalField": Kind.DECIMAL,
    "DateField": Kind.DATE,
    "TimeField": Kind.TIME,
    "DateTimeField": Kind.DATETIME,
    "DurationField": Kind.DURATION,
    "BinaryField": Kind.BINARY,
    "GenericIPAddressField": Kind.ADDRESS,
    "CharField": Kind.TEXT,
    "TextField": Kind.TEXT,
    "SlugField": Kind.TEXT,
    "FileField": Kind.TEXT,
    "FilePathField": Kind.TEXT,
}
#: Kinds whose text `Field.to_python` reads back, so that they can stand in a natural key.
READABLE = frozenset(Kind) - {Kind.BINARY, Kind.DURATION}


def kind_of(field: Field[Any, Any], connection: BaseDatabaseWrapper) -> Kind:
    """
    The kind of the values in the column of `field`, a foreign key's being that of its target.

    Raises `Uncapturable` where there is no text for them that every engine can make.
    """
    target = column_field(field)
    internal = target.get_internal_type()
    if is_integer(field):
        return Kind.INTEGER
    if internal == "UUIDField":
        return Kind.UUID if target.db_type(connection) == "uuid" else Kind.UUID_TEXT
    kind = KINDS.get(internal)
    if kind is None:
        kind = (
            Kind.TEXT if (target.db_type(connection) or "").startswith(("varchar", "char", "text")) else None
        )
    if kind is None:
        raise Uncapturable(
            f"{field.model._meta.label}.{field.name} is a {internal}, whose values have no spelling that is "
            "the same "
            "on every engine; it cannot be part of a key. Use SYNCHRO_CAPTURE = 'signals', or another key."
        )
    if kind is Kind.DATETIME and not _known_zone(connection):
        raise Uncapturable(
            f"{field.model._meta.label}.{field.name} is a moment in a key, and the database "
            f"{connection.alias!r} "
            f"stores moments in the time zone {connection.timezone_name}. Triggers need UTC: "
            "remove TIME_ZONE from its settings."
        )
    return kind


def _known_zone(connection: BaseDatabaseWrapper) -> bool:
    return connection.features.supports_timezones or not settings.USE_TZ or connection.timezone_name == "UTC"


def needs_zone(field: Field[Any, Any], connection: BaseDatabaseWrapper) -> bool:
    """Whether its values, read back by `to_python`, have to be aware."""
    return settings.USE_TZ and kind_of(field, connection) is Kind.DATETIME


def session_zone(connection: BaseDatabaseWrapper) -> str:
    """The time zone in which a moment of this project is spelled in a key."""
    return "UTC" if settings.USE_TZ else connection.timezone_name


def scale(field: Field[Any, Any]) -> int:
    return getattr(column_field(field), "decimal_places", None) or 0
