"""The errors of this package: one class an error, and what it means is its docstring."""

from __future__ import annotations

import reprlib

from django.core.exceptions import BadRequest
from django.db.utils import ProgrammingError

#: How much of a refused value an error message shows: it can come from outside and be of any length.
SHOWN_LENGTH = 60


class _Outline(reprlib.Repr):
    """What a value looks like, however deep, however large, and whatever its own `repr` does."""

    def repr_int(self, value: int, level: int) -> str:
        if value.bit_length() > SHOWN_LENGTH * 3:
            return f"an integer of {value.bit_length()} bits"  # Python refuses to print very large ones
        return repr(value)


def shown(value: object) -> str:
    """Return `value` as it stands in error messages."""
    if isinstance(value, str | bytes):
        text = repr(value[: SHOWN_LENGTH + 1])
    else:
        outline = _Outline()
        outline.maxother = SHOWN_LENGTH * 2  # more than is shown, so that the rest is cut off as with strings
        text = outline.repr(value)
    return text if len(text) <= SHOWN_LENGTH else f"{text[:SHOWN_LENGTH]}…"


class SpicyIdError(ValueError):
    """Whatever this package finds wrong with an id."""


class MalformedSpicyIdError(SpicyIdError):
    """The value is not the one spelling of any integer that the field can hold."""


class UnknownSpicyIdError(SpicyIdError):
    """No model of the project has ids that begin like this one."""


class AmbiguousSpicyIdError(SpicyIdError):
    """Several models of the project have this id, so it does not tell which row is meant."""


class SpicyIdQueryError(ProgrammingError, MalformedSpicyIdError, BadRequest):
    """
    A malformed id was about to reach the database, in a query or in a row to be saved.

    Three kinds of callers meet it, and each knows one of its bases: code that talks to the database catches
    `ProgrammingError`; forms, the admin and REST framework catch `ValueError` and answer that there is no
    such row; and where nobody catches it, a request that carried a malformed id is answered 400 and not 500.
    """
