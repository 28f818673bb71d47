"""Group: the rows of one model that are written together."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Model

from synchro.keys import AnyField, Key


@dataclass
class Group:
    """The rows of one model that are written together, as REMOTE will have them, in the order of `fields`."""

    model: type[Model]
    fields: tuple[AnyField, ...]
    #: By LOCAL's key.
    rows: dict[Key, list[Any]]
    #: Keys of the rows that REMOTE lacks, and for the others the names of the fields to write; None for all.
    new: list[Key]
    old: dict[Key, frozenset[str] | None]
    #: Rows in which a foreign key waits for a row that REMOTE has not got yet, or not got a key for.
    unsettled: set[Key]
    #: Those of them in which it cannot be empty meanwhile, so that it points at nothing.
    dangling: set[Key] = field(default_factory=set)

    def only(self, keys: Collection[Key]) -> Group:
        """The part of the group with these keys; rows are shared."""
        return Group(
            self.model,
            self.fields,
            {key: row for key, row in self.rows.items() if key in keys},
            [key for key in self.new if key in keys],
            {key: names for key, names in self.old.items() if key in keys},
            {key for key in self.unsettled if key in keys},
            {key for key in self.dangling if key in keys},
        )

    def part(self, keys: Iterable[Key]) -> Group:
        """`only` for a few keys that are known to be in the group, in this order."""
        rows = {key: self.rows[key] for key in keys}
        return Group(
            self.model,
            self.fields,
            rows,
            [key for key in rows if key not in self.old],
            {key: self.old[key] for key in rows if key in self.old},
            self.unsettled & rows.keys(),
            self.dangling & rows.keys(),
        )

    def joined(self, other: Group) -> Group:
        """This group and another part of the same model's rows."""
        return Group(
            self.model,
            self.fields,
            self.rows | other.rows,
            [*self.new, *other.new],
            self.old | other.old,
            self.unsettled | other.unsettled,
            self.dangling | other.dangling,
        )

    def is_written(self, key: Key, field: AnyField) -> bool:
        """Whether the column is to be written in this row, which REMOTE has."""
        names = self.old[key]
        return names is None or field.name in names
