"""
Receipts: what REMOTE keeps about the last batch, written in that batch's own transaction.

Where receipt and checkpoint contradict each other, one database was restored from an older copy, or is a clone. To a
REMOTE that was restored, the batches after its copy can be sent again. What LOCAL lost, REMOTE has; so LOCAL is the one
to be loaded anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from synchro.conf import LOCAL
from synchro.exceptions import NotReady, UnknownState
from synchro.key_ranges import KeyRange
from synchro.last_check import aware
from synchro.models import Batch, Checkpoint, Node, Receipt, Reference
from synchro.references import store, stored
from synchro.replay.identity.models import keeps_references
from synchro.replay.identity.originals import note_originals
from synchro.replay.identity.references import forget, remember
from synchro.replay.plan import Plan
from synchro.replay.session import Pairs, Session

#: How far a clock may have been set in the middle of a batch.
CLOCK_STEPS = timedelta(minutes=1)
#: How many references are written at once.
AT_ONCE = 5000

_resending: ContextVar[bool] = ContextVar("synchro_resending", default=False)


@contextmanager
def resending() -> Iterator[None]:
    """Inside, the batches that a REMOTE lost, since it was restored from an older copy, are sent to it again."""
    token = _resending.set(True)
    try:
        yield
    finally:
        _resending.reset(token)


def compare(session: Session, node: Node, checkpoint: Checkpoint, receipt: Receipt) -> None:
    """Raise `UnknownState` where LOCAL's checkpoint and REMOTE's receipt contradict each other; `node` is LOCAL's."""
    arrived, known = receipt.batch, max(checkpoint.batch, node.forgotten)
    if arrived > node.batch or is_of_another_batch(session, receipt, known):
        raise local_is_older(session, arrived)
    if arrived < checkpoint.batch:
        _go_back(session, node, checkpoint, arrived)
    if node.pruned > max(arrived, node.forgotten):
        raise lost_to_pruning(session)


def is_of_another_batch(session: Session, receipt: Receipt, known: int) -> bool:
    """Return whether the batch that arrived is not LOCAL's batch of that number; up to `known`, LOCAL knew of it."""
    batch = Batch.objects.using(LOCAL).filter(number=receipt.batch).first()
    if batch is None:
        return False
    # An earlier release, which signs without a token, leaves that of an earlier batch.
    if batch.token and receipt.token.startswith(f"{receipt.batch}-"):
        return batch.token != receipt.token
    # One of them is from before there were tokens. A batch that was formed after its receipt was signed is another.
    return receipt.batch > known and aware(batch.formed) + session.offset > aware(receipt.date) + CLOCK_STEPS


def local_is_older(session: Session, arrived: int) -> UnknownState:
    return UnknownState(
        _(
            "The database “%(alias)s” has a receipt for a batch %(arrived)d that LOCAL did not form: LOCAL was "
            "restored from an older copy, or another copy of it has been synchronized. So “%(alias)s” has changes that "
            "LOCAL has not. Nothing was written. Keep a copy of both, load LOCAL from a copy of “%(alias)s” "
            "(docs/office.md), and make again what was changed on LOCAL alone."
        )
        % {"alias": session.remote.alias, "arrived": arrived}
    )


def lost_to_pruning(session: Session) -> UnknownState:
    return UnknownState(
        _(
            "Entries that the database “%(alias)s” has not received have been pruned. Nothing was written. Let "
            "“%(alias)s” send to LOCAL what was changed there alone: that would be lost. Then load it from a copy of "
            "LOCAL that is made now, call synchro.core.reset_synchro(is_copy=True) there before anything is changed in "
            "it, and synchronize again."
        )
        % {"alias": session.remote.alias}
    )


def _go_back(session: Session, node: Node, checkpoint: Checkpoint, arrived: int) -> None:
    """
    Set the checkpoint back to what REMOTE has, so that the batches after it are sent again.

    Raises `UnknownState` where that is not asked for, or not possible.
    """
    names = {"alias": session.remote.alias, "arrived": arrived, "known": checkpoint.batch}
    if checkpoint.took_up > arrived or not _has_all_batches(node, checkpoint, arrived):
        raise _cannot_send_again(names, checkpoint.took_up > arrived)
    if not _resending.get():
        raise UnknownState(
            _(
                "The database “%(alias)s” has a receipt for batch %(arrived)d of this node, but batch %(known)d had "
                "arrived there: it was restored from an older copy, or is another copy of the one that was known. "
                "Nothing was written. If it is the right one, “manage.py synchronize --resend” sends the batches "
                "after %(arrived)d again; nothing is lost or doubled by that."
            )
            % names
        )
    with transaction.atomic(using=LOCAL):
        _take_remote_references(session)
        checkpoint.batch = arrived
        checkpoint.save(using=LOCAL, update_fields=["batch"])
    session.warn(
        _(
            "The database “%(alias)s” was restored from an older copy: the batches after %(arrived)d are sent again."
        )
        % names
    )


