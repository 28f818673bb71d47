"""Receipts and references: what each side writes down about a batch, in its own transaction."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.exceptions import NotReady, UnknownState
from synchro.keys import Key
from synchro.models import Batch, Checkpoint, Receipt
from synchro.replay.identify import Identities, keeps_references
from synchro.replay.link import Link
from synchro.replay.made import Pairs
from synchro.replay.originals import note_originals
from synchro.replay.outcome import Outcome
from synchro.replay.references import forget, remember
from synchro.replay.resolve import Plan


def hold_receipt(link: Link) -> None:
    """
    First thing in REMOTE's transaction: keep the receipt to ourselves, so that nobody else applies this batch.

    Raises `UnknownState` where somebody else has moved it on, and `NotReady` where a third node has come along.
    """
    if link.peer_there is None:
        return
    receipts = Receipt.objects.using(link.remote.alias)
    ours = receipts.select_for_update().filter(peer_id=link.peer_there.pk).order_by()
    receipt = ours.first()
    if receipt is None:
        receipts.get_or_create(peer_id=link.peer_there.pk)
        receipt = ours.get()
    if receipt.unlogged != link.unlogged:
        raise NotReady(
            _(
                "Another node has begun to exchange changes with the database “%(alias)s” meanwhile, so what goes "
                "there has to be passed on. Run synchronize again."
            )
            % {"alias": link.remote.alias}
        )
    if receipt.batch != link.arrived:
        raise UnknownState(
            _(
                "Another run has taken batch %(number)d to the database “%(alias)s” meanwhile. This one was rolled "
                "back: run synchronize again, by one process at a time."
            )
            % {"number": receipt.batch, "alias": link.remote.alias}
        )


def sign_receipt(link: Link, batch: Batch, pairs: Pairs, plan: Plan) -> None:
    """Last thing in REMOTE's transaction: its own view of the new pairs of keys, and the receipt itself."""
    if link.peer_there is None:
        return
    for model in plan.forgotten:
        if keeps_references(model):
            remote_keys = [
                remote for remote, local in plan.removals.get(model, {}).items() if local is not None
            ]
            forget(link.remote, link.peer_there.pk, model, remote_keys)
    for model, found in pairs.items():
        theirs = {there: here for here, there in found.items()}
        remember(link.remote, link.peer_there.pk, model, theirs, batch.number)
    if link.forwards:
        note_originals(link, pairs)
    # It is there: `hold_receipt` saw to that.
    Receipt.objects.using(link.remote.alias).filter(peer_id=link.peer_there.pk).update(
        batch=batch.number, token=batch.token, date=Receipt._meta.get_field("date").get_default()
    )


def acknowledge(link: Link, outcome: Outcome) -> None:
    """LOCAL's transaction afterwards: the same pairs from its side, and the checkpoint."""
    batch, last = outcome.batch, outcome.last
    with transaction.atomic(using=link.local.alias):
        link.local.engine.begin_writing(link.local.connection)
        checkpoints = Checkpoint.objects.using(link.local.alias).filter(peer_id=link.peer.pk)
        checkpoint = checkpoints.select_for_update().first()
        if checkpoint is not None and checkpoint.batch >= batch.number:
            return  # We were taken for dead, and another run has adopted all this, and may have gone on.
        for model, keys in outcome.forgotten.items():
            if keeps_references(model):
                forget(link.local, link.peer.pk, model, keys)
        for model, found in outcome.pairs.items():
            remember(link.local, link.peer.pk, model, found, batch.number)
        values: dict[str, Any] = {"batch": batch.number, "date": last} if last else {"batch": batch.number}
        checkpoints.update(**values)


def new_pairs(plan: Plan, identities: Identities) -> dict[type[Model], dict[Key, Key]]:
    """LOCAL's and REMOTE's keys of all objects that were identified and are not remembered yet."""
    found: dict[type[Model], dict[Key, Key]] = {}
    for model in identities.models():
        if keeps_references(model):
            gone = set(plan.forgotten.get(model, ()))
            pairs = {
                key: identity.remote
                for key, identity in identities.known(model).items()
                if identity.exists
                and not identity.is_remembered
                and key not in gone
                and identity.remote is not None
            }
            if pairs:
                found[model] = pairs
    return found
