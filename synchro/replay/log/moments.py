"""
Moments: when something was changed, and on which node.

Where more than two nodes exchange changes, all of them have to put the same changes in the same order. So of two that
were made at the same time, the name of the node decides, wherever they are compared.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

#: The shortest time that databases can tell.
TICK = timedelta(microseconds=1)


class Moment(datetime):
    """A time on the clock of the node where a change was made. A plain datetime is only compared by its time."""

    origin: UUID = UUID(int=0)

    @classmethod
    def at(cls, time: datetime, origin: UUID) -> Moment:
        found = cls(
            time.year, time.month, time.day, time.hour, time.minute, time.second, time.microsecond,
            time.tzinfo, fold=time.fold,
        )  # fmt: skip
        found.origin = origin
        return found

    def after(self, other: datetime) -> Moment:
        """Return this moment, or where it is no later than `other`, the first one after that."""
        return self if other < self else Moment.at(other + TICK, self.origin)

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) and (not isinstance(other, Moment) or self.origin == other.origin)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: Any) -> bool:
        return super().__lt__(other) or (
            isinstance(other, Moment) and super().__eq__(other) and self.origin.int < other.origin.int
        )

    def __gt__(self, other: Any) -> bool:
        return super().__gt__(other) or (
            isinstance(other, Moment) and super().__eq__(other) and self.origin.int > other.origin.int
        )

    def __le__(self, other: Any) -> bool:
        return not self > other

    def __ge__(self, other: Any) -> bool:
        return not self < other

    __hash__ = datetime.__hash__


def origin_of(moment: datetime, default: UUID) -> UUID:
    """Return the node where a change of this moment was made; the `default` one if the moment does not say."""
    return moment.origin if isinstance(moment, Moment) else default
