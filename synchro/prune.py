"""Prune LOCAL's log by command: what runs do on the way, all at once; also for a node that sends nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connections
from django.db.models import Sum

from synchro import stopping
from synchro.backends import backend_for
from synchro.conf import LOCAL, conf
from synchro.exceptions import NotConfigured
from synchro.models import ChangeLog, Checkpoint, Node
from synchro.replay.prune import drop_batch, drop_unsent, prunable
from synchro.replay.session import Database


@dataclass(frozen=True)
class Pruned:
    """What was dropped from the log, or would be."""

    entries: int
    batches: int
    #: Everything that was dropped is older than this.
    before: datetime
    #: Whether LOCAL sends nowhere, so that no REMOTE has to have the entries.
    is_unsent: bool
    #: Of the REMOTEs that have received something, those that lack a batch and so have later ones kept.
    slow: tuple[str, ...] = ()


def prune_log(older_than: timedelta | None = None, *, dry_run: bool = False) -> Pruned:
    """
    Drop the entries that are older than the retention, or than `older_than`, and that every REMOTE has.

    Where LOCAL sends nowhere (SYNCHRO_REMOTE names no database, and no REMOTE ever received anything), all entries of
    that age go. With `dry_run` nothing is written. Raises `NotConfigured` where there is no retention.
    """
    retention = older_than if older_than is not None else conf.retention
    if retention is None:
        raise NotConfigured(
            "SYNCHRO_RETENTION is None, so all entries are kept. Say how old they must be: --older-than DAYS."
        )
    before = backend_for(connections[LOCAL]).now() - retention
    if not conf.remotes and not Checkpoint.objects.using(LOCAL).exists():
        entries = _old_entries(before) if dry_run else _drop_unsent(before)
        return Pruned(entries, 0, before, is_unsent=True)
    old = prunable(before)
    node = Node.objects.using(LOCAL).filter(pk=1).first() or Node()
    slow = tuple(
        checkpoint.peer.alias or str(checkpoint.peer)
        for checkpoint in Checkpoint.objects.using(LOCAL).select_related("peer")
        if max(checkpoint.batch, node.forgotten) < node.batch
    )
    if old is None:
        return Pruned(0, 0, before, is_unsent=False, slow=slow)
    if dry_run:
        size = old.aggregate(size=Sum("size"))["size"] or 0
        # The newest entry stays, though its batch goes.
        size -= old.filter(number=node.batch, size__gt=0).exists()
        return Pruned(size, old.count(), before, is_unsent=False, slow=slow)
    entries = batches = 0
    while not stopping.is_asked() and (batch := old.first()) is not None:
        entries, batches = entries + drop_batch(batch), batches + 1
    return Pruned(entries, batches, before, is_unsent=False, slow=slow)


def _drop_unsent(before: datetime) -> int:
    """Drop part after part; return how many entries that were."""
    dropped, node = 0, Node.objects.using(LOCAL).filter(pk=1)
    Node.objects.using(LOCAL).get_or_create(pk=1)
    while not stopping.is_asked():
        upto = node.values_list("pruned_upto", flat=True).get()
        dropped += drop_unsent(Database(LOCAL), before, own=True)
        if node.values_list("pruned_upto", flat=True).get() == upto:
            break
    return dropped


def _old_entries(before: datetime) -> int:
    log = ChangeLog.objects.using(LOCAL)
    newest = log.order_by("-id").values_list("id", flat=True).first()
    young = log.filter(date__gte=before).order_by("id").values_list("id", flat=True).first()
    limits = [each for each in (newest, young) if each is not None]
    return log.filter(id__lt=min(limits)).count() if limits else 0
