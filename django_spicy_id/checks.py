"""System checks: no two fields of a project may have ids that could be taken for one another's."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.apps.registry import Apps
from django.core.checks import CheckMessage, Error, Warning

from django_spicy_id.encoding import Codec
from django_spicy_id.errors import MalformedSpicyIdError

if TYPE_CHECKING:
    from django_spicy_id.base import SpicyField


def spicy_fields(registry: Apps) -> Iterator[SpicyField[Any, Any]]:
    """
    Yield each spicy field that leads to a row once, from the model that has its column.

    Proxies and children of multi-table inheritance have none of their own. Where several models share one
    table, the managed one counts.
    """
    from django_spicy_id.base import SpicyField

    seen: dict[tuple[str, str], SpicyField[Any, Any]] = {}
    for model in registry.get_models(include_auto_created=True):
        for field in model._meta.local_fields:
            if isinstance(field, SpicyField) and field.is_key:
                place = model._meta.db_table, str(field.column)
                if place not in seen or (model._meta.managed and not seen[place].model._meta.managed):
                    seen[place] = field
    yield from seen.values()


def check_preamble(field: SpicyField[Any, Any]) -> list[CheckMessage]:
    """Return what there is to say about `field` and those that come before it: each pair is named once."""
    messages: list[CheckMessage] = []
    fields = list(spicy_fields(field.model._meta.apps))
    if not any(other is field for other in fields):
        return messages  # another field stands for its column
    for other in itertools.takewhile(lambda other: other is not field, fields):
        if (other.prefix, other.sep) == (field.prefix, field.sep):
            messages.append(
                Warning(
                    f"{_label(field)} and {_label(other)} share the prefix {field.prefix!r} "
                    f"and the separator {field.sep!r}.",
                    hint="Give each field a prefix of its own: an id then tells which model it belongs to.",
                    obj=field,
                    id="spicy_id.W001",
                )
            )
        elif example := common_id(field.codec, other.codec):
            messages.append(
                Error(
                    f"An id of {_label(field)} can be mistaken for one of {_label(other)}: "
                    f"{example!r} is both.",
                    hint="Choose another prefix, or a separator that is not a digit, such as '_'.",
                    obj=field,
                    id="spicy_id.E001",
                )
            )
    return messages


def check_neighbours(**_kwargs: Any) -> list[CheckMessage]:
    """Return what could not be told to packages of others."""
    from django_spicy_id.neighbours import problems

    return [
        Warning(
            f"{name} is not as django_spicy_id knows it, so it was not told about spicy ids: "
            f"{type(error).__name__}: {error}",
            hint="Use a version of that package that the page «Spicy ids with other packages» names.",
            id="spicy_id.W002",
        )
        for name, error in problems.items()
    ]


def common_id(one: Codec, other: Codec) -> str | None:
    """
    Return an id that both codecs accept, None if there is none.

    Ids of both begin with the longer preamble, and of each length the one with the lowest digits that both
    alphabets have is also the lowest number in both: if that one is out of a range, so are the others.
    """
    shorter, longer = sorted((one, other), key=lambda codec: len(codec.preamble))
    if not longer.preamble.startswith(shorter.preamble):
        return None
    digits = sorted(set(one.alphabet) & set(other.alphabet))
    zeros = {one.alphabet[0], other.alphabet[0]}
    leading = [digit for digit in digits if digit not in zeros]
    for length in range(1, longer.width + 1):
        for first in (digits[0], leading[0]):
            candidate = longer.preamble + first + digits[0] * (length - 1)
            if _accepts(one, candidate) and _accepts(other, candidate):
                return candidate
    return None


def _accepts(codec: Codec, text: str) -> bool:
    try:
        codec.decode(text)
    except MalformedSpicyIdError:
        return False
    return True


def _label(field: SpicyField[Any, Any]) -> str:
    return f"{field.model._meta.label}.{field.name}"
