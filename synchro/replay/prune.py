"""
Pruning: entries and batches are dropped that every REMOTE has and that are older than the retention.

Pruning waits for the slowest REMOTE; a run that serves another one says so when it waits too long.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import Min
from django.utils.translation import gettext as _

from synchro.checkpoint import aware
from synchro.conf import LOCAL, conf
from synchro.models import Batch, ChangeLog, Checkpoint, Node
from synchro.replay.identity.originals import forget_originals
from synchro.replay.log.ranges import from_text
from synchro.replay.log.unread import Unread
from synchro.replay.session import Session

#: How many batches are dropped in one run at the most, so that a run never becomes a clean-up.
AT_ONCE = 100


def prune(session: Session) -> None:
    """Drop the oldest batches that no REMOTE needs, with their entries. The newest entry always stays."""
    if conf.retention is None:
        return
    limit = session.begun - conf.retention
    # By number, as they were formed: there is no index by time.
    first = Batch.objects.using(LOCAL).order_by("number").first()
    if first is None or aware(first.formed) >= limit:
        return
    node = Node.objects.using(LOCAL).get(pk=1)
    slowest = Checkpoint.objects.using(LOCAL).aggregate(batch=Min("batch"))["batch"]
    if slowest is None:
        return
    done = max(slowest, node.forgotten)
    _warn_of_slow_remotes(session, limit, node.forgotten)
    unread = Unread.from_text(node.unread).condition()
    old = Batch.objects.using(LOCAL).filter(number__lte=done, formed__lt=limit).order_by("number")[:AT_ONCE]
    for batch in old:
        with transaction.atomic(using=LOCAL):
            # Straight in the database: a delete that sends signals would read the entries first.
            for ids in from_text(batch.ranges):
                forget_originals(session.local, ids)
                arrived = ChangeLog.objects.using(LOCAL).filter(id__range=ids).exclude(unread)
                arrived.exclude(id=node.highest)._raw_delete(LOCAL)
            _note_pruned(batch)
            batch.delete(using=LOCAL)


def _note_pruned(batch: Batch) -> None:
    """Note up to when, and up to which id, entries are gone: one of them may stay, so what is left does not tell."""
    node = Node.objects.using(LOCAL).select_for_update().get(pk=1)
    # What an earlier release pruned, or a person, is in batches.
    known = node.pruned_upto or (node.highest if node.pruned or node.pruned_until else 0)
    node.pruned_upto = max(known, *(ids.last for ids in from_text(batch.ranges)), 0)
    if node.pruned < batch.number:
        node.pruned, node.pruned_until = batch.number, batch.formed
    node.save(using=LOCAL, update_fields=["pruned", "pruned_until", "pruned_upto"])


def _warn_of_slow_remotes(session: Session, limit: datetime, forgotten: int) -> None:
    """Warn of other REMOTEs that lack a batch which was formed before `limit`."""
    old = (
        Batch.objects.using(LOCAL).filter(formed__lt=limit, number__gt=forgotten).order_by("-number").first()
    )
    if old is None:
        return
    slow = Checkpoint.objects.using(LOCAL).filter(batch__lt=old.number).exclude(peer_id=session.peer.pk)
    for checkpoint in slow.select_related("peer"):
        session.warn(
            _(
                "The database “%(alias)s” has not received changes that are older than SYNCHRO_RETENTION, so they are "
                "kept for it. Synchronize to it, or delete its checkpoint if it is gone for good."
            )
            % {"alias": checkpoint.peer}
        )
