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
from synchro.replay.acknowledge import hold_receipt
from synchro.replay.carry import Finish, announce, attempt, insisting, keep_record, writing
from synchro.replay.dependants import Place
from synchro.replay.form import visible_beyond
from synchro.replay.garbage import uncollected
from synchro.replay.link import Link
from synchro.replay.log import Log
from synchro.replay.made import Made
from synchro.replay.merge import Merging
from synchro.replay.outcome import Outcome
from synchro.replay.ranges import Range, from_text, united
from synchro.replay.record import forget_what_was_in_vain
from synchro.replay.trial import Trial, trial_of


def replay_as_one(
    link: Link, batches: Sequence[Batch], taken_up: Mapping[int, Collection[Place]]
) -> list[Outcome]:
    """
    Bring REMOTE's rows to LOCAL's values of one moment, for every object that the batches name.

    The references that a batch leads to are written down on LOCAL only after REMOTE's commit, so the batches that
    follow are told of them. `taken_up` says what to take up again, by the number of the batch.
    """
    for batch in batches:
        announce("formed", batch)
    log = Log(link)
    outcomes: list[Outcome] = []
    merges: list[Merging] = []
    with _as_if_arrived(link), writing(link):
        hold_receipt(link)
        forget_what_was_in_vain(link, batches[0])
        with link.local.engine.snapshot(link.local.connection):
            for batch in batches:
                ids = list(from_text(batch.ranges))
                if batch is batches[-1]:
                    ids = united([*ids, *visible_beyond(batch)])
                try:
                    with uncollected():
                        trial = trial_of(link.aside, taken_up.get(batch.number, ()))
                        outcome = insisting(trial, partial(_attempt, link, log, batch, ids))
                except Merging as error:
                    merges.append(error)  # all begins again, so find out what else is to be merged
                except SynchroError:
                    if merges:  # perhaps for want of the batches that were left out
                        break
                    raise
                else:
                    link.made.add(outcome.pairs)
                    link.aside.advance(outcome.note)
                    link.arrived = batch.number
                    outcomes.append(outcome)
        if merges:
            raise Merging.of(merges)
        for outcome in outcomes:  # LOCAL can be written to again
            keep_record(link, outcome)
    return outcomes


@contextmanager
def _as_if_arrived(link: Link) -> Iterator[None]:
    """Inside, each batch may take what it knows of those before it for settled; an error takes that back."""
    arrived, aside, link.made = link.arrived, link.aside.copy(), Made()
    try:
        yield
    except BaseException:
        link.arrived, link.aside = arrived, aside
        raise
    finally:
        link.made = Made()


def _attempt(link: Link, log: Log, batch: Batch, ids: Sequence[Range], trial: Trial) -> Outcome:
    return attempt(link, log, batch, ids, trial, lambda: _part(link))


@contextmanager
def _part(link: Link) -> Iterator[Finish]:
    """A savepoint; the records are kept when LOCAL can be written to again."""
    with transaction.atomic(using=link.remote.alias):
        yield lambda _outcome: None
