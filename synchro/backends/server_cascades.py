"""Foreign keys by which a server itself deletes, or empties, rows that point at one which goes or gets another key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

#: What a server calls the ways in which it leaves other rows alone.
LEAVES_ALONE = frozenset({"NO ACTION", "RESTRICT", "NONE"})


@dataclass(frozen=True)
class ServerCascade:
    """One such foreign key, as a database has it."""

    child: str
    columns: tuple[str, ...]
    parent: str
    #: Empty where it points at the primary key without saying so.
    targets: tuple[str, ...]
    on_delete: str
    on_update: str

    @property
    def acts_on_deletion(self) -> bool:
        return self.on_delete not in LEAVES_ALONE


def server_cascades_of(rows: Iterable[tuple[Any, ...]]) -> list[ServerCascade]:
    """
    From rows with child, a name of the foreign key, column, parent, target, and what is done on deletions and updates;
    those of one foreign key come together.
    """
    found = []
    for (child, _name), several in groupby(rows, key=lambda row: (row[0], row[1])):
        parts = list(several)
        _child, _name, _column, parent, target, on_delete, on_update = parts[0]
        targets = () if target is None else tuple(part[4] for part in parts)
        columns = tuple(part[2] for part in parts)
        found.append(ServerCascade(child, columns, parent, targets, on_delete, on_update))
    return found
