"""
Compare what LOCAL believes to have arrived with REMOTE's receipt.

Where they contradict each other, one of both was restored from an older copy, or is a clone. A REMOTE that was restored
can be given again what came after its copy. What LOCAL lost, REMOTE has; so LOCAL is the one to be loaded anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from itertools import islice

from django.db import transaction
from django.utils.translation import gettext as _

from synchro.checkpoint import aware
from synchro.conf import LOCAL
from synchro.exceptions import NotReady, UnknownState
from synchro.models import Batch, Checkpoint, Node, Peer, Receipt, Reference
from synchro.replay.identity.identities import keeps_references
from synchro.replay.identity.originals import note_originals
from synchro.replay.identity.references import forget, remember
from synchro.replay.plan import Plan
from synchro.replay.session import Pairs, Session

#: How far a clock may have been set in the middle of a batch.
CLOCK_STEPS = timedelta(minutes=1)

_resending: ContextVar[bool] = ContextVar("synchro_resending", default=False)


@contextmanager
def resending() -> Iterator[None]:
    """Inside, a REMOTE that was restored from an older copy is given again what came after that copy."""
    token = _resending.set(True)
    try:
        yield
    finally:
        _resending.reset(token)


def compare(session: Session, local: Node, checkpoint: Checkpoint, receipt: Receipt | None) -> None:
    """Raise `UnknownState` where checkpoint and receipt contradict each other."""
    arrived = receipt.batch if receipt else 0
    if arrived > local.batch:
        raise local_is_older(session, arrived)
    if receipt is not None and is_of_another_batch(session, receipt, max(checkpoint.batch, local.forgotten)):
        raise local_is_older(session, arrived)
    if arrived < checkpoint.batch:
        _go_back(session, local, checkpoint, arrived)
    if local.pruned > max(arrived, local.forgotten):
        raise lost_to_pruning(session)


def is_of_another_batch(session: Session, receipt: Receipt, known: int) -> bool:
    """Whether the batch that arrived is not LOCAL's batch of that number; up to `known`, LOCAL knew of it."""
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
            "Entries that the database “%(alias)s” has not received have been pruned. Synchronize to the other "
            "databases of SYNCHRO_REMOTE first, and let “%(alias)s” send to LOCAL what was changed there alone: that "
            "would be lost. Then load it from a copy of LOCAL, call synchro.core.reset_synchro() there, and set "
            "options.last_check of LOCAL to a moment well before that copy was begun, so that nothing that was open "
            "then is missed."
        )
        % {"alias": session.remote.alias}
    )


def _go_back(session: Session, local: Node, checkpoint: Checkpoint, arrived: int) -> None:
    """REMOTE lacks what it once had. Where asked for, let LOCAL know, so that it is sent again."""
    names = {"alias": session.remote.alias, "arrived": arrived, "known": checkpoint.batch}
    kept = Batch.objects.using(LOCAL).filter(number__gt=arrived, number__lte=checkpoint.batch)
    # What was forgotten on purpose is not sent again.
    is_whole = kept.exclude(size=0).count() == checkpoint.batch - arrived and local.forgotten <= arrived
    if checkpoint.took_up > arrived:
        # Batches do not tell what they took up of what was set aside. What they set aside anew, their entries tell.
        raise UnknownState(
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
    if not is_whole:
        raise UnknownState(
            _(
                "The database “%(alias)s” has a receipt for batch %(arrived)d of this node, but batch %(known)d had "
                "arrived there: it was restored from an older copy, and not all that came after it can be sent again. "
                "Nothing was written. Restore it from a newer copy; or keep a copy of it, load it from one of LOCAL, "
                "call synchro.core.reset_synchro() there, on the loaded copy, before anything is changed in it, and "
                "make again what was changed there alone."
            )
            % names
        )
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
        _believe_references(session)
        checkpoint.batch = arrived
        checkpoint.save(using=LOCAL, update_fields=["batch"])
    session.warn(
        _(
            "The database “%(alias)s” was restored from an older copy: the batches after %(arrived)d are sent again."
        )
        % names
    )


def _believe_references(session: Session) -> None:
    """Take REMOTE's references in place of LOCAL's: since its copy was made, its keys may mean other rows."""
    assert session.peer_on_remote is not None
    own = Reference.objects.using(LOCAL).filter(peer_id=session.peer.pk)
    own._raw_delete(LOCAL)
    views = (
        Reference.objects.using(session.remote.alias)
        .filter(peer_id=session.peer_on_remote.pk)
        .order_by("-batch", "-id")
    )
    rows = _mirrored(session, session.peer, views.iterator(chunk_size=5000))
    while part := list(islice(rows, 5000)):
        Reference.objects.using(LOCAL).bulk_create(part, ignore_conflicts=True)  # the newest counts


def _mirrored(session: Session, peer: Peer, views: Iterator[Reference]) -> Iterator[Reference]:
    types: dict[int, int | None] = {}
    for view in views:
        kind = view.content_type_id
        if kind not in types:
            model = session.remote.model_of(kind)
            types[kind] = None if model is None else session.local.content_type_id(model)
        here = types[kind]
        if here is not None:
            yield Reference(
                peer_id=peer.pk,
                content_type_id=here,
                local_object_id=view.remote_object_id,
                remote_object_id=view.local_object_id,
                batch=view.batch,
            )


def lock_receipt(session: Session) -> None:
    """
    First thing in REMOTE's transaction: keep the receipt to ourselves, so that nobody else applies this batch.

    Raises `UnknownState` where somebody else has moved it on, and `NotReady` where a third node has come along.
    """
    if session.peer_on_remote is None:
        return
    receipts = Receipt.objects.using(session.remote.alias)
    ours = receipts.select_for_update().filter(peer_id=session.peer_on_remote.pk).order_by()
    receipt = ours.first()
    if receipt is None:
        receipts.get_or_create(peer_id=session.peer_on_remote.pk)
        receipt = ours.get()
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
    """Last thing in REMOTE's transaction: its own view of the new pairs of keys, and the receipt itself."""
    if session.peer_on_remote is None:
        return
    for model in plan.obsolete_references:
        if keeps_references(model):
            remote_keys = [
                remote for remote, local in plan.deletions.get(model, {}).items() if local is not None
            ]
            forget(session.remote, session.peer_on_remote.pk, model, remote_keys)
    for model, found in pairs.items():
        theirs = {there: here for here, there in found.items()}
        remember(session.remote, session.peer_on_remote.pk, model, theirs, batch.number)
    if session.forwards:
        note_originals(session, pairs)
    # It is there: `lock_receipt` saw to that.
    Receipt.objects.using(session.remote.alias).filter(peer_id=session.peer_on_remote.pk).update(
        batch=batch.number, token=batch.token, date=Receipt._meta.get_field("date").get_default()
    )
