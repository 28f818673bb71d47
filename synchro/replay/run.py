"""The replayer, step by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TypeAlias

from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.backends import check_vendor
from synchro.checkpoint import aware, moved_by_a_run
from synchro.conf import LOCAL
from synchro.exceptions import Busy, Incomplete, NotConfigured, NotReady, SynchroError
from synchro.models import Batch, Node, options
from synchro.replay import signals
from synchro.replay.apply.atomic import replay_as_one
from synchro.replay.apply.attempts import strategy_of
from synchro.replay.apply.batch import Finish, announce, attempt, keep_record, merging, retry_refused, writing
from synchro.replay.apply.receivers import in_run
from synchro.replay.checkpoint import Outcome, acknowledge
from synchro.replay.columns import forget_columns
from synchro.replay.conflicts.record import discard_undelivered_decisions
from synchro.replay.handshake import handshake
from synchro.replay.identity.setting import remember_identities
from synchro.replay.log.batches import Pruned, check_ids, form_empty, is_blind, next_batch, own_node, pending
from synchro.replay.log.changes import RowId
from synchro.replay.log.postpone import warn_of_unread
from synchro.replay.log.ranges import from_text
from synchro.replay.log.remote_log import RemoteLog
from synchro.replay.preflight import check_tables, check_visibility, warn_without_capture
from synchro.replay.prune import prune
from synchro.replay.quarantine.store import Quarantine
from synchro.replay.receipts import lock_receipt, lost_to_pruning
from synchro.replay.retry import gc_paused, retry_transient
from synchro.replay.session import Database, Session
from synchro.report import ModelReport, Report

#: What is to be taken up again, by the number of the batch.
TakenUp: TypeAlias = Mapping[int, Collection[RowId]]


@dataclass
class Totals:
    """What the batches of a run add up to."""

    entries: int = 0
    batches: int = 0
    conflicts: int = 0
    aside: int = 0
    added: dict[type[Model], int] = field(default_factory=dict)
    changed: dict[type[Model], int] = field(default_factory=dict)
    deleted: dict[type[Model], int] = field(default_factory=dict)
    kept: dict[type[Model], int] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        self.entries += outcome.entries
        self.batches += 1
        self.conflicts += len(outcome.conflicts) + outcome.recorded
        for ours, more in (
            (self.added, outcome.tally.added),
            (self.changed, outcome.tally.changed),
            (self.deleted, outcome.tally.deleted),
            (self.kept, outcome.kept),
        ):
            for model, count in more.items():
                ours[model] = ours.get(model, 0) + count

    def models(self) -> tuple[ModelReport, ...]:
        every = {**self.added, **self.changed, **self.deleted, **self.kept}
        return tuple(
            ModelReport(
                model._meta.label,
                self.added.get(model, 0),
                self.changed.get(model, 0),
                self.deleted.get(model, 0),
                self.kept.get(model, 0),
            )
            for model in sorted(every, key=lambda model: model._meta.label)
        )


def synchronize(alias: str, atomic: bool = False, retry: bool = False) -> Report:
    """
    Replay what is pending on LOCAL into the database `alias`; with `atomic`, in one transaction there; with `retry`,
    also what is set aside.

    Raises a `SynchroError`; what was replayed before it stays, batch by batch.
    """
    begun = time.monotonic()
    totals = Totals()
    sides = (Database(LOCAL), Database(alias))
    for side in sides:
        check_vendor(side.connection)
    try:
        session = retry_transient(lambda: _run(alias, totals, atomic, retry), sides, lambda: totals.batches)
        _show(session.begun)
    except DatabaseError as error:
        # Its words may hold values of rows; whoever may see those finds them in the cause.
        raise NotReady(
            _(
                "An error of LOCAL, or of the database “%(alias)s”, stopped the run (%(cause)s). What has arrived "
                "stays, and nothing is lost. The cause of this error has the words of the database; mend what they are "
                "about, and synchronize again."
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
    return Report(
        remote=alias,
        entries=totals.entries,
        batches=totals.batches,
        models=totals.models(),
        conflicts=totals.conflicts,
        aside=totals.aside,
        warnings=tuple(session.warnings),
        seconds=time.monotonic() - begun,
    )


def _run(alias: str, totals: Totals, atomic: bool, retry: bool) -> Session:
    """Begin anew with what is known of both sides, and go on until nothing is pending."""
    session = Session(Database(alias))
    # Either database may have been replaced by a copy since this process remembered its content types.
    ContentType.objects.clear_cache()
    for side in (session.local, session.remote):
        forget_columns(side)
    with reachable(session), own_sessions(session), in_run():
        signals.starting.send(
            sender=synchronize, local=session.local.connection, remote=session.remote.connection
        )
        with alone(session):
            check_visibility(session)
            check_ids()
            done = handshake(session)
            remember_identities(session)
            warn_without_capture(session)
            session.quarantine = Quarantine(session)
            replay_pending = _replay_as_one if atomic else _replay_one_by_one
            try:
                _go_on(session, done, totals, replay_pending, {})
                for part in list(session.quarantine.parts()) if retry else ():
                    _go_on(session, done, totals, replay_pending, {form_empty().number: part})
            except Pruned as error:
                raise lost_to_pruning(session) from error
            node = own_node(LOCAL)
            _warn_if_blind(session, node)
            warn_of_unread(session, node)
            prune(session)
            totals.aside = len(session.quarantine)
            session.quarantine.warn()
    return session


def _warn_if_blind(session: Session, node: Node) -> None:
    if is_blind(node):
        session.warn(
            _(
                "The account of LOCAL may not see which transactions are open. So ids that were rolled back are "
                "looked for at every run, for ever, which costs a little time and loses nothing. Grant it PROCESS "
                "(MariaDB), or SELECT on performance_schema (MySQL)."
            )
        )


ReplayPending: TypeAlias = Callable[[Session, int, Totals, TakenUp], None]


def _go_on(
    session: Session, done: int, totals: Totals, replay_pending: ReplayPending, taken_up: TakenUp
) -> None:
    replay_pending(session, max(done, session.arrived), totals, taken_up)
    while session.merged:
        # What was merged is a change of LOCAL's own by now, and should not meet REMOTE's next one.
        session.merged = False
        replay_pending(session, session.arrived, totals, {})


def _replay_one_by_one(session: Session, done: int, totals: Totals, taken_up: TakenUp) -> None:
    log = RemoteLog(session)
    for place, batch in enumerate(pending(done)):
        if place == 0:
            check_tables(session)
        with gc_paused():
            replay(session, log, batch, totals, taken_up.get(batch.number, ()), is_first=place == 0)


def _replay_as_one(session: Session, done: int, totals: Totals, taken_up: TakenUp) -> None:
    first = next_batch(done)
    if first is None:
        return
    check_tables(session)
    outcomes = merging(session, first, lambda: replay_as_one(session, list(pending(done)), taken_up))
    session.merged = False  # what was merged is in these batches
    for outcome in outcomes:
        confirm(session, outcome, totals)


def replay(
    session: Session,
    log: RemoteLog,
    batch: Batch,
    totals: Totals,
    taken_up: Collection[RowId] = (),
    is_first: bool = False,
) -> None:
    """Bring REMOTE's rows to LOCAL's current values for every object named in the batch, or taken up again with it."""
    announce("formed", batch)
    ids = list(from_text(batch.ranges))
    outcome = merging(
        session,
        batch,
        lambda: retry_refused(
            strategy_of(session.quarantine, taken_up),
            lambda strategy: attempt(
                session, log, batch, ids, strategy, lambda: _alone(session, batch if is_first else None)
            ),
        ),
    )
    session.quarantine.advance(outcome.quarantine)
    confirm(session, outcome, totals)


@contextmanager
def _alone(session: Session, first: Batch | None) -> Iterator[Finish]:
    """A transaction of REMOTE for one batch; for the `first` one of a run it is given."""
    with writing(session):
        lock_receipt(session)
        if first is not None:
            discard_undelivered_decisions(session, first)
        yield partial(keep_record, session)


def confirm(session: Session, outcome: Outcome, totals: Totals) -> None:
    """REMOTE has it: let LOCAL know."""
    session.arrived = outcome.batch.number
    totals.add(outcome)
    announce("committed", outcome.batch)
    acknowledge(session, outcome)
    session.quarantine.settle(outcome.batch, outcome.quarantine)
    announce("acknowledged", outcome.batch)


@contextmanager
def reachable(session: Session) -> Iterator[None]:
    """Say in words that a database cannot be reached."""
    for side in (session.local, session.remote):
        try:
            side.connection.ensure_connection()
        except DatabaseError as error:
            raise NotReady(
                _(
                    "The database “%(alias)s” cannot be reached (%(cause)s). What was captured waits: synchronize "
                    "again when it can be."
                )
                % {"alias": side.alias, "cause": type(error).__name__}
            ) from error
        if _is_bound(side.connection):
            raise NotReady(
                _(
                    "synchronize cannot run inside a transaction of the database “%(alias)s”: its rollback would take "
                    "back what the other database was told. Call it outside of “atomic” blocks, with autocommit on."
                )
                % {"alias": side.alias}
            )
    yield


@contextmanager
def own_sessions(session: Session) -> Iterator[None]:
    """Inside, whatever the project's connections are set to, they understand what a run says."""
    with ExitStack() as stack:
        for side in (session.local, session.remote):
            stack.enter_context(side.backend.own_session())
        yield


