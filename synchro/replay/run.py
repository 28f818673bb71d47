"""A run: replay what is pending on LOCAL into REMOTE, step by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Protocol, TypeAlias, TypeVar

from django.contrib.contenttypes.models import ContentType
from django.db import Error
from django.utils.translation import gettext as _

from synchro import stopping
from synchro.backends import check_vendor
from synchro.conf import LOCAL
from synchro.exceptions import Incomplete, NotConfigured, NotReady, SynchroError
from synchro.keys import Key
from synchro.last_check import aware, moved_by_a_run
from synchro.models import Batch, options
from synchro.replay.apply.atomic import replay_as_one
from synchro.replay.apply.attempts import strategy_of
from synchro.replay.apply.batch import (
    Finish,
    attempt,
    keep_record,
    merging,
    retry_refused,
    undisturbed,
    writing,
)
from synchro.replay.apply.receivers import in_run
from synchro.replay.checkpoint import Outcome, acknowledge
from synchro.replay.columns import forget_columns
from synchro.replay.conflicts.record import discard_undelivered_decisions
from synchro.replay.handshake import handshake
from synchro.replay.identity.setting import remember_identities
from synchro.replay.log.batches import Pruned, form_empty, form_load, next_batch, pending
from synchro.replay.log.changes import RowId
from synchro.replay.log.gaps import warn_of_unknown_writers
from synchro.replay.log.loads import LoadPart
from synchro.replay.log.position import check_ids, own_node
from synchro.replay.log.ranges import from_text
from synchro.replay.log.remote_log import RemoteLog
from synchro.replay.log.unread import warn_of_unread
from synchro.replay.preflight import check_tables, check_visibility, warn_without_capture
from synchro.replay.prune import prune, prune_remote
from synchro.replay.quarantine.store import Quarantine
from synchro.replay.receipts import lock_receipt, lost_to_pruning
from synchro.replay.report import Totals
from synchro.replay.retry import gc_paused, retry_transient
from synchro.replay.run_events import RunEvents
from synchro.replay.run_record import RunRecord, recorded, started_by_whom
from synchro.replay.session import Database, Databases, Session, own_settings, reachable, run_lock
from synchro.replay.signals import announce, starting
from synchro.report import Report

T = TypeVar("T")

#: What is to be taken up again from the quarantine, by the number of the batch.
TakenUp: TypeAlias = Mapping[int, Collection[RowId]]
#: Yields the batches of a run as they arrive.
Replay: TypeAlias = Callable[[Session, Quarantine], Iterator[Outcome]]


@dataclass(frozen=True)
class LoadStep:
    """A part of a load that is to be brought next."""

    part: LoadPart
    #: The rows of it that are to be sent; None for all.
    chosen: Collection[Key] | None = None
    #: Whether what has been logged meanwhile is to be replayed before.
    comes_after_the_log: bool = False


class Loader(Protocol):
    """Says which parts a load has, and keeps how far it has come."""

    def begin(self, session: Session) -> None:
        """Begin, or begin again where a connection was lost."""

    def next(self, session: Session) -> LoadStep | None:
        """Return what is to be brought next; None where all has been."""

    def log(self, step: LoadStep) -> None:
        """Write entries of what is to be brought next."""

    def done(self, step: LoadStep, outcome: Outcome | None) -> None:
        """Take in that a part has arrived; what is beyond `outcome.loaded` has not."""


def synchronize_all(aliases: tuple[str, ...], atomic: bool = False, retry: bool = False) -> list[Report]:
    """
    Replay into every REMOTE, as `synchronize` does for each; one that fails holds back no other.

    Raises the error of a single REMOTE, or `Incomplete` once all of several have had their turn.
    """
    if not aliases:
        raise NotConfigured(_("No REMOTE database specified in settings: name one in SYNCHRO_REMOTE."))
    if len(aliases) == 1:
        return [synchronize(aliases[0], atomic, retry)]
    reports: list[Report] = []
    errors: dict[str, SynchroError] = {}
    for alias in aliases:
        if stopping.is_asked():
            break
        try:
            reports.append(synchronize(alias, atomic, retry))
        except SynchroError as error:
            errors[alias] = error
    if errors:
        raise Incomplete(reports, errors)
    return reports


def synchronize(alias: str, atomic: bool = False, retry: bool = False) -> Report:
    """
    Replay what is pending on LOCAL into the database `alias`; return what was done.

    With `atomic` all of it is one transaction there. With `retry` what is in quarantine is taken up again. Raises a
    `SynchroError`; what was replayed before it stays, batch by batch.
    """
    return _run_to(alias, partial(_replay_all, atomic=atomic, retry=retry), atomic, retry)


def load(alias: str, loader: Loader) -> Report:
    """
    Replay what is pending on LOCAL into the database `alias`, then the parts of a load, and what came meanwhile.

    Raises what `synchronize` does.
    """
    return _run_to(alias, partial(_load_all, loader))


def _run_to(alias: str, replay: Replay, atomic: bool = False, retry: bool = False) -> Report:
    started, totals, databases = time.monotonic(), Totals(), Databases(Database(alias))
    for database in databases.both():
        check_vendor(database.connection)
    events_of_run = RunEvents(alias)
    with events_of_run.sent(started_by_whom(), atomic, retry):
        with recorded(alias, totals) as record, _errors_in_words(alias):
            one_run = partial(_run, databases, totals, record, events_of_run, replay)
            session = retry_transient(one_run, databases.both(), lambda: totals.batches)
            _show(session.begun)
        report = totals.report(alias, session.state.warnings, time.monotonic() - started)
    events_of_run.done(report)
    return report


def _run(
    databases: Databases, totals: Totals, record: RunRecord, events_of_run: RunEvents, replay: Replay
) -> Session:
    """Begin with what the databases say now, and go on until nothing is pending."""
    _forget_what_was_known(databases)
    with reachable(databases), own_settings(databases), in_run():
        starting.send(
            sender=synchronize, local=databases.local.connection, remote=databases.remote.connection
        )
        with run_lock(databases):
            check_visibility(databases)
            check_ids()
            session = handshake(databases)
            remember_identities(session)
            warn_without_capture(session)
            quarantine = Quarantine(session)
            try:
                for outcome in replay(session, quarantine):
                    record.arrived(outcome.batch)
                    _confirm(session, quarantine, outcome, totals)
                    record.progress()
                    events_of_run.arrived(session.peer.pk, outcome)
            except Pruned as error:
                raise lost_to_pruning(session) from error
            node = own_node(LOCAL)
            warn_of_unknown_writers(session, node)
            warn_of_unread(session, node)
            prune(session)
            prune_remote(session)
            totals.quarantined = len(quarantine)
            quarantine.warn()
    return session


def _load_all(loader: Loader, session: Session, quarantine: Quarantine) -> Iterator[Outcome]:
    """Yield each batch that has arrived: what is pending, each part of the load, and what is pending then."""
    yield from _replay_all(session, quarantine)
    session = check_tables(session)
    log = RemoteLog(session)
    loader.begin(session)
    while not stopping.is_asked() and (step := loader.next(session)) is not None:
        if step.comes_after_the_log:
            yield from _replay_all(session, quarantine)
        if session.forwards:  # entries are what REMOTE passes on
            loader.log(step)
            yield from _replay_all(session, quarantine)
            loader.done(step, None)
            continue
        batch = form_load(session.peer.pk, step.part)
        while session.state.arrived < batch.number:
            following = next_batch(session.state.arrived)
            if following is None or stopping.is_asked():
                return
            chosen = step.chosen if following.number == batch.number else None
            outcome = _replay(session, log, quarantine, following, (), True, chosen)
            yield outcome
        loader.done(step, outcome)
    yield from _replay_all(session, quarantine)


def _replay_all(
    session: Session, quarantine: Quarantine, atomic: bool = False, retry: bool = False
) -> Iterator[Outcome]:
    """Yield each batch that has arrived, until nothing is pending; LOCAL is told before the next is asked for."""
    replay = _replay_as_one if atomic else _replay_one_by_one
    for taken_up in _rounds(session, quarantine, retry):
        yield from replay(session, quarantine, taken_up)


def _rounds(session: Session, quarantine: Quarantine, retry: bool) -> Iterator[TakenUp]:
    """Yield what each round over the pending batches is to take up from the quarantine: at first nothing."""
    yield from _until_merged(session, {})
    for part in list(quarantine.parts()) if retry else ():
        if stopping.is_asked():
            return
        yield from _until_merged(session, {form_empty().number: part})


def _until_merged(session: Session, taken_up: TakenUp) -> Iterator[TakenUp]:
    yield taken_up
    while session.state.merged:
        # What was merged is a change of LOCAL's own by now, and should not meet REMOTE's next one.
        session.state.merged = False
        yield {}


def _replay_one_by_one(session: Session, quarantine: Quarantine, taken_up: TakenUp) -> Iterator[Outcome]:
    """Replay each pending batch in a transaction of its own."""
    batches = pending(session.state.arrived)
    first = next(batches, None)
    if first is None:
        return
    session = check_tables(session)
    log = RemoteLog(session)
    for batch in chain([first], batches):
        if stopping.is_asked():
            return
        yield _replay(session, log, quarantine, batch, taken_up.get(batch.number, ()), batch is first)


def _replay_as_one(session: Session, quarantine: Quarantine, taken_up: TakenUp) -> Iterator[Outcome]:
    """Replay all pending batches in one transaction."""
    first = next_batch(session.state.arrived)
    if first is None:
        return
    session = check_tables(session)
    outcomes = _until_settled(session, first, partial(replay_as_one, session, quarantine, taken_up))
    session.state.merged = False  # what was merged is in these batches
    yield from outcomes


@gc_paused()
def _replay(
    session: Session,
    log: RemoteLog,
    quarantine: Quarantine,
    batch: Batch,
    taken_up: Collection[RowId],
    is_first: bool,
    chosen: Collection[Key] | None = None,
) -> Outcome:
    """Bring REMOTE's rows to LOCAL's current values for every object named in the batch, or taken up with it."""
    announce("formed", batch)
    within = partial(_transaction, session, quarantine, batch if is_first else None)
    once = partial(attempt, session, log, batch, list(from_text(batch.ranges)), within, chosen=chosen)

    def until_taken() -> Outcome:
        return retry_refused(strategy_of(quarantine, taken_up), once)

    return _until_settled(session, batch, until_taken)


def _until_settled(session: Session, batch: Batch, attempt: Callable[[], T]) -> T:
    """Return what `attempt` returns, once nothing is left to merge and REMOTE's log stayed as it was meanwhile."""
    return merging(session, batch, partial(undisturbed, session, attempt))


