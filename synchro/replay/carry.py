"""Carry: one batch from LOCAL's rows to REMOTE's, and what is done where something comes in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from django.db import IntegrityError, OperationalError, transaction
from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.checkpoint import aware
from synchro.exceptions import NotReady, Refused, Undecided
from synchro.keys import Key, to_text
from synchro.models import Batch
from synchro.replay import signals
from synchro.replay.acknowledge import new_pairs, sign_receipt
from synchro.replay.altered import refuse_altered
from synchro.replay.aside import Note
from synchro.replay.births import note_births
from synchro.replay.coalesce import Changes, Entry, coalesce
from synchro.replay.dependants import Place, leave_out
from synchro.replay.disputes import describe_disputes
from synchro.replay.entangled import Entangled, pending_entries
from synchro.replay.form import check_entries
from synchro.replay.former_sets import name_rows
from synchro.replay.forward import Forward, drop_known
from synchro.replay.heard import Heard, listen
from synchro.replay.identify import Identities
from synchro.replay.link import Link, Side
from synchro.replay.log import Log
from synchro.replay.logged import entries_of
from synchro.replay.lost import forget_lost
from synchro.replay.merge import Merging, hold_for_merging, merge_on_local
from synchro.replay.narrow import look_at_columns
from synchro.replay.order import parents_first
from synchro.replay.orphans import complete
from synchro.replay.outcome import Outcome
from synchro.replay.parcel import NotPlain, Parcel, pack
from synchro.replay.parents import Vanished
from synchro.replay.passing import read
from synchro.replay.postpone import postpone
from synchro.replay.ranges import Range
from synchro.replay.read import Rows
from synchro.replay.record import Records, describe, describe_losses, put_on_record
from synchro.replay.resolve import resolve
from synchro.replay.sets import expand
from synchro.replay.sift import refuse_lost
from synchro.replay.spare import spare
from synchro.replay.spelling import follow_respelled
from synchro.replay.successors import keep_taken_over, replace_deleted
from synchro.replay.trial import Trial
from synchro.replay.unread import Unread
from synchro.replay.unreadable import refuse_unreadable
from synchro.replay.wholesale import deliver
from synchro.replay.write import Writer

#: How often a batch is tried again because LOCAL's rows changed while they were read.
ATTEMPTS = 5

T = TypeVar("T")
#: To be called within REMOTE's transaction when all is written.
Finish: TypeAlias = Callable[[Outcome], None]
#: The transaction of REMOTE, or the part of it, that a batch is written in.
Within: TypeAlias = Callable[[], AbstractContextManager[Finish]]


@dataclass(frozen=True)
class Material:
    """What LOCAL has to say about a batch."""

    changes: Changes
    rows: Rows
    #: What is set aside and is not to be tried with this batch.
    resting: Collection[Place]
    #: Entries of models that this process does not watch.
    unread: Unread
    #: What is to be passed on by REMOTE; None where REMOTE passes nothing on.
    heard: Heard | None


def attempt(
    link: Link, log: Log, batch: Batch, ids: Sequence[Range], trial: Trial, within: Within
) -> Outcome:
    """Bring to REMOTE the rows that these entries name: wholesale if they are plain, else the usual way."""
    log.note_received()
    parcel = pack(link, log, ids) if trial.is_free and not link.forwards else None
    check_entries(batch)
    if parcel is not None:
        announce("read", batch)
        with suppress(NotPlain), within() as finish:
            outcome = carry_parcel(link, log, batch, parcel)
            finish(outcome)
            return outcome
    material = gather(link, log, batch, ids, trial)
    with within() as finish:
        outcome = carry(link, log, batch, material, trial)
        finish(outcome)
    return outcome


def gather(link: Link, log: Log, batch: Batch, ids: Sequence[Range], trial: Trial) -> Material:
    """What LOCAL has to say: the entries with these ids, and the rows that they name."""
    unread = Unread()
    heard = listen(link, ids, unread) if link.forwards else None
    changes = coalesce(entries_of(link.local, ids, unread) if heard is None else heard.entries)
    name_rows(link, changes)
    for place in [place for place in changes.rows if place[0] in link.left_out]:
        del changes.rows[place]
    check_entries(batch)
    resting = trial.join(changes)
    if trial.also:
        changes.take_along(trial.also, coalesce(pending_entries(link, trial.also)), link.begun)
    log.note_received()
    log.note_signs(frozenset() if heard is None else heard.signs)
    rows = Rows(link.local)
    by_model = changes.by_model()
    look_at_columns(link.remote, by_model)
    for model, keys in by_model.items():
        read(link, rows, model, keys)
    announce("read", batch)
    return Material(changes, rows, resting, unread, heard)


def carry(link: Link, log: Log, batch: Batch, material: Material, trial: Trial) -> Outcome:
    """Within REMOTE's transaction: find out what is to be written, write it, and sign for it."""
    changes, rows = material.changes, material.rows
    follow_respelled(link, changes, rows)
    naturals = trial.aside.natural_keys() | _natural_keys(changes)
    identities = Identities(link, rows, naturals, trial.unidentified)
    by_model = changes.by_model()
    for model in parents_first(by_model):  # a natural key may lead through a parent
        identities.find(model, by_model[model], lock=True)
    forget_lost(link, by_model, rows, identities)
    new = [] if material.heard is None else _new_to_remote(link, log, material, identities, trial)
    note_births(link, batch, changes, identities)
    announce("identified", batch)
    there = Rows(link.remote)
    records = Records(link, batch)
    replaced = replace_deleted(link, changes, rows, identities)
    plan = resolve(link, log, changes, rows, there, identities, records, replaced)
    left = trial.refused(plan).keys() | set(material.resting)
    for model, faults in rows.unreadable.items():
        refuse_unreadable(
            model, faults, [key for key in plan.puts.get(model, {}) if (model, key) not in left]
        )
    hold_for_merging(link, batch, plan.merges, rows, there)
    spare(link, log, changes, plan, rows, identities, records)
    expand(link, log, changes, identities, plan)
    complete(link, log, changes, plan, rows, identities, records)
    keep_taken_over(plan, rows, identities)
    left_out = leave_out(link, plan, rows, identities, trial.refused(plan), material.resting)
    conflicts = describe(link, batch, plan.conflicts, rows, there)
    conflicts += [*describe_disputes(link, batch, plan), *describe_losses(link, batch, plan.losses, there)]
    announce("resolved", batch)
    if trial.is_thorough:
        link.remote.engine.check_uniques_at_once(
            link.remote.connection, [model._meta.db_table for model in plan.puts]
        )
    forward = Forward(link, changes, plan, identities, new, material.resting) if link.forwards else None
    writer = Writer(link, log, plan, rows, identities, trial.judge)
    writer.write()
    refuse_altered(link, plan, rows, identities)
    if trial.is_thorough:
        refuse_lost(link, plan, identities)
    if forward is not None:
        forward.write(batch.number)
    pairs = new_pairs(plan, identities)
    sign_receipt(link, batch, pairs, plan)
    announce("written", batch)
    return Outcome(
        batch=batch,
        entries=changes.entries,
        last=changes.last,
        forgotten=plan.forgotten,
        pairs=pairs,
        conflicts=conflicts,
        recorded=plan.recorded,
        tally=writer.tally,
        kept={model: len(keys) for model, keys in plan.kept.items()},
        note=trial.aside.note(changes, left_out),
        unread=material.unread,
    )


