"""Discard changes in quarantine: REMOTE will not receive them, and a comparison will name the rows as different."""

from __future__ import annotations

import logging
from collections.abc import Collection

from django.db import transaction
from django.utils.translation import gettext as _

from synchro.conf import LOCAL
from synchro.exceptions import NotReady
from synchro.models import Checkpoint, SetAside, content_type_name
from synchro.replay.session import Database, Databases, run_lock

logger = logging.getLogger("synchro.quarantine")

#: How many objects one statement asks about.
PART = 500


def discard(chosen: Collection[SetAside], by: str) -> int:
    """
    Forget these changes in quarantine; return how many.

    Only the rows that were chosen go, and only as they were: what a run has put in quarantine since then stays. Raises
    `Busy` while a run is at work for their REMOTE, `NotReady` where one was interrupted.
    """
    by_peer: dict[int, list[SetAside]] = {}
    for row in chosen:
        by_peer.setdefault(row.peer_id, []).append(row)
    count = 0
    for rows in by_peer.values():
        with run_lock(Databases(Database(rows[0].peer.alias))):
            count += _discard(rows)
    for row in chosen:
        logger.warning(
            "%s discarded a change in quarantine towards %s: %s %s (%s).",
            by,
            row.peer.alias,
            content_type_name(row.content_type_id),
            row.object_id,
            row.cause,
        )
    return count


def _discard(rows: Collection[SetAside]) -> int:
    peer_id, count = next(iter(rows)).peer_id, 0
    with transaction.atomic(using=LOCAL):
        Database(LOCAL).backend.begin_writing()
        kept = SetAside.objects.using(LOCAL).filter(peer_id=peer_id)
        arrived = (
            Checkpoint.objects.using(LOCAL).filter(peer_id=peer_id).values_list("batch", flat=True).first()
        )
        if kept.filter(batch__gt=arrived or 0).exists():
            raise NotReady(
                _(
                    "A run was interrupted, and what it left is not taken over yet. Synchronize, and discard then."
                )
            )
        ordered = list(rows)
        for start in range(0, len(ordered), PART):
            part = ordered[start : start + PART]
            present = kept.filter(pk__in=[row.pk for row in part], is_over=False)
            names = set(present.values_list("content_type_id", "object_id"))
            count += len(names)
            # Older rows of the same objects would count again once the newest is gone.
            same = kept.filter(object_id__in=[text for _kind, text in names])
            going = [
                pk
                for pk, kind, text in same.values_list("pk", "content_type_id", "object_id")
                if (kind, text) in names
            ]
            for first in range(0, len(going), PART):
                kept.filter(pk__in=going[first : first + PART])._raw_delete(LOCAL)
    return count
