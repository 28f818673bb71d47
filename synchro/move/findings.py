"""What a preflight finds: one sentence, about one model and column, and how many rows it is about."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something that stands in the way of a move, or that a person should know before it."""

    what: str
    #: The model's label and the column; empty where it is about the whole database.
    model: str = ""
    column: str = ""
    #: How many rows it is about; None where it is about none, or they cannot be counted.
    rows: int | None = None
    #: Whether REMOTE would refuse or change something, so that no move should begin.
    is_serious: bool = True

    def __str__(self) -> str:
        place = ".".join(part for part in (self.model, self.column) if part)
        count = "" if self.rows is None else f" ({self.rows} row{'' if self.rows == 1 else 's'})"
        return f"{place}: {self.what}{count}" if place else f"{self.what}{count}"
