"""
Lacking: the ids of entries that the other side does not have.

They are those of batches that have not arrived, those that are in no batch yet, and those that may still appear below
them. Ids between the first and the last of these may have arrived long ago: an entry that committed late has a low id.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from typing import Final

from synchro.models import Batch, Node
from synchro.replay.log.batches import gaps_of
from synchro.replay.log.ranges import Range, from_text
from synchro.replay.session import Session

#: The highest id that there can be.
BEYOND: Final = 2**63 - 1


def lacking_ids(alias: str, arrived: int) -> tuple[list[Range], list[Range]]:
    """
    The ids of this database's log that are in a batch after `arrived`, or beyond all batches; and those that may
    appear in the log only later.
    """
    # In this order: what is cut into a batch between the two questions is in both answers, not in none.
    node = Node.objects.using(alias).get(pk=1)
    batches = Batch.objects.using(alias).filter(number__gt=max(arrived, node.forgotten))
    formed = [ids for text in batches.values_list("ranges", flat=True).iterator() for ids in from_text(text)]
    return [Range(node.highest + 1, BEYOND), *formed], gaps_of(node)


class IdSet:
    """Ids that are looked for one by one among many ranges, which may overlap."""

    def __init__(self, ranges: Iterable[Range]) -> None:
        ordered = sorted(ranges)
        self._firsts = [ids.first for ids in ordered]
        self._lasts = list(accumulate((ids.last for ids in ordered), max))

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self._firsts, number)
        return place > 0 and number <= self._lasts[place - 1]

    @property
    def first(self) -> int:
        """The lowest of the ids; 0 where there are none."""
        return self._firsts[0] if self._firsts else 0

    @classmethod
    def lacking(cls, alias: str, arrived: int) -> IdSet:
        """All that `lacking_ids` finds."""
        waiting, holes = lacking_ids(alias, arrived)
        return cls([*waiting, *holes])


def lacking_on_remote(session: Session) -> IdSet:
    """Return the ids of LOCAL's log whose entries REMOTE does not have."""
    return IdSet.lacking(session.local.alias, session.state.arrived)
