"""Apply one batch: from LOCAL's rows to REMOTE's, and what is done when an error stops it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias, TypeVar

from django.db import IntegrityError, OperationalError, transaction
from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.exceptions import NotReady, Refused, Undecided
from synchro.keys import Key, to_text
from synchro.last_check import aware
from synchro.models import Batch
from synchro.relations import parents_first
from synchro.replay.apply.altered import refuse_altered
from synchro.replay.apply.attempts import Strategy
from synchro.replay.apply.bulk.eligible import NotBulk
from synchro.replay.apply.bulk.entries import NOTHING, bulk_part, grouped
from synchro.replay.apply.load.source import LoadSource
from synchro.replay.apply.load.straight import load_straight
from synchro.replay.apply.material import Material, gather
from synchro.replay.apply.spelling import follow_respelled
from synchro.replay.apply.writer import Writer
from synchro.replay.checkpoint import Outcome, new_pairs
from synchro.replay.conflicts.cascades import resolve_cascades
from synchro.replay.conflicts.former_pairs import resolve_former_pairs
from synchro.replay.conflicts.members import resolve_members
from synchro.replay.conflicts.merge import Merging, begin_merging, merge_on_local
from synchro.replay.conflicts.orphans import resolve_orphans
from synchro.replay.conflicts.record import conflicts_of, put_on_record
from synchro.replay.conflicts.resolve import resolve
from synchro.replay.identity.deleted import forget_lost, note_births, refuse_unnamed
from synchro.replay.identity.identities import Identities
from synchro.replay.identity.successors import keep_taken_over, replace_deleted
from synchro.replay.log.changes import Changes, Entry
from synchro.replay.log.loads import load_part_of
from synchro.replay.log.ranges import Range
from synchro.replay.log.remote_log import Overtaken, RemoteLog
from synchro.replay.log.unread import postpone
from synchro.replay.nodes.forward import Forward, drop_known
from synchro.replay.parents import Vanished
from synchro.replay.plan import Plan, Prerequisites, Tally
from synchro.replay.quarantine.dependents import leave_out
from synchro.replay.quarantine.diagnosis import refuse_lost
from synchro.replay.quarantine.store import Quarantine
from synchro.replay.receipts import write_receipt
from synchro.replay.rows import Rows
from synchro.replay.session import Database, Session
from synchro.replay.signals import announce
from synchro.replay.unreadable import refuse_unreadable
from synchro.replay.work import BatchWork

#: How often a batch is tried again because LOCAL's rows changed while they were read.
ATTEMPTS = 5
#: How often it begins anew without a model that cannot go in bulk. After that none does.
ROUNDS = 3

T = TypeVar("T")
#: To be called within REMOTE's transaction when all is written.
Finish: TypeAlias = Callable[[Outcome], None]
#: The transaction of REMOTE, or the part of it, that a batch is written in.
Within: TypeAlias = Callable[[], AbstractContextManager[Finish]]


def attempt(
    session: Session,
    log: RemoteLog,
    batch: Batch,
    ids: Sequence[Range],
    within: Within,
    strategy: Strategy,
    chosen: Collection[Key] | None = None,
) -> Outcome:
    """
    Bring to REMOTE the rows that these entries name, and return what became of them: plain models in bulk; where one
    turns out not to be plain, the batch begins anew with the rows of that model by themselves.

    Of a batch of a load, that is the rows of its part, or the `chosen` ones of them.
    """
    is_free = strategy.is_free and not session.forwards
    part = load_part_of(session, batch)
    if part is not None and chosen is None and is_free:
        outcome = load_straight(session, log, batch, part, within, strategy)
        if outcome is not None:
            return outcome
    loaded = LoadSource(session, batch, part, chosen) if part is not None else None
    groups = grouped(session.local, ids) if is_free else []
    excluded: set[type[Model]] = set()
    rounds = 0
    while True:
        log.note_received()
        if loaded is not None:
            bulk = loaded.bulk(log, excluded) if is_free and not ids else NOTHING
        else:
            bulk = bulk_part(session, log, ids, groups if rounds < ROUNDS else [], excluded)
        material = gather(session, log, batch, ids, bulk, strategy, loaded)
        try:
            with within() as finish:
                outcome = apply_batch(session, log, batch, material, strategy)
                if not bulk.named:
                    log.refuse_overtaken()
                finish(outcome)
        except NotBulk as error:
            excluded |= error.models
            rounds += 1
        else:
            return outcome


def apply_batch(
    session: Session, log: RemoteLog, batch: Batch, material: Material, strategy: Strategy
) -> Outcome:
    """Within REMOTE's transaction: find out what is to be written, write it, and sign for it."""
    changes, bulk = material.changes, material.bulk
    identities, new = _identify(session, log, batch, material, strategy)
    announce("identified", batch)
    work = BatchWork(session, batch, log, changes, material.rows, Rows(session.remote), identities)
    plan = work.plan
    _decide(work, material, strategy)
    left_out = leave_out(work, strategy.refused(plan), material.resting)
    conflicts = conflicts_of(work)
    announce("resolved", batch)
    tally = _write(work, material, strategy, new)
    pairs = new_pairs(plan, identities)
    write_receipt(session, batch, pairs, plan)
    announce("written", batch)
    return Outcome(
        batch=batch,
        entries=changes.entries + bulk.entries,
        last=max((date for date in (changes.last, bulk.last) if date is not None), key=aware, default=None),
        forgotten=plan.obsolete_references,
        pairs=pairs,
        conflicts=conflicts,
        recorded=plan.recorded_before,
        tally=tally,
        kept={model: len(keys) for model, keys in plan.remote_wins.items()},
        quarantine=strategy.quarantine.update_by(changes, left_out),
        unread=material.unread,
        loaded=material.loaded,
    )


