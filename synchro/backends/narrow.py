"""Columns that hold less than their field's values: what a server would round, cut or pad there raises `Unfit`."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.translation import gettext as _

from synchro.backends.exact import refuse_more_places
from synchro.backends.rows import Convert, Unfit
from synchro.keys import TEXTS, AnyField

SINGLE, DAYS = {"float", "real"}, {"date"}
#: MySQL takes the blanks off the end of what is in such a column, PostgreSQL puts some there.
STRIPPED, PADDED = {"char"}, {"character"}


@dataclass(frozen=True)
class Described:
    """A column as the server describes it."""

    kind: str
    #: How many decimal places a number has, or a second.
    scale: int | None
    precision: int | None
    length: int | None


def described(
    connection: BaseDatabaseWrapper, schema: str, tables: Sequence[str]
) -> dict[str, dict[str, Described]]:
    """What `information_schema` says of the columns of these tables in the schema that this SQL names."""
    found: dict[str, dict[str, Described]] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name, LOWER(data_type), numeric_scale, datetime_precision, "
            f"character_maximum_length FROM information_schema.columns WHERE table_schema = {schema} "
            f"AND table_name IN ({', '.join(['%s'] * len(tables))})",
            [*tables],
        )
        for table, column, *more in cursor.fetchall():
            found.setdefault(table, {})[column] = Described(*more)
    return found


def check_of(field: AnyField, column: Described) -> Convert | None:
    """What raises `Unfit` for a value of `field` that this column would change; None where it changes none."""
    match field.get_internal_type():
        case "FloatField" if column.kind in SINGLE:
            return _single
        case "DecimalField" if column.scale is not None and column.scale < (field.decimal_places or 0):
            return partial(_places, column.scale)
        case "DateTimeField" if column.kind in DAYS:
            return partial(_fraction, None)
        case "DateTimeField" | "TimeField" if column.precision is not None and column.precision < 6:
            return partial(_fraction, column.precision)
        case kind if kind in TEXTS and column.length is not None:
            if column.kind in PADDED:
                return partial(_padded, column.length)
            if column.kind in STRIPPED:
                return partial(_stripped, column.length)
            if field.max_length is None or field.max_length > column.length:
                return partial(_length, column.length)
    return None


def _single(value: float) -> float:
    try:
        (there,) = struct.unpack("f", struct.pack("f", value))
    except OverflowError:
        there = None
    if there != value and value == value:
        raise Unfit(_("REMOTE holds fewer digits of it"))
    return value


def _places(places: int, value: Any) -> Any:
    refuse_more_places(value, places)
    return value


def _fraction(digits: int | None, value: Any) -> Any:
    """Refuse a moment with more digits of a second than there are; with None, one that is no whole day."""
    is_finer = value.microsecond % 10 ** (6 - (digits or 0))
    if is_finer or (digits is None and (value.hour or value.minute or value.second)):
        raise Unfit(_("REMOTE holds fewer digits of it"))
    return value


def _stripped(length: int, value: str) -> str:
    if value.endswith(" "):
        raise Unfit(_("REMOTE's column holds no blank at the end"))
    return _length(length, value)


def _padded(length: int, value: str) -> str:
    if len(value) != length:
        raise Unfit(_("REMOTE's column is of a fixed length, which the value has not"))
    return value


def _length(length: int, value: str) -> str:
    if len(value) > length:
        raise Unfit(_("the value is too long"))
    return value


__all__ = ["Described", "check_of", "described"]
