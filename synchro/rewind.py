"""A person sets the checkpoint time: forget what was logged before it, and replay again what was logged after."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from django.db import transaction

from synchro.conf import LOCAL
from synchro.pending import all_pending
from synchro.replay.log.batches import rewind

logger = logging.getLogger(__name__)


def on_checkpoint_set(moment: datetime, **_kwargs: Any) -> None:
    """Receive `synchro.last_check.checkpoint_set`; `moment` is aware. Log what is forgotten, with numbers."""
    with transaction.atomic(using=LOCAL):
        forgotten = [pending for pending in all_pending(until=moment) if pending]
        rewind(moment)
    for pending in forgotten:
        logger.warning(
            "options.last_check was set to %s: what was logged before it is forgotten and does not reach the database "
            "%s any more (%d entries that were pending, %d changes in quarantine). To bring these rows there "
            "all the same, set it back to an earlier time.",
            moment.isoformat(),
            pending.alias,
            pending.entries,
            pending.quarantined,
        )