def _is_bound(connection: BaseDatabaseWrapper) -> bool:
    if connection.in_atomic_block:
        # As with atomic(durable=True): the transaction of a test case does not count.
        return not connection.atomic_blocks or not connection.atomic_blocks[0]._from_testcase  # type: ignore[attr-defined]
    return not connection.get_autocommit()


@contextmanager
def alone(session: Session) -> Iterator[None]:
    """One replayer at a time for LOCAL and this REMOTE."""
    # Some servers share lock names between their databases.
    name = f"{session.local.connection.settings_dict['NAME']} to {session.remote.alias}"
    with session.local.backend.lock(name) as taken:
        if not taken:
            raise Busy(
                _("Another process is synchronizing to the database “%(alias)s”.")
                % {"alias": session.remote.alias}
            )
        yield


def _show(begun: datetime) -> None:
    """Move the checkpoint time that people see forward: what was logged before this run began has been looked at."""
    shown = options.last_check
    if shown is None or begun > aware(shown):
        with moved_by_a_run():
            options.last_check = begun


def synchronize_all(aliases: tuple[str, ...], atomic: bool = False, retry: bool = False) -> list[Report]:
    """
    Serve every REMOTE, with `atomic` each in one transaction, with `retry` also with what is set aside; one that fails
    holds back no other.

    Raises the error of a single REMOTE, or `Incomplete` once all of several have had their turn.
    """
    if not aliases:
        raise NotConfigured(_("No REMOTE database specified in settings: name one in SYNCHRO_REMOTE."))
    if len(aliases) == 1:
        return [synchronize(aliases[0], atomic, retry)]
    reports: list[Report] = []
    errors: dict[str, SynchroError] = {}
    for alias in aliases:
        try:
            reports.append(synchronize(alias, atomic, retry))
        except SynchroError as error:
            errors[alias] = error
    if errors:
        raise Incomplete(reports, errors)
    return reports
