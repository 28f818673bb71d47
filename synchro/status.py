"""How far each REMOTE is behind, without counting what may be millions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from synchro.conf import LOCAL, conf
from synchro.models import ChangeLog, Checkpoint, Node
from synchro.pending import checkpoints_by_alias
from synchro.replay.log.pending import count_in_batches
from synchro.replay.log.quarantined import quarantined_for
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
    """Return the state of every REMOTE of the settings, by a few reads of short tables. No REMOTE is asked."""
    node = Node.objects.using(LOCAL).filter(pk=1).first() or Node()
    unread = sum(span.entries for span in Unread.from_text(node.unread).spans.values())
    new = ChangeLog.objects.using(LOCAL).filter(id__gt=node.highest)[: LIMIT + 1].count()
    checkpoints = checkpoints_by_alias()
    return [_status(alias, node, checkpoints.get(alias), new, unread) for alias in conf.remotes]


def _status(alias: str, node: Node, checkpoint: Checkpoint | None, new: int, unread: int) -> RemoteStatus:
    waiting = count_in_batches(node, checkpoint.batch if checkpoint else 0)
    return RemoteStatus(
        alias=alias,
        date=checkpoint.date if checkpoint else None,
        pending=waiting + min(new, LIMIT) + unread,
        more=new > LIMIT,
        aside=quarantined_for(checkpoint).count() if checkpoint else 0,
    )
