"""Touched rows: watched rows of REMOTE as they were before code of others wrote them, as many as fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from synchro.keys import Key
from synchro.replay.guests.guard import Guest

#: How many rows are kept as they were until a batch is written, and with how many letters. What one statement would
#: add beyond that is told by a warning instead.
MOST_ROWS, MOST_LETTERS = 100_000, 2**26
#: How many rows are read at a time.
PART = 1000


@dataclass
class Touched:
    """A row that code of others changed or deleted."""

    guest: Guest
    #: As it was, in the order of the recorder's `columns`.
    before: list[Any]
    #: Whether it was only written while objects of its own model were worked on, as in a tree.
    is_akin: bool


@dataclass
class Memory:
    """What is kept so far."""

    rows: int = 0
    letters: int = 0

    def read(
        self, read: Callable[[Sequence[Key]], dict[Key, list[Any]]], keys: Sequence[Key]
    ) -> dict[Key, list[Any]] | None:
        """Return the rows with these keys, by `read`; None where these would be more than can be kept."""
        if self.rows + len(keys) > MOST_ROWS:
            return None
        found: dict[Key, list[Any]] = {}
        letters = self.letters
        for start in range(0, len(keys), PART):
            part = read(keys[start : start + PART])
            letters += sum(
                len(value) for row in part.values() for value in row if isinstance(value, str | bytes)
            )
            if letters > MOST_LETTERS:
                return None
            found |= part
        self.rows, self.letters = self.rows + len(found), letters
        return found
