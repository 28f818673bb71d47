"""Unnamed: objects that LOCAL has deleted, and of which nobody knows any more what they were known by."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from synchro.replay.log.changes import RowId


@dataclass(frozen=True)
class Unnamed:
    """Why the natural key of such an object is not known."""

    #: Empty where its entry holds none, or one that the model of today does not have.
    cause: str = ""
    #: Objects that are gone too, and of which no entry of the batch says what they were.
    wanting: frozenset[RowId] = frozenset()


class UnnamedRows(dict[RowId, Unnamed]):
    """Those that were met while identities were looked for."""

    def note(self, row: RowId, cause: str = "", wanting: Collection[RowId] = ()) -> None:
        self[row] = Unnamed(cause, frozenset(wanting))

    def note_by(self, row: RowId, parts: Collection[RowId]) -> None:
        """Note one whose natural key names these rows, if one of them is why it cannot be looked for."""
        wanting = parts & self.keys()
        if wanting:
            self.note(row, wanting=wanting)
