"""
Whole: all batches of a run in one transaction of REMOTE, where nobody may see half of one of LOCAL's.

LOCAL is read as it was at one moment. What was logged until then goes along with the last batch, also where it is in
no batch yet: else of a transaction that committed after the batches were formed only those rows would arrive that an
older entry names. It stays pending, and is replayed once more in its own batch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from django.db import transaction

from synchro.exceptions import SynchroError
from synchro.models import Batch
from synchro.replay.apply.attempts import Strategy, strategy_of
from synchro.replay.apply.batch import Finish, announce, attempt, keep_record, retry_refused, writing
from synchro.replay.checkpoint import Outcome
from synchro.replay.conflicts.merge import Merging
from synchro.replay.conflicts.record import discard_undelivered_decisions
from synchro.replay.log.batches import visible_beyond
from synchro.replay.log.changes import RowId
from synchro.replay.log.ranges import Range, from_text, united
from synchro.replay.log.remote_log import RemoteLog
from synchro.replay.receipts import lock_receipt
from synchro.replay.retry import gc_paused
from synchro.replay.session import NewReferences, Session


def replay_as_one(
    session: Session, batches: Sequence[Batch], taken_up: Mapping[int, Collection[RowId]]
) -> list[Outcome]:
    """
    Bring REMOTE's rows to LOCAL's values of one moment, for every object that the batches name.

    The references that a batch leads to are written down on LOCAL only after REMOTE's commit, so the batches that
    follow are told of them. `taken_up` says what to take up again, by the number of the batch.
    """
    for batch in batches:
        announce("formed", batch)
    log = RemoteLog(session)
    outcomes: list[Outcome] = []
    merges: list[Merging] = []
    with _as_if_arrived(session), writing(session):
        lock_receipt(session)
        discard_undelivered_decisions(session, batches[0])
        with session.local.backend.snapshot():
            for batch in batches:
                ids = list(from_text(batch.ranges))
                if batch is batches[-1]:
                    ids = united([*ids, *visible_beyond(batch)])
                try:
                    with gc_paused():
                        strategy = strategy_of(session.quarantine, taken_up.get(batch.number, ()))
                        outcome = retry_refused(strategy, partial(_attempt, session, log, batch, ids))
                except Merging as error:
                    merges.append(error)  # all begins again, so find out what else is to be merged
                except SynchroError:
                    if merges:  # perhaps for want of the batches that were left out
                        break
                    raise
                else:
                    session.new_references.add(outcome.pairs)
                    session.quarantine.advance(outcome.quarantine)
                    session.arrived = batch.number
                    outcomes.append(outcome)
        if merges:
            raise Merging.of(merges)
        for outcome in outcomes:  # LOCAL can be written to again
            keep_record(session, outcome)
    return outcomes


@contextmanager
def _as_if_arrived(session: Session) -> Iterator[None]:
    """Inside, each batch may take what it knows of those before it for settled; an error takes that back."""
    arrived, quarantine, session.new_references = session.arrived, session.quarantine.copy(), NewReferences()
    try:
        yield
    except BaseException:
        session.arrived, session.quarantine = arrived, quarantine
        raise
    finally:
        session.new_references = NewReferences()


def _attempt(
    session: Session, log: RemoteLog, batch: Batch, ids: Sequence[Range], strategy: Strategy
) -> Outcome:
    return attempt(session, log, batch, ids, strategy, lambda: _part(session))


@contextmanager
def _part(session: Session) -> Iterator[Finish]:
    """A savepoint; the records are kept when LOCAL can be written to again."""
    with transaction.atomic(using=session.remote.alias):
        yield lambda _outcome: None