def _has_all_batches(node: Node, checkpoint: Checkpoint, arrived: int) -> bool:
    """Return whether all batches after `arrived` are kept, and none of them was forgotten on purpose."""
    kept = Batch.objects.using(LOCAL).filter(number__gt=arrived, number__lte=checkpoint.batch)
    # Of what was taken up from the quarantine there is nothing to send again; a part of a load is there to be read.
    return kept.exclude(size=0, part=None).count() == checkpoint.batch - arrived and node.forgotten <= arrived


def _cannot_send_again(names: dict[str, object], took_up: bool) -> UnknownState:
    """
    Return the error about a restored REMOTE; with `took_up`, changes from the quarantine have arrived since its copy.

    Batches do not tell what they took up from the quarantine. What they set aside anew, their entries tell.
    """
    if took_up:
        return UnknownState(
            _(
                "The database “%(alias)s” has a receipt for batch %(arrived)d of this node, but batch %(known)d had "
                "arrived there: it was restored from an older copy. The batches after %(arrived)d cannot be sent "
                "again, nor if SYNCHRO_ON_ERROR is changed now: changes that were set aside and arrived later are in "
                "none of them. Nothing was written. Restore it from a newer copy; or keep a copy of it, load it from "
                "one of LOCAL, call synchro.core.reset_synchro() there, on the loaded copy, before anything is "
                "changed in it, and make again what was changed there alone."
            )
            % names
        )
    return UnknownState(
        _(
            "The database “%(alias)s” has a receipt for batch %(arrived)d of this node, but batch %(known)d had "
            "arrived there: it was restored from an older copy, and not all that came after it can be sent again. "
            "Nothing was written. Restore it from a newer copy; or keep a copy of it, load it from one of LOCAL, "
            "call synchro.core.reset_synchro() there, on the loaded copy, before anything is changed in it, and "
            "make again what was changed there alone."
        )
        % names
    )


def _take_remote_references(session: Session) -> None:
    """Take REMOTE's references in place of LOCAL's: since its copy was made, its keys may mean other rows."""
    with transaction.atomic(using=LOCAL):
        Reference.objects.using(LOCAL).filter(peer_id=session.peer.pk)._raw_delete(LOCAL)
        store(LOCAL, session.peer.pk, remote_references(session))


def remote_references(session: Session, batches: Q = Q()) -> Iterator[tuple[int, KeyRange]]:  # noqa: B008  no list
    """Yield REMOTE's references as LOCAL sees them, the oldest first, with LOCAL's content types; or of `batches`."""
    assert session.peer_on_remote is not None
    types: dict[int, int | None] = {}
    for row, each in stored(session.remote.alias, [session.peer_on_remote.pk], batches):
        remote_type = row.content_type_id
        if remote_type not in types:
            model = session.remote.model_of(remote_type)
            types[remote_type] = None if model is None else session.local.content_type_id(model)
        local_type = types[remote_type]
        if local_type is not None:
            yield local_type, each.turned()


def lock_receipt(session: Session) -> None:
    """
    Lock the receipt, first thing in REMOTE's transaction, so that nobody else applies this batch.

    Raises `UnknownState` where another run has moved it on, and `NotReady` where a third node has come along.
    """
    if session.peer_on_remote is None:
        return
    receipts = Receipt.objects.using(session.remote.alias)
    own = receipts.select_for_update().filter(peer_id=session.peer_on_remote.pk).order_by()
    receipt = own.first()
    if receipt is None:
        receipts.get_or_create(peer_id=session.peer_on_remote.pk)
        receipt = own.get()
    if receipt.unlogged != session.unlogged:
        raise NotReady(
            _(
                "Another node has begun to exchange changes with the database “%(alias)s” meanwhile, so what goes "
                "there has to be passed on. Run synchronize again."
            )
            % {"alias": session.remote.alias}
        )
    if receipt.batch != session.state.arrived:
        raise UnknownState(
            _(
                "Another run has taken batch %(number)d to the database “%(alias)s” meanwhile. This one was rolled "
                "back: run synchronize again, by one process at a time."
            )
            % {"number": receipt.batch, "alias": session.remote.alias}
        )


def write_receipt(session: Session, batch: Batch, pairs: Pairs, plan: Plan) -> None:
    """Write REMOTE's view of the new pairs of keys, and the receipt: the last thing in REMOTE's transaction."""
    if session.peer_on_remote is None:
        return
    for model in plan.obsolete_references:
        if keeps_references(model):
            remote_keys = [
                remote for remote, local in plan.deletions.get(model, {}).items() if local is not None
            ]
            forget(session.remote, session.peer_on_remote.pk, model, remote_keys)
    for model, found in pairs.items():
        swapped = {remote: local for local, remote in found.items()}
        remember(session.remote, session.peer_on_remote.pk, model, swapped, batch.number)
    if session.forwards:
        note_originals(session, pairs)
    # It is there: `lock_receipt` saw to that.
    Receipt.objects.using(session.remote.alias).filter(peer_id=session.peer_on_remote.pk).update(
        batch=batch.number, token=batch.token, date=Receipt._meta.get_field("date").get_default()
    )