def _identify(
    session: Session, log: RemoteLog, batch: Batch, material: Material, strategy: Strategy
) -> tuple[Identities, Sequence[Entry]]:
    """Find REMOTE's row of each object; also return the entries that REMOTE's log does not have, where it gets them."""
    changes, rows = material.changes, material.rows
    follow_respelled(session, changes, rows)
    naturals = strategy.quarantine.natural_keys() | _natural_keys(changes)
    identities = Identities(session, rows, naturals, strategy.unidentified, strategy.quarantine.all())
    by_model = changes.by_model()
    for model in parents_first(by_model):  # a natural key may lead through a parent
        identities.find(model, by_model[model], lock=True)
    forget_lost(session, by_model, rows, identities)
    new = [] if material.received is None else _new_to_remote(session, log, material, identities, strategy)
    note_births(session, batch, changes, identities)
    refuse_unnamed(session, batch, changes, identities)
    return identities, new


def _decide(work: BatchWork, material: Material, strategy: Strategy) -> None:
    """Complete the plan: what is written and deleted, and who wins where REMOTE has changed an object as well."""
    session, changes, rows, plan = work.session, work.changes, work.local_rows, work.plan
    replaced = replace_deleted(session, changes, rows, work.identities)
    plan.bulk = {model: named.all_keys() for model, named in material.bulk.named.items()}
    resolve(work, replaced)
    resolve_former_pairs(work)
    left = strategy.refused(plan).keys() | set(material.resting)
    for model, faults in rows.unreadable.items():
        refuse_unreadable(
            model, faults, [key for key in plan.writes.get(model, {}) if (model, key) not in left]
        )
    begin_merging(work)
    resolve_cascades(work)
    resolve_members(work)
    resolve_orphans(work)
    keep_taken_over(plan, rows, work.identities)
    _refuse_both_ways(changes, plan)


def _write(work: BatchWork, material: Material, strategy: Strategy, new: Sequence[Entry]) -> Tally:
    """Write what the plan says; return how many rows that were."""
    session, plan, identities = work.session, work.plan, work.identities
    if strategy.is_thorough:
        session.remote.backend.check_uniques_at_once([model._meta.db_table for model in plan.writes])
    forward = None
    if session.forwards:
        forward = Forward(work, new, strategy.quarantine.all(), material.resting)
    writer = Writer(
        session, work.log, plan, work.local_rows, identities, strategy.diagnosis, material.bulk.named
    )
    writer.write()
    if changed := material.bulk.with_news(work.log):
        raise NotBulk(*changed)  # before they were locked, which is done by writing them
    refuse_altered(session, plan, work.local_rows, identities)
    if strategy.is_thorough:
        refuse_lost(session, plan, identities)
    if forward is not None:
        forward.write()
    return writer.tally


