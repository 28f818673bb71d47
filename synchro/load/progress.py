"""What a load has done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from django.db.models import Model


@dataclass
class Loaded:
    """What was done of one model."""

    model: type[Model]
    #: How many rows LOCAL had when the load began, and how many of them have been looked at.
    total: int = 0
    rows: int = 0
    #: How many REMOTE had alike, and how many were sent, or would be.
    equal: int = 0
    sent: int = 0
    #: How many conflicts were decided for REMOTE, which had changed something itself.
    kept: int = 0
    #: How many REMOTE refuses, so that they are in quarantine.
    left: int = 0
    #: How long it took, and how many rows were looked at in that time: fewer than `rows` where a load was interrupted.
    seconds: float = 0.0
    rows_in_time: int = 0

    @property
    def rate(self) -> float:
        """Return how many rows were looked at in a second."""
        return self.rows_in_time / self.seconds if self.seconds else 0.0

    @property
    def time_left(self) -> float | None:
        """Return how many seconds the other rows will take; None where that is not known."""
        return max(0, self.total - self.rows) / self.rate if self.rate else None


Progress: TypeAlias = Callable[[Loaded], None]
