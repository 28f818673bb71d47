"""
Apply all batches of a run in one transaction of REMOTE, so that nobody sees half of a transaction of LOCAL.

LOCAL is read as it was at one moment. What was logged until then goes along with the last batch, also where it is in
no batch yet: else of a transaction that committed after the batches were formed only those rows would arrive that an
older entry names. It stays pending, and is replayed once more in its own batch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from django.db import transaction

from synchro.exceptions import SynchroError
from synchro.replay.apply.attempts import strategy_of
from synchro.replay.apply.batch import Finish, attempt, keep_record, retry_refused, writing
from synchro.replay.checkpoint import Outcome
from synchro.replay.conflicts.merge import Merging
from synchro.replay.conflicts.record import discard_undelivered_decisions
from synchro.replay.log.batches import pending
from synchro.replay.log.changes import RowId
from synchro.replay.log.pending import visible_after
from synchro.replay.log.ranges import from_text, united
from synchro.replay.log.remote_log import RemoteLog
from synchro.replay.quarantine.store import Quarantine
from synchro.replay.receipts import lock_receipt
from synchro.replay.retry import gc_paused
from synchro.replay.session import Session
from synchro.replay.signals import announce


def replay_as_one(
    session: Session, quarantine: Quarantine, taken_up: Mapping[int, Collection[RowId]]
) -> list[Outcome]:
    """
    Bring REMOTE's rows to LOCAL's values of one moment, for every object that the pending batches name.

    The references that a batch leads to are written down on LOCAL only after REMOTE's commit, so the batches that
    follow are called with them. `taken_up` says what to take up again, by the number of the batch.
    """
    batches = list(pending(session.state.arrived))
    for batch in batches:
        announce("formed", batch)
    session, quarantine = session.as_if_arrived(), quarantine.copy()
    log = RemoteLog(session)
    outcomes: list[Outcome] = []
    merges: list[Merging] = []
    with writing(session):
        lock_receipt(session)
        discard_undelivered_decisions(session, batches[0])
        with session.local.backend.snapshot():
            for batch in batches:
                ids = list(from_text(batch.ranges))
                if batch is batches[-1]:
                    ids = united([*ids, *visible_after(batch)])
                try:
                    with gc_paused():
                        strategy = strategy_of(quarantine, taken_up.get(batch.number, ()))
                        within = partial(_savepoint, session)
                        outcome = retry_refused(strategy, partial(attempt, session, log, batch, ids, within))
                except Merging as error:
                    merges.append(error)  # all begins again, so find out what else is to be merged
                except SynchroError:
                    if merges:  # perhaps for want of the batches that were left out
                        break
                    raise
                else:
                    session.state.new_references.add(outcome.pairs)
                    session.state.arrived = batch.number
                    quarantine.take_in(outcome.quarantine)
                    outcomes.append(outcome)
        if merges:
            raise Merging.of(merges)
        for outcome in outcomes:  # LOCAL can be written to again
            keep_record(session, quarantine, outcome)
    return outcomes


@contextmanager
def _savepoint(session: Session) -> Iterator[Finish]:
    """A savepoint; the records are kept when LOCAL can be written to again."""
    with transaction.atomic(using=session.remote.alias):
        yield lambda _outcome: None
