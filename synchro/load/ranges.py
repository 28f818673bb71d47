"""Which ranges of keys are worth a look, by what the servers say of them."""

from __future__ import annotations

from django.db.models import Model

from synchro.replay.log.loads import Place
from synchro.replay.session import Session
from synchro.verify.checksums import different_ranges


class Ranges:
    """The ranges of keys of one model that the servers do not take for equal; all, where they cannot tell."""

    def __init__(self, session: Session, model: type[Model]) -> None:
        found = different_ranges(session, model)
        #: How many rows are in ranges that are equal.
        self.equal = 0 if found is None else found[0]
        self._ranges = None if found is None else sorted(found[1])

    def start(self, after: Place | None) -> Place | None:
        """Return the place after which the next row to look at may come, where all up to `after` is done."""
        for first, last in self._ranges or ():
            if after is None or last > after[0]:
                return after if after is not None and first <= after[0] else (first - 1,)
        return after

    def end(self, after: Place | None, upto: Place) -> Place:
        """Return the last place to look at, of those up to `upto`, before rows that are equal come."""
        for _first, last in self._ranges or ():
            if after is None or last > after[0]:
                return min(upto, (last,))
        return upto

    def is_done(self, end: Place, after: Place | None) -> bool:
        """Return whether there is nothing to look at beyond `after`."""
        return self._ranges is not None and not any(
            after is None or last > after[0] for _first, last in self._ranges
        )
