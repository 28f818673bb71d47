"""The value that the steps of a batch share."""

from __future__ import annotations

from dataclasses import dataclass, field

from synchro.models import Batch
from synchro.replay.identity.identities import Identities
from synchro.replay.log.changes import Changes
from synchro.replay.log.remote_log import RemoteLog
from synchro.replay.plan import Plan
from synchro.replay.rows import Rows
from synchro.replay.session import Session


@dataclass(frozen=True)
class BatchWork:
    """
    One batch while it is applied.

    The steps read `changes`, both databases' rows and the identities, and complete `plan`; the writer carries it out.
    """

    session: Session
    batch: Batch
    #: REMOTE's own changes that LOCAL has not received.
    log: RemoteLog
    #: What LOCAL's entries say.
    changes: Changes
    #: LOCAL's rows, read before REMOTE's transaction began, and REMOTE's, read within it.
    local_rows: Rows
    remote_rows: Rows
    identities: Identities
    plan: Plan = field(default_factory=Plan)