def _new_to_remote(
    link: Link, log: Log, material: Material, identities: Identities, trial: Trial
) -> list[Entry]:
    """The entries of the batch that REMOTE does not have by another way; the changes of the others are dropped."""
    heard = material.heard
    if heard is None or not heard.entries:
        return []
    own = trial.also | trial.aside.all()
    floor = log.floor(min(aware(entry.date) for entry in heard.entries))
    return drop_known(link, heard, material.changes, identities, floor, own)


def carry_parcel(link: Link, log: Log, batch: Batch, parcel: Parcel) -> Outcome:
    """
    The same for a batch that is plain enough.

    Raises `NotPlain` where it turns out not to be.
    """
    delivered = deliver(link, log, parcel)
    announce("identified", batch)
    announce("resolved", batch)
    sign_receipt(link, batch, delivered.pairs, delivered.plan)
    announce("written", batch)
    return Outcome(
        batch=batch,
        entries=parcel.entries,
        last=parcel.last,
        forgotten=delivered.plan.forgotten,
        pairs=delivered.pairs,
        conflicts=(),
        recorded=0,
        tally=delivered.tally,
        kept={},
        note=Note(),
    )


def keep_record(link: Link, outcome: Outcome) -> None:
    """Last thing before REMOTE's transaction ends."""
    postpone(outcome.unread)
    if outcome.conflicts:
        put_on_record(link, outcome.batch, outcome.conflicts)
    if link.aside.write(outcome.batch, outcome.note) or outcome.conflicts:
        announce("recorded", outcome.batch)


