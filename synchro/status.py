"""How far each REMOTE is behind, without counting what may be millions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Sum

from synchro.conf import LOCAL, conf
from synchro.models import Batch, ChangeLog, Checkpoint, Node, SetAside
from synchro.replay.log.unread import Unread

#: Entries that are in no batch yet are counted up to this number.
LIMIT = 1000


@dataclass(frozen=True)
class RemoteStatus:
    """What is known on LOCAL about one REMOTE."""

    alias: str
    #: When the last batch arrived there; None before the first.
    date: datetime | None
    #: How many entries have not arrived there yet.
    pending: int
    #: Whether there are more than `pending`.
    more: bool
    #: How many changes are set aside, since it refuses them.
    aside: int


def remotes() -> list[RemoteStatus]:
    """The state of every REMOTE of the settings, by a few reads of short tables. No REMOTE is asked."""
    node = Node.objects.using(LOCAL).filter(pk=1).first() or Node()
    unread = sum(span.entries for span in Unread.from_text(node.unread).spans.values())
    new = ChangeLog.objects.using(LOCAL).filter(id__gt=node.highest)[: LIMIT + 1].count()
    found = Checkpoint.objects.using(LOCAL).filter(peer__alias__in=conf.remotes).order_by("date")
    checkpoints = {checkpoint.peer.alias: checkpoint for checkpoint in found.select_related("peer")}
    return [_status(alias, node, checkpoints.get(alias), new, unread) for alias in conf.remotes]


def count_aside(checkpoint: Checkpoint) -> int:
    """How many changes are set aside towards a REMOTE, as far as LOCAL knows that they are."""
    known = SetAside.objects.using(LOCAL).filter(peer_id=checkpoint.peer_id, batch__lte=checkpoint.batch)
    return known.filter(is_over=False).count()


def _status(alias: str, node: Node, checkpoint: Checkpoint | None, new: int, unread: int) -> RemoteStatus:
    arrived = max(node.forgotten, checkpoint.batch if checkpoint else 0)
    waiting = Batch.objects.using(LOCAL).filter(number__gt=arrived).aggregate(size=Sum("size"))["size"] or 0
    return RemoteStatus(
        alias=alias,
        date=checkpoint.date if checkpoint else None,
        pending=waiting + min(new, LIMIT) + unread,
        more=new > LIMIT,
        aside=count_aside(checkpoint) if checkpoint else 0,
    )
