"""Prune: drop entries and batches that every REMOTE has and that are older than the retention."""

from __future__ import annotations

from django.db import connections, transaction
from django.db.models import Min

from synchro.conf import LOCAL, conf
from synchro.engines import engine_for
from synchro.models import Batch, ChangeLog, Checkpoint, Node
from synchro.replay.ranges import from_text

#: How many batches are dropped in one run at the most, so that a run never becomes a clean-up.
AT_ONCE = 100


def prune() -> None:
    """Drop the oldest batches, with their entries, that nobody needs. The newest entry always stays."""
    if conf.retention is None:
        return
    node = Node.objects.using(LOCAL).get(pk=1)
    slowest = Checkpoint.objects.using(LOCAL).aggregate(batch=Min("batch"))["batch"]
    if slowest is None:
        return
    limit = engine_for(connections[LOCAL]).now(connections[LOCAL]) - conf.retention
    done = max(slowest, node.forgotten)
    old = Batch.objects.using(LOCAL).filter(number__lte=done, formed__lt=limit).order_by("number")[:AT_ONCE]
    for batch in old:
        with transaction.atomic(using=LOCAL):
            for ids in from_text(batch.ranges):
                ChangeLog.objects.using(LOCAL).filter(id__range=ids).exclude(id=node.highest).delete()
            Node.objects.using(LOCAL).filter(pk=1, pruned__lt=batch.number).update(pruned=batch.number)
            batch.delete(using=LOCAL)
