"""What LOCAL has not brought to a REMOTE yet, counted exactly: to be said before it is forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, Sum

from synchro.conf import LOCAL, conf
from synchro.models import Batch, ChangeLog, Checkpoint, Node, SetAside
from synchro.replay.log.batches import gaps_of, own_node
from synchro.replay.log.gaps import IdSet
from synchro.replay.log.ranges import Range, from_text
from synchro.replay.log.unread import Unread

#: How many ranges of ids one statement names.
AT_ONCE = 200


@dataclass(frozen=True)
class Pending:
    """What one REMOTE does not have."""

    alias: str
    #: Entries that have not arrived there.
    entries: int
    #: Changes that it refused, which wait in quarantine.
    quarantined: int

    def __bool__(self) -> bool:
        return bool(self.entries or self.quarantined)

    def __str__(self) -> str:
        return f"{self.alias}: {self.entries} entries pending, {self.quarantined} changes in quarantine"


def all_pending(until: datetime | None = None) -> list[Pending]:
    """
    Return what each REMOTE of the settings does not have; no REMOTE is asked.

    With `until` (aware), only what was logged and set in quarantine up to that moment.
    """
    node = own_node(LOCAL)
    checkpoints = {
        checkpoint.peer.alias: checkpoint
        for checkpoint in Checkpoint.objects.using(LOCAL).select_related("peer").order_by("date")
    }
    return [_pending(alias, node, checkpoints.get(alias), until) for alias in conf.remotes]


def _pending(alias: str, node: Node, checkpoint: Checkpoint | None, until: datetime | None) -> Pending:
    arrived = max(node.forgotten, checkpoint.batch if checkpoint else 0)
    entries = _in_batches(arrived, until) + _in_none(node, until) + _unread(node, arrived, until)
    if checkpoint is None:
        return Pending(alias, entries, 0)
    kept = SetAside.objects.using(LOCAL).filter(
        peer_id=checkpoint.peer_id, batch__lte=checkpoint.batch, is_over=False
    )
    if until is not None:
        kept = kept.filter(changed__lte=until)
    return Pending(alias, entries, kept.count())


def _in_batches(arrived: int, until: datetime | None) -> int:
    batches = Batch.objects.using(LOCAL).filter(number__gt=arrived)
    if until is None:
        return batches.aggregate(size=Sum("size"))["size"] or 0
    ranges = (ids for text in batches.values_list("ranges", flat=True).iterator() for ids in from_text(text))
    return _count(ranges, until)


def _in_none(node: Node, until: datetime | None) -> int:
    """Count the entries that are in no batch."""
    log = ChangeLog.objects.using(LOCAL).filter(id__gt=node.highest)
    if until is not None:
        log = log.filter(date__lte=until)
    return log.count() + _count(gaps_of(node), until)


def _unread(node: Node, arrived: int, until: datetime | None) -> int:
    """Count the entries in batches that have arrived, and that wait for a process which can read them."""
    log = ChangeLog.objects.using(LOCAL).filter(Unread.from_text(node.unread).condition())
    log = log if until is None else log.filter(date__lte=until)
    others = IdSet.lacking(LOCAL, arrived)  # which are counted among those
    return sum(number not in others for number in log.values_list("id", flat=True).iterator())


def _count(ranges: Iterable[Range], until: datetime | None) -> int:
    found = 0
    for part in _parts(ranges):
        condition = Q()
        for ids in part:
            condition |= Q(id__range=ids)
        log = ChangeLog.objects.using(LOCAL).filter(condition)
        found += (log if until is None else log.filter(date__lte=until)).count()
    return found


def _parts(ranges: Iterable[Range]) -> Iterator[list[Range]]:
    part: list[Range] = []
    for ids in ranges:
        part.append(ids)
        if len(part) == AT_ONCE:
            yield part
            part = []
    if part:
        yield part
