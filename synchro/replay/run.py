"""The replayer, step by step."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from django.db import DatabaseError, IntegrityError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.checkpoint import aware, moved_by_a_run
from synchro.conf import LOCAL
from synchro.exceptions import Busy, Incomplete, NotConfigured, NotReady, Refused, SynchroError, Undecided
from synchro.keys import Key, to_text
from synchro.models import Batch, options
from synchro.replay import signals
from synchro.replay.acknowledge import acknowledge, hold_receipt, new_pairs, sign_receipt
from synchro.replay.agree import agree, lost_to_pruning
from synchro.replay.coalesce import Changes, coalesce, entries_of
from synchro.replay.entangled import Entangled
from synchro.replay.form import Pruned, check_entries, pending
from synchro.replay.garbage import uncollected
from synchro.replay.identify import Identities
from synchro.replay.link import Link, Side
from synchro.replay.merge import Merging, hold_for_merging, merge_on_local
from synchro.replay.order import parents_first
from synchro.replay.parents import Vanished, add_parents
from synchro.replay.passing import read
from synchro.replay.prune import prune
from synchro.replay.ranges import from_text
from synchro.replay.read import Rows
from synchro.replay.ready import check_tables
from synchro.replay.record import Records, describe, forget_what_was_in_vain, put_on_record
from synchro.replay.report import ModelReport, Report
from synchro.replay.resolve import Log, Plan, resolve
from synchro.replay.retry import persistently
from synchro.replay.sets import expand
from synchro.replay.spare import spare
from synchro.replay.wholesale import NotPlain, deliver, pack
from synchro.replay.write import Tally, Writer

#: How often a batch is tried again because LOCAL's rows changed while they were read.
ATTEMPTS = 5


@dataclass
class Totals:
    """What the batches of a run add up to."""

    entries: int = 0
    batches: int = 0
    conflicts: int = 0
    added: dict[type[Model], int] = field(default_factory=dict)
    changed: dict[type[Model], int] = field(default_factory=dict)
    deleted: dict[type[Model], int] = field(default_factory=dict)
    kept: dict[type[Model], int] = field(default_factory=dict)

    def add(self, changes: Changes, plan: Plan, tally: Tally) -> None:
        self.entries += changes.entries
        self.batches += 1
        self.conflicts += len(plan.conflicts) + plan.recorded
        for ours, more in (
            (self.added, tally.added),
            (self.changed, tally.changed),
            (self.deleted, tally.deleted),
            (self.kept, plan.kept),
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


def synchronize(alias: str) -> Report:
    """
    Replay what is pending on LOCAL into the database `alias`.

    Raises a `SynchroError`; what was replayed before it stays, batch by batch.
    """
    begun = time.monotonic()
    totals = Totals()
    sides = (Side(LOCAL), Side(alias))
    link = persistently(lambda: _run(alias, totals), sides, lambda: totals.batches)
    _show(link.begun)
    return Report(
        remote=alias,
        entries=totals.entries,
        batches=totals.batches,
        models=totals.models(),
        conflicts=totals.conflicts,
        warnings=tuple(link.warnings),
        seconds=time.monotonic() - begun,
    )


def _run(alias: str, totals: Totals) -> Link:
    """Begin anew with what is known of both sides, and go on until nothing is pending."""
    link = Link(Side(alias))
    with reachable(link):
        signals.starting.send(sender=synchronize, local=link.local.connection, remote=link.remote.connection)
        with alone(link):
            done = agree(link)
            try:
                _replay_pending(link, done, totals)
                while link.merged:
                    # What was merged is a change of LOCAL's own by now, and should not meet REMOTE's next one.
                    link.merged = False
                    _replay_pending(link, link.arrived, totals)
            except Pruned as error:
                raise lost_to_pruning(link) from error
            prune()
    return link


def _replay_pending(link: Link, done: int, totals: Totals) -> None:
    log = Log(link)
    for place, batch in enumerate(pending(done)):
        if place == 0:
            check_tables(link)
            forget_what_was_in_vain(link, batch)
        with uncollected():
            replay(link, log, batch, totals)


def replay(link: Link, log: Log, batch: Batch, totals: Totals) -> None:
    """Bring REMOTE's rows to LOCAL's current values for every object named in the batch."""
    _announce("formed", batch)
    also: set[tuple[type[Model], Key]] = set()
    vanished = refused = merged = 0
    while True:
        try:
            return _replay(link, log, batch, totals, also)
        except Vanished as error:
            # A row that LOCAL lost while its children were being read has an entry of its own by now.
            vanished += 1
            if vanished == ATTEMPTS:
                raise Refused(str(error)) from error
        except Merging as merging:
            merged += 1
            if merged == ATTEMPTS:
                raise _never_at_rest(merging) from merging
            merge_on_local(link, merging)
            link.merged = True
            _announce("merged", batch)
        except Entangled as error:  # with each round more objects are in the batch, so there is an end
            also |= {(error.model, key) for key in error.keys}
        except (Refused, IntegrityError) as error:
            # Perhaps only since somebody there added or deleted a row after it had been looked for.
            refused += 1
            if isinstance(error, IntegrityError):
                if refused == 2:
                    raise _refused_at_the_end(error) from error
            elif refused == 2 or not isinstance(error.__cause__, IntegrityError):
                raise


def _never_at_rest(merging: Merging) -> Undecided:
    merge = merging.merges[0]
    return Undecided(
        _(
            "%(model)s %(key)s: it was changed again and again while its values were to be merged. Run synchronize "
            "again."
        )
        % {"model": merge.model._meta.label, "key": to_text(merge.model, merge.key)}
    )


def _refused_at_the_end(error: IntegrityError) -> Refused:
    return Refused(
        _(
            "REMOTE refuses the batch (%(cause)s): a row in it points at one that is not there. The batch was rolled "
            "back."
        )
        % {"cause": type(error).__name__}
    )


def _replay(
    link: Link, log: Log, batch: Batch, totals: Totals, also: Collection[tuple[type[Model], Key]]
) -> None:
    if not also and _replay_wholesale(link, log, batch, totals):
        return
    changes = coalesce(entries_of(link.local, from_text(batch.ranges)))
    check_entries(batch)
    changes.take_along(also)
    log.note_received()
    rows = Rows(link.local)
    for model, keys in changes.by_model().items():
        read(link, rows, model, keys)
    _announce("read", batch)
    with writing(link):
        hold_receipt(link)
        identities = Identities(link, rows, _natural_keys(changes))
        by_model = changes.by_model()
        for model in parents_first(by_model):  # a natural key may lead through a parent
            identities.find(model, by_model[model], lock=True)
        _announce("identified", batch)
        there = Rows(link.remote)
        plan = resolve(link, log, changes, rows, there, identities, Records(link, batch))
        hold_for_merging(link, batch, plan.merges, rows, there)
        spare(link, log, changes, plan)
        expand(link, log, changes, identities, plan)
        add_parents(link, plan, rows, identities)
        conflicts = describe(link, batch, plan.conflicts, rows, there)
        _announce("resolved", batch)
        writer = Writer(link, plan, rows, identities)
        writer.write()
        pairs = new_pairs(plan, identities)
        sign_receipt(link, batch, pairs, plan, identities)
        _announce("written", batch)
        if conflicts:
            put_on_record(link, batch, conflicts)
            _announce("recorded", batch)
    link.arrived = batch.number
    totals.add(changes, plan, writer.tally)
    _announce("committed", batch)
    acknowledge(link, batch, pairs, plan, log.top, changes.last)
    _announce("acknowledged", batch)


def _replay_wholesale(link: Link, log: Log, batch: Batch, totals: Totals) -> bool:
    """Replay the batch, where it is plain enough; returns whether it was."""
    parcel = pack(link, log, batch)
    check_entries(batch)
    if parcel is None:
        return False
    _announce("read", batch)
    changes, plan = Changes(entries=parcel.entries, last=parcel.last), Plan()
    try:
        with writing(link):
            hold_receipt(link)
            tally = deliver(link, log, parcel)
            _announce("identified", batch)
            _announce("resolved", batch)
            sign_receipt(link, batch, {}, plan, Identities(link, Rows(link.local), {}))
            _announce("written", batch)
    except NotPlain:
        return False
    link.arrived = batch.number
    totals.add(changes, plan, tally)
    _announce("committed", batch)
    acknowledge(link, batch, {}, plan, log.top, parcel.last)
    _announce("acknowledged", batch)
    return True


def _natural_keys(changes: Changes) -> dict[tuple[type[Model], object], str]:
    return {place: change.natural_key for place, change in changes.rows.items() if change.natural_key}


def _announce(step: str, batch: Batch) -> None:
    signals.step.send(sender=synchronize, step=step, batch=batch.number)


@contextmanager
def writing(link: Link) -> Iterator[None]:
    """A transaction on REMOTE whose writes are not captured there."""
    side = link.remote
    try:
        with side.engine.strictly(side.connection):
            side.engine.before_read_committed(side.connection)
            with transaction.atomic(using=side.alias):
                side.engine.begin_writing(side.connection)
                with side.engine.capture_off(side.connection):
                    yield
    except IntegrityError as error:
        # What a server checks only at the commit; its own words may hold values.
        about = getattr(error.__cause__, "diag", None)
        raise Refused(
            _("REMOTE refuses the batch as a whole (%(cause)s). It was rolled back.")
            % {"cause": getattr(about, "constraint_name", None) or type(error).__name__}
        ) from error


@contextmanager
def reachable(link: Link) -> Iterator[None]:
    """Say in words that a database cannot be reached."""
    for side in (link.local, link.remote):
        try:
            side.connection.ensure_connection()
        except DatabaseError as error:
            raise NotReady(
                _("The database “%(alias)s” cannot be reached (%(cause)s).")
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


def _is_bound(connection: BaseDatabaseWrapper) -> bool:
    if connection.in_atomic_block:
        # As with atomic(durable=True): the transaction of a test case does not count.
        return not connection.atomic_blocks or not connection.atomic_blocks[0]._from_testcase  # type: ignore[attr-defined]
    return not connection.get_autocommit()


@contextmanager
def alone(link: Link) -> Iterator[None]:
    """One replayer at a time for LOCAL and this REMOTE."""
    # Some servers share lock names between their databases.
    name = f"{link.local.connection.settings_dict['NAME']} to {link.remote.alias}"
    with link.local.engine.lock(link.local.connection, name) as taken:
        if not taken:
            raise Busy(
                _("Another process is synchronizing to the database “%(alias)s”.")
                % {"alias": link.remote.alias}
            )
        yield


def _show(begun: datetime) -> None:
    """Move the checkpoint time that people see forward: what was logged before this run began has been looked at."""
    shown = options.last_check
    if shown is None or begun > aware(shown):
        with moved_by_a_run():
            options.last_check = begun


def synchronize_all(aliases: tuple[str, ...]) -> list[Report]:
    """
    Serve every REMOTE; one that fails holds back no other.

    Raises the error of a single REMOTE, or `Incomplete` once all of several have had their turn.
    """
    if not aliases:
        raise NotConfigured(_("No REMOTE database specified in settings: name one in SYNCHRO_REMOTE."))
    if len(aliases) == 1:
        return [synchronize(aliases[0])]
    reports: list[Report] = []
    errors: dict[str, SynchroError] = {}
    for alias in aliases:
        try:
            reports.append(synchronize(alias))
        except SynchroError as error:
            errors[alias] = error
    if errors:
        raise Incomplete(reports, errors)
    return reports
