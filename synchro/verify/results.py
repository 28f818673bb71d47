"""What a comparison finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Model

from synchro.keys import Key

#: The kinds of differences.
MISSING, EXTRA, DIFFERENT = "missing on REMOTE", "only on REMOTE", "different"


@dataclass(frozen=True)
class Difference:
    """One row that is not the same in both databases."""

    kind: str
    #: LOCAL's key; None for a row that LOCAL has no key for.
    key: Key | None
    #: REMOTE's key; None for a row that REMOTE lacks.
    remote_key: Key | None
    #: The names of the fields that differ.
    fields: tuple[str, ...] = ()
    #: The values of these fields, LOCAL's (as REMOTE should have them) and REMOTE's.
    values: tuple[tuple[Any, Any], ...] = ()
    #: The key by which REMOTE's log may name the row, though REMOTE lacks it.
    logged_key: Key | None = None
    #: Whether REMOTE spells the key itself in another way, which it takes for equal.
    is_respelled: bool = False


@dataclass
class ModelResult:
    """What was found of one model."""

    model: type[Model]
    #: How many rows LOCAL has, and how many of them REMOTE has alike.
    rows: int = 0
    equal: int = 0
    #: How many rows differ for a change that is on its way, and how many for one in quarantine.
    on_the_way: int = 0
    quarantined: int = 0
    #: How many rows differ, by kind.
    counts: Counter[str] = field(default_factory=Counter)
    #: The first of them: as many as were asked for.
    differences: list[Difference] = field(default_factory=list)
    #: Whether only some of the rows were compared.
    is_sample: bool = False

    @property
    def unequal(self) -> int:
        """Return how many rows differ, that nothing on its way explains."""
        return self.counts.total()

    def add(self, differences: Sequence[Difference], kept: int | None) -> None:
        """Count the differences, and keep them as long as there are no more than `kept`."""
        self.counts.update(difference.kind for difference in differences)
        room = len(differences) if kept is None else max(0, kept - len(self.differences))
        self.differences += differences[:room]
