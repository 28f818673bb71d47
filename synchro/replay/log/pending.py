"""
Find the ids of entries that the other node does not have.

They are those of batches that have not arrived, those that are in no batch yet, and those that may still appear below
them. Ids between the first and the last of these may have arrived long ago: an entry that committed late has a low id.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from django.db.models import QuerySet, Sum

from synchro.conf import LOCAL
from synchro.keys import to_text
from synchro.models import M2M_CHANGE, Batch, ChangeLog, Node
from synchro.registry import same_key_children
from synchro.replay.log.changes import Entry, RowId, by_model
from synchro.replay.log.entries import read_entries
from synchro.replay.log.gaps import gaps_of, visible_ids
from synchro.replay.log.ranges import IdSet, Range, from_text, ranges_of, united
from synchro.replay.session import Session

#: The highest id that there can be.
HIGHEST: Final = 2**63 - 1
#: How many objects one statement asks about.
PART: Final = 10_000


@dataclass(frozen=True)
class PendingIds:
    """Ids of a database's log that are in no batch up to one that has arrived."""

    #: In later batches.
    formed: list[Range]
    #: Beyond all batches.
    unformed: Range
    #: Perhaps in the log only later.
    gaps: list[Range]

    @property
    def logged(self) -> list[Range]:
        """The ids but for those in gaps."""
        return [self.unformed, *self.formed]

    def as_set(self) -> IdSet:
        return IdSet([*self.logged, *self.gaps])


def pending_ids(alias: str, arrived: int) -> PendingIds:
    """Return the ids of the log of the database `alias` that a node lacks which has the batches up to `arrived`."""
    # In this order: what is cut into a batch between the two questions is in both answers, not in none.
    node = Node.objects.using(alias).filter(pk=1).first() or Node()
    batches = pending_batches(alias, node, arrived).values_list("ranges", flat=True)
    formed = [ids for text in batches.iterator() for ids in from_text(text)]
    return PendingIds(formed, Range(node.highest + 1, HIGHEST), gaps_of(node))


def pending_batches(alias: str, node: Node, arrived: int) -> QuerySet[Batch]:
    """Return the batches of the database `alias` that follow number `arrived`, without those that were forgotten."""
    return Batch.objects.using(alias).filter(number__gt=max(arrived, node.forgotten))


def count_in_batches(node: Node, arrived: int) -> int:
    """Return how many entries LOCAL's batches have that follow number `arrived`, without reading the log."""
    return int(pending_batches(LOCAL, node, arrived).aggregate(size=Sum("size"))["size"] or 0)


def visible_after(batch: Batch) -> list[Range]:
    """Return the ids of LOCAL's log that are visible at this moment and are in no batch up to this one."""
    ids = pending_ids(LOCAL, batch.number)
    return united([*ids.formed, *ranges_of(visible_ids([*ids.gaps, ids.unformed]))])


def ids_pending_for(session: Session) -> IdSet:
    """Return the ids of LOCAL's log that REMOTE lacks."""
    return pending_ids(session.local.alias, session.state.arrived).as_set()


def pending_entries(session: Session, row_ids: Collection[RowId]) -> Iterator[Entry]:
    """Yield the entries of these rows of LOCAL that REMOTE lacks."""
    local, pending = session.local, ids_pending_for(session)
    for model, keys in by_model(row_ids).items():
        types = [local.content_type_id(each) for each in (model, *same_key_children(model))]
        texts = [to_text(model, key) for key in keys]
        for start in range(0, len(texts), PART):
            entries = ChangeLog.objects.using(local.alias).filter(
                id__gte=pending.first, content_type_id__in=types, object_id__in=texts[start : start + PART]
            )
            several = read_entries(local, entries.exclude(action=M2M_CHANGE).order_by("id"))
            yield from (entry for entry in several if entry.id in pending)
