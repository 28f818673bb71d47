"""How texts are spelled where a column holds them: its collation may take other spellings for equal."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection
from typing import Any


def spellings(values: Collection[Any], stored: Callable[[Collection[Any]], set[str]]) -> dict[Any, str]:
    """How a column spells these texts, where it does so otherwise; `stored` asks it for those that equal some texts."""
    there = stored(values)
    missing = [value for value in values if value not in there]
    if not there or not missing:
        return {}
    strays = there.difference(values)
    folded = {fold(text) for text in there}
    found: dict[Any, str] = {}
    # Only the server knows which texts it takes for equal; first those that most collations do.
    for value in sorted(missing, key=lambda value: fold(value) not in folded):
        if fold(value) in folded or strays.difference(found.values()):
            for text in stored([value]):
                found[value] = text
    return found


def fold(text: str) -> str:
    """The text without case, accents and blanks at its end, as most collations compare it."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).rstrip()


__all__ = ["spellings"]
