"""What LOCAL has not brought to a REMOTE yet, counted exactly: to be said before it is forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from synchro.conf import LOCAL, conf
from synchro.models import ChangeLog, Checkpoint, Node
from synchro.replay.log.entries import parts_of_log
from synchro.replay.log.pending import PendingIds, count_in_batches, pending_ids
from synchro.replay.log.position import own_node
from synchro.replay.log.quarantined import quarantined_for
from synchro.replay.log.ranges import Range
from synchro.replay.log.unread import Unread
from synchro.replay.session import Database


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
    node, checkpoints = own_node(LOCAL), checkpoints_by_alias()
    return [_pending(alias, node, checkpoints.get(alias), until) for alias in conf.remotes]


def checkpoints_by_alias() -> dict[str, Checkpoint]:
    """Return LOCAL's checkpoint towards each REMOTE; of several nodes under one alias, that of the last one served."""
    found = Checkpoint.objects.using(LOCAL).select_related("peer").order_by("date")
    return {checkpoint.peer.alias: checkpoint for checkpoint in found}


def _pending(alias: str, node: Node, checkpoint: Checkpoint | None, until: datetime | None) -> Pending:
    arrived = checkpoint.batch if checkpoint else 0
    ids = pending_ids(LOCAL, arrived)
    in_batches = count_in_batches(node, arrived) if until is None else _count(ids.formed, until)
    entries = in_batches + _count([ids.unformed, *ids.gaps], until) + _unread(node, ids, until)
    return Pending(alias, entries, quarantined_for(checkpoint, until).count() if checkpoint else 0)


def _unread(node: Node, others: PendingIds, until: datetime | None) -> int:
    """Count the entries in batches that have arrived, and that wait for a process which can read them."""
    log = ChangeLog.objects.using(LOCAL).filter(Unread.from_text(node.unread).condition())
    log = log if until is None else log.filter(date__lte=until)
    counted = others.as_set()
    return sum(number not in counted for number in log.values_list("id", flat=True).iterator())


def _count(ranges: Iterable[Range], until: datetime | None) -> int:
    parts = parts_of_log(Database(LOCAL), ranges)
    return sum((part if until is None else part.filter(date__lte=until)).count() for part in parts)
