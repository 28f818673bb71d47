"""Values as they are stored: what a driver would change, or take for NULL, raises `Unfit`. No text names a value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Context, Decimal
from typing import Any

from django.db.backends.utils import format_number
from django.utils.translation import gettext as _

from synchro.backends.rows import Convert, Unfit

#: More than six digits of a second, which Python does not have.
FINER = re.compile(r"\.\d{6}\d*[1-9]")

FIFTEEN_DIGITS = Context(prec=15)
#: Wide enough for any number of places.
WIDE = Context(prec=400)


@dataclass(frozen=True)
class Reading:
    """How a column is read where the driver, left alone, would not give what is stored."""

    #: SQL in which the column stands for {}.
    sql: str = "{}"
    #: What makes the value of what is read, before Django's own converters.
    convert: Convert | None = None
    #: The types that the value may have as the driver gives it; None for any.
    types: frozenset[type] | None = None


def exact_date(value: Any) -> date:
    try:
        if len(value) == 10:
            return date.fromisoformat(value)
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise Unfit(_("it is no date that exists")) from None
    if moment.time() != time(0) or moment.tzinfo is not None:
        raise Unfit(_("it is no date that exists"))
    return moment.date()


def exact_moment(value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise Unfit(_("it is no date and time that exist")) from None
    if len(value) > len("2020-01-01 10:00:00.000000"):
        _refuse_finer(value)
    return moment


def exact_time(value: Any) -> time:
    try:
        found = time.fromisoformat(value)
    except (TypeError, ValueError):
        raise Unfit(_("it is no time of a day")) from None
    if len(value) > len("10:00:00.000000"):
        _refuse_finer(value)
    return found


def exact_duration(value: str) -> timedelta:
    """Of a text of microseconds."""
    try:
        return timedelta(microseconds=int(value))
    except (ValueError, OverflowError):
        raise Unfit(_("it is no number of days and seconds")) from None


def _refuse_finer(value: str) -> None:
    if FINER.search(value):
        raise Unfit(_("it has more than six digits of a second"))


def exact_truth(value: Any) -> bool:
    if type(value) is not int or value not in (0, 1):
        raise Unfit(_("it is neither true nor false"))
    return value == 1


def exact_decimal(value: Any, places: int | None) -> Any:
    """
    A float that stands for a decimal, as SQLite keeps them; it is given back, with as many places as the field has.

    Django writes into SQLite what it is given, and reads it with the places of the field: nobody sees the others.
    """
    if type(value) is int:
        return value
    if type(value) is not float:
        raise Unfit(_("it is no number"))
    found = FIFTEEN_DIGITS.create_decimal_from_float(value)
    if not found.is_finite():
        raise Unfit(_("it is no number"))
    if places is None:
        return value
    rounded = found.quantize(Decimal(1).scaleb(-places), context=WIDE)
    return value if rounded == found else float(rounded)


def finite_decimal(value: Decimal, digits: int | None, places: int | None) -> Any:
    """What the driver takes for a decimal, where the engine has only numbers."""
    if not value.is_finite():
        raise Unfit(_("it is no number"))
    refuse_more_places(value, places)
    return format_number(value, digits, places)


def refuse_more_places(value: Decimal, places: int | None) -> None:
    """Raise `Unfit` for a decimal that would be rounded to so many places."""
    exponent = value.as_tuple().exponent
    if places is None or not isinstance(exponent, int) or exponent >= -places:
        return
    if value.normalize().as_tuple().exponent < -places:  # type: ignore[operator]
        raise Unfit(_("it has more decimal places than the field"))


__all__ = [
    "Reading",
    "exact_date",
    "exact_decimal",
    "exact_duration",
    "exact_moment",
    "exact_time",
    "exact_truth",
    "finite_decimal",
    "refuse_more_places",
]
