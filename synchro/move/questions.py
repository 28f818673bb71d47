"""Which values of a LOCAL column REMOTE's column does not hold, as conditions that LOCAL's server counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from synchro.backends.inspection import Column, Inspection
from synchro.keys import TEXTS, AnyField, column_field

NUMBERS = frozenset((
    "AutoField", "BigAutoField", "SmallAutoField", "IntegerField", "BigIntegerField", "SmallIntegerField",
    "PositiveIntegerField", "PositiveBigIntegerField", "PositiveSmallIntegerField", "DurationField",
))  # fmt: skip
MOMENTS = frozenset(("DateField", "DateTimeField", "TimeField"))


@dataclass(frozen=True)
class Question:
    """A condition in LOCAL's SQL, and what is wrong with the rows that fulfil it."""

    condition: str
    what: str


def questions_about(
    field: AnyField, column: str, local: Column | None, remote: Column, asks: Inspection
) -> Iterator[Question]:
    """
    Yield what to ask of the values of `field`, whose `column`, as SQL, is `local` and becomes `remote`.

    `local` is None where the two are of different engines; otherwise what it cannot hold either is not asked for.
    """
    kind = column_field(field).get_internal_type()
    if not remote.is_nullable and not remote.is_filled:
        yield Question(f"{column} IS NULL", "REMOTE's column must not be NULL")
    for condition, what in (
        (asks.is_no_moment(column, kind), "no date or time that Python has"),
        (asks.is_no(column, kind), "a value of another type than the field's"),
    ):
        if condition is not None:
            # Of NULL, some functions say the same as of what they do not understand.
            yield Question(f"{column} IS NOT NULL AND ({condition})", what)
    if remote == local:
        return
    if kind in NUMBERS:
        yield from _of_integer(column, remote, asks)
    elif kind in ("DecimalField", "FloatField"):
        yield from _of_number(column, remote, asks)
    elif kind in MOMENTS:
        yield from _of_moment(column, kind, remote, asks)
    elif kind in TEXTS or kind == "JSONField":
        yield from _of_text(column, kind, remote, asks)


def _of_integer(column: str, remote: Column, asks: Inspection) -> Iterator[Question]:
    if remote.lowest is not None and remote.highest is not None:
        yield Question(
            asks.outside(column, remote.lowest, remote.highest),
            f"outside of {remote.kind}, which ends at {remote.lowest} and {remote.highest}",
        )


def _of_number(column: str, remote: Column, asks: Inspection) -> Iterator[Question]:
    if remote.whole is not None:
        yield Question(asks.too_many_digits(column, remote.whole), f"more than {remote.whole} digits")
    if remote.places is not None:
        yield Question(
            asks.too_many_places(column, remote.places), f"more than {remote.places} decimal places"
        )
    if remote.is_finite and (condition := asks.is_infinite(column)) is not None:
        yield Question(condition, "infinite, or not a number")
    if remote.is_single and (condition := asks.is_double(column)) is not None:
        yield Question(condition, f"more digits than {remote.kind} has")


def _of_moment(column: str, kind: str, remote: Column, asks: Inspection) -> Iterator[Question]:
    if remote.fraction is not None and remote.fraction < 6 and kind != "DateField":
        yield Question(asks.finer(column, remote.fraction), f"more than {remote.fraction} digits of a second")
    if remote.since is not None and remote.until is not None:
        yield Question(
            asks.before_or_after(column, remote.since, remote.until),
            f"not between {remote.since} and {remote.until}, where {remote.kind} ends",
        )


def _of_text(column: str, kind: str, remote: Column, asks: Inspection) -> Iterator[Question]:
    if remote.length is not None:
        yield Question(asks.longer(column, remote.length), f"longer than {remote.length} characters")
    if remote.octets is not None:
        yield Question(asks.larger(column, remote.octets), f"larger than {remote.octets} bytes")
    if remote.last_character is not None:
        yield Question(
            asks.beyond(column, remote.last_character),
            "a character that REMOTE's column, by its character set, does not have",
        )
    if remote.refuses_nul:
        condition = asks.json_has_nul(column) if kind == "JSONField" else asks.has_nul(column)
        if condition is not None:
            yield Question(condition, "the character NUL, which REMOTE refuses")