def merging(link: Link, batch: Batch, attempt: Callable[[], T]) -> T:
    """What `attempt` returns, once LOCAL has the values that were to be merged; `batch` is the one it is about."""
    times = Counter[tuple[type[Model], Key]]()
    while True:
        try:
            return attempt()
        except Merging as error:
            times.update((merge.model, merge.key) for merge in error.merges)
            if max(times.values()) == ATTEMPTS:
                raise _never_at_rest(error) from error
            merge_on_local(link, error)
            link.merged = True
            announce("merged", batch)


def insisting(trial: Trial, attempt: Callable[[Trial], Outcome]) -> Outcome:
    """What `attempt` returns; it is tried again where others, or its own rows, were in its way."""
    vanished = 0
    while True:
        try:
            return attempt(trial)
        except Vanished as error:
            # A row that LOCAL lost while its children were being read has an entry of its own by now.
            vanished += 1
            if vanished >= ATTEMPTS:
                trial.learn(Refused(str(error), error.culprits))
        except Entangled as error:
            if error.places <= trial.also:
                trial.learn(Refused(str(error)))
            trial.also |= error.places  # with each round more objects are in the batch, so there is an end
        except (Refused, IntegrityError) as error:
            trial.learn(error)


def _never_at_rest(merging: Merging) -> Undecided:
    merge = merging.merges[0]
    return Undecided(
        _(
            "%(model)s %(key)s: it was changed again and again while its values were to be merged. Run synchronize "
            "again."
        )
        % {"model": merge.model._meta.label, "key": to_text(merge.model, merge.key)}
    )


def _natural_keys(changes: Changes) -> dict[tuple[type[Model], object], str]:
    return {place: change.natural_key for place, change in changes.rows.items() if change.natural_key}


def announce(step: str, batch: Batch) -> None:
    signals.step.send(sender=announce, step=step, batch=batch.number)


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
    except OperationalError as error:
        if side.engine.is_full(error):
            raise _no_room(side) from error
        raise
    except IntegrityError as error:
        # What a server checks only at the commit; its own words may hold values.
        about = getattr(error.__cause__, "diag", None)
        raise Refused(
            _(
                "REMOTE refuses the batch as a whole (%(cause)s). It was rolled back. Look for the rows that this "
                "constraint of REMOTE is about, correct them on LOCAL, and synchronize again."
            )
            % {"cause": getattr(about, "constraint_name", None) or type(error).__name__}
        ) from error


def _no_room(side: Side) -> NotReady:
    return NotReady(
        _(
            "The disk of the database “%(alias)s” is full. The batch was rolled back, and what came before it stays; "
            "make room there and run synchronize again."
        )
        % {"alias": side.alias}
    )
