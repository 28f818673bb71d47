"""
Pruning: entries and batches are dropped that every REMOTE has and that are older than the retention.

Pruning waits for the slowest REMOTE; a run that serves another one says so when it waits too long.
"""

from __future__ import annotations

from datetime import datetime
from itertools import takewhile
from typing import Any

from django.db import transaction
from django.db.models import Min, QuerySet
from django.utils.translation import gettext as _

from synchro.conf import LOCAL, conf
from synchro.last_check import aware
from synchro.models import Batch, ChangeLog, Checkpoint, Node
from synchro.replay.identity.originals import forget_originals
from synchro.replay.log.ranges import Range, from_text
from synchro.replay.log.unread import Unread
from synchro.replay.session import Database, Session

#: How many batches are dropped in one run at the most, so that a run never becomes a clean-up.
AT_ONCE = 100
#: How many entries of a REMOTE that sends nowhere.
ENTRIES_AT_ONCE = 10_000


def prune(session: Session) -> None:
    """Drop the oldest batches that no REMOTE needs, with their entries. The newest entry always stays."""
    if conf.retention is None:
        return
    limit = session.begun - conf.retention
    old = prunable(limit)
    if old is None:
        return
    node = Node.objects.using(LOCAL).get(pk=1)
    _warn_of_slow_remotes(session, limit, node.forgotten)
    for batch in old[:AT_ONCE]:
        drop_batch(batch)


def prunable(limit: datetime) -> QuerySet[Batch] | None:
    """
    Return LOCAL's batches that were formed before `limit` and that every REMOTE has, by number.

    Return None where none is so old, or where no REMOTE has received anything.
    """
    # By number, as they were formed: there is no index by time.
    first = Batch.objects.using(LOCAL).order_by("number").first()
    if first is None or aware(first.formed) >= limit:
        return None
    node = Node.objects.using(LOCAL).get(pk=1)
    slowest = Checkpoint.objects.using(LOCAL).aggregate(batch=Min("batch"))["batch"]
    if slowest is None:
        return None
    done = max(slowest, node.forgotten)
    return Batch.objects.using(LOCAL).filter(number__lte=done, formed__lt=limit).order_by("number")


def drop_batch(batch: Batch) -> int:
    """Drop a batch of `prunable` with its entries; return how many entries that were."""
    dropped = 0
    local = Database(LOCAL)
    with transaction.atomic(using=LOCAL):
        node = Node.objects.using(LOCAL).select_for_update().get(pk=1)
        unread = Unread.from_text(node.unread).condition()
        # Straight in the database: a delete that sends signals would read the entries first.
        for ids in from_text(batch.ranges):
            forget_originals(local, ids)
            arrived = ChangeLog.objects.using(LOCAL).filter(id__range=ids).exclude(unread)
            dropped += arrived.exclude(id=node.highest)._raw_delete(LOCAL) or 0
        _note_pruned(batch)
        batch.delete(using=LOCAL)
    return dropped


def prune_remote(session: Session) -> None:
    """
    Drop from REMOTE's log what others sent there, where REMOTE sends nowhere and so never prunes by itself.

    What is dropped counts as a batch that nobody has received, so REMOTE's own first run asks for a copy.
    """
    if conf.retention is None or not session.forwards:
        return
    limit, remote = session.begun - conf.retention, session.remote
    if Checkpoint.objects.using(remote.alias).exists():
        _warn_of_silent_remote(session, limit)
        return
    drop_unsent(remote, limit)


def drop_unsent(database: Database, limit: datetime, *, own: bool = False) -> int:
    """
    Drop entries from before `limit` from the log of a database that sends nowhere; return how many.

    Those are what others sent there, and with `own` also its own changes. What is dropped counts as a batch that
    nobody has received; and whoever replays into this database is told until when its log says nothing.
    """
    alias = database.alias
    log = ChangeLog.objects.using(alias)
    known = Node.objects.using(alias).values_list("pruned_upto", flat=True).get(pk=1) or 0
    part = list(log.filter(id__gt=known).order_by("id").values_list("id", "date", "made")[:ENTRIES_AT_ONCE])
    old = list(takewhile(lambda entry: aware(entry[1]) < limit, part))
    if not old:
        return 0
    ids = Range(known + 1, old[-1][0])
    with transaction.atomic(using=alias):
        database.backend.begin_writing()
        node = Node.objects.using(alias).select_for_update().get(pk=1)
        if (node.pruned_upto or 0) != known:
            return 0  # by another run
        forget_originals(database, ids)
        dropped = log.filter(id__range=ids)
        # The newest entry stays: some servers would give its id again.
        newest: Any = log.order_by("-id").values_list("id", flat=True).first()
        dropped = dropped.exclude(id=newest) if own else dropped.exclude(origin=None)
        count = dropped._raw_delete(alias) or 0
        node.batch = node.pruned = node.batch + 1
        node.pruned_upto = ids.last
        node.pruned_until = max(aware(date) for _id, *dates in old for date in dates if date)
        node.save(using=alias, update_fields=["batch", "pruned", "pruned_upto", "pruned_until"])
    return count


def _warn_of_silent_remote(session: Session, limit: datetime) -> None:
    """Warn where REMOTE has sent to others, and has not done so for long: its log keeps what it receives for that."""
    alias = session.remote.alias
    highest = Node.objects.using(alias).values_list("highest", flat=True).get(pk=1)
    waiting = (
        ChangeLog.objects.using(alias).filter(id__gt=highest).order_by("id").values_list("date", flat=True)
    )
    oldest = waiting.first()
    if oldest is not None and aware(oldest) < limit:
        session.warn(
            _(
                "The database “%(alias)s” passes on what it receives, and has not synchronized for longer than "
                "SYNCHRO_RETENTION, so its log keeps all of it. Synchronize there. If it is never to send anything "
                "again, delete its checkpoints there: synchro.models.Checkpoint.objects.all().delete()"
            )
            % {"alias": alias}
        )


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