def _new_to_remote(
    session: Session, log: RemoteLog, material: Material, identities: Identities, strategy: Strategy
) -> list[Entry]:
    """The entries of the batch that REMOTE does not have by another way; the changes of the others are dropped."""
    received = material.received
    if received is None or not received.entries:
        return []
    own = strategy.also | strategy.quarantine.all()
    floor = log.floor(min(aware(entry.date) for entry in received.entries))
    return drop_known(session, received, material.changes, identities, floor, own)


def _refuse_both_ways(changes: Changes, plan: Plan) -> None:
    """Raise `NotBulk` for models of which some rows would go in bulk, and others object by object."""
    others = (plan.writes, plan.deletions, plan.obsolete_references, plan.remote_wins)
    sets = {each.through for each in changes.sets}
    found = [model for model in plan.bulk if model in sets or any(several.get(model) for several in others)]
    if found:
        raise NotBulk(*found)


def keep_record(session: Session, quarantine: Quarantine, outcome: Outcome) -> None:
    """Last thing before REMOTE's transaction ends."""
    postpone(outcome.unread)
    if outcome.conflicts:
        put_on_record(session, outcome.batch, outcome.conflicts)
    if quarantine.write(outcome.batch, outcome.quarantine) or outcome.conflicts:
        announce("recorded", outcome.batch)


def merging(session: Session, batch: Batch, attempt: Callable[[], T]) -> T:
    """What `attempt` returns, once LOCAL has the values that were to be merged; `batch` is the one it is about."""
    times = Counter[tuple[type[Model], Key]]()
    while True:
        try:
            return attempt()
        except Merging as error:
            times.update((merge.model, merge.key) for merge in error.merges)
            if max(times.values()) == ATTEMPTS:
                raise _never_at_rest(error) from error
            merge_on_local(session, error)
            session.state.merged = True
            announce("merged", batch)


def undisturbed(session: Session, attempt: Callable[[], T]) -> T:
    """What `attempt` returns; it is tried again where REMOTE sent and dropped changes meanwhile."""
    for _attempt in range(ATTEMPTS):
        try:
            return attempt()
        except Overtaken as error:
            session.state.pruned = error.pruned
    raise NotReady(
        _(
            "The database “%(alias)s” sends changes to LOCAL, and drops them from its log, again and again while a "
            "batch is on its way there. The batch was rolled back. Set SYNCHRO_RETENTION there to a longer time than a "
            "batch takes, and run synchronize again."
        )
        % {"alias": session.remote.alias}
    )


def retry_refused(strategy: Strategy, attempt: Callable[[Strategy], Outcome]) -> Outcome:
    """What `attempt` returns; it is tried again where others, or its own rows, were in its way."""
    vanished = 0
    while True:
        try:
            return attempt(strategy)
        except Vanished as error:
            # A row that LOCAL lost while its children were being read has an entry of its own by now.
            vanished += 1
            if vanished >= ATTEMPTS:
                strategy.learn(Refused(str(error), error.culprits))
        except Prerequisites as error:
            columns = set(error.columns.items())
            if error.row_ids <= strategy.also and columns <= strategy.columns:
                strategy.learn(Refused(str(error)))
            strategy.columns |= columns
            strategy.also |= (
                error.row_ids
            )  # with each round more objects are in the batch, so there is an end
        except (Refused, IntegrityError) as error:
            strategy.learn(error)


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


@contextmanager
def writing(session: Session) -> Iterator[None]:
    """A transaction on REMOTE whose writes are not captured there."""
    remote = session.remote
    try:
        with remote.backend.strictly():
            remote.backend.before_read_committed()
            with transaction.atomic(using=remote.alias):
                remote.backend.begin_writing()
                with remote.backend.capture_off():
                    yield
    except OperationalError as error:
        if remote.backend.is_full(error):
            raise _no_room(remote) from error
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


def _no_room(remote: Database) -> NotReady:
    return NotReady(
        _(
            "The disk of the database “%(alias)s” is full. The batch was rolled back, and what came before it stays; "
            "make room there and run synchronize again."
        )
        % {"alias": remote.alias}
    )