@contextmanager
def _transaction(session: Session, quarantine: Quarantine, first: Batch | None) -> Iterator[Finish]:
    """A transaction of REMOTE for one batch, which is passed as `first` where it is the first of a round."""
    with writing(session):
        lock_receipt(session)
        if first is not None:
            discard_undelivered_decisions(session, first)
        yield partial(keep_record, session, quarantine)


@gc_paused()
def _confirm(session: Session, quarantine: Quarantine, outcome: Outcome, totals: Totals) -> None:
    """Write down on LOCAL that REMOTE has the batch."""
    quarantine.take_in(outcome.quarantine)
    session.state.arrived = outcome.batch.number
    totals.add(outcome)
    announce("committed", outcome.batch)
    acknowledge(session, outcome)
    quarantine.drop_outdated(outcome.batch, outcome.quarantine)
    announce("acknowledged", outcome.batch)


def _forget_what_was_known(databases: Databases) -> None:
    """Forget content types and columns: either database may have been replaced by a copy since they were read."""
    ContentType.objects.clear_cache()
    for database in databases.both():
        forget_columns(database)


def _show(begun: datetime) -> None:
    """Move the checkpoint time that people see forward to when the run began."""
    shown = options.last_check
    if shown is None or begun > aware(shown):
        with moved_by_a_run():
            options.last_check = begun


@contextmanager
def _errors_in_words(alias: str) -> Iterator[None]:
    """Raise `NotReady` for an error that no step has put into words; its own words may hold values of rows."""
    try:
        yield
    except Error as error:
        raise NotReady(
            _(
                "An error of LOCAL, or of the database “%(alias)s”, stopped the run (%(cause)s). What has arrived "
                "stays, and nothing is lost. The cause of this error holds the answer of the database. Correct what "
                "that names, and synchronize again."
            )
            % {"alias": alias, "cause": type(error).__name__}
        ) from error
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise NotReady(
            _(
                "A value that nothing is known to do about stopped the run to the database “%(alias)s” (%(cause)s). "
                "The batch was rolled back; the cause of this error says where it comes from."
            )
            % {"alias": alias, "cause": type(error).__name__}
        ) from error
