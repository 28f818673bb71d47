"""Receipts and references: what each side writes down about a batch, in its own transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Model

from synchro.conf import LOCAL
from synchro.keys import Key, key_fields
from synchro.models import DELETION, Batch, Checkpoint, Conflict, Reference
from synchro.replay.identity.identities import Identities, existing, keeps_references
from synchro.replay.identity.references import forget, local_keys_there, remember, remote_keys
from synchro.replay.log.entries import entries_of
from synchro.replay.log.ranges import from_text
from synchro.replay.log.unread import Unread
from synchro.replay.plan import Note, Plan, Tally
from synchro.replay.rows import select
from synchro.replay.session import Pairs, Session


@dataclass(frozen=True)
class Outcome:
    batch: Batch
    entries: int
    #: The date of the newest entry.
    last: datetime | None
    #: LOCAL's keys of objects that are gone, whose references are to be forgotten.
    forgotten: Mapping[type[Model], Sequence[Key]]
    #: Those that were identified and are not remembered yet.
    pairs: Pairs
    conflicts: Sequence[Conflict]
    #: How many conflicts are on record already.
    recorded: int
    tally: Tally
    #: How many objects of a model were left as REMOTE has them.
    kept: Mapping[type[Model], int]
    #: What is set aside with this batch, and what no more.
    note: Note
    #: Entries of models that this process does not watch.
    unread: Unread = field(default_factory=Unread)


def acknowledge(session: Session, outcome: Outcome) -> None:
    """LOCAL's transaction afterwards: the same pairs from its side, and the checkpoint."""
    batch, last = outcome.batch, outcome.last
    with transaction.atomic(using=session.local.alias):
        session.local.backend.begin_writing()
        checkpoints = Checkpoint.objects.using(session.local.alias).filter(peer_id=session.peer.pk)
        checkpoint = checkpoints.select_for_update().first()
        if checkpoint is not None and checkpoint.batch >= batch.number:
            return  # We were taken for dead, and another run has adopted all this, and may have gone on.
        for model, keys in outcome.forgotten.items():
            if keeps_references(model):
                forget(session.local, session.peer.pk, model, keys)
        for model, found in outcome.pairs.items():
            remember(session.local, session.peer.pk, model, found, batch.number)
        values: dict[str, Any] = {"batch": batch.number, "date": last} if last else {"batch": batch.number}
        checkpoints.update(**values)


def new_pairs(plan: Plan, identities: Identities) -> dict[type[Model], dict[Key, Key]]:
    """LOCAL's and REMOTE's keys of all objects that were identified and are not remembered yet."""
    found: dict[type[Model], dict[Key, Key]] = {}
    for model in identities.models():
        if keeps_references(model):
            pairs = identities.unremembered(model)
            for key in plan.forgotten.get(model, ()):
                pairs.pop(key, None)
            if pairs:
                found[model] = pairs
    return found


def recover(session: Session, checkpoint: Checkpoint, arrived: int) -> None:
    """Take over the references and the checkpoint, and forget the references of what went."""
    with transaction.atomic(using=LOCAL):
        for model, keys in _gone(session, checkpoint.batch, arrived).items():
            forget(session.local, session.peer.pk, model, keys)
        _take_over(session, checkpoint.batch, arrived)
        checkpoint.batch = arrived
        checkpoint.save(using=LOCAL, update_fields=["batch"])


def _take_over(session: Session, known: int, arrived: int) -> None:
    assert session.peer_on_remote is not None
    models: dict[int, type[Model] | None] = {}
    views = Reference.objects.using(session.remote.alias).filter(
        peer_id=session.peer_on_remote.pk, batch__gt=known, batch__lte=arrived
    )
    for view in views.iterator():
        if view.content_type_id not in models:
            models[view.content_type_id] = session.remote.model_of(view.content_type_id)
        model = models[view.content_type_id]
        if model is not None:
            Reference.objects.using(LOCAL).update_or_create(
                peer_id=session.peer.pk,
                content_type_id=session.local.content_type_id(model),
                local_object_id=view.remote_object_id,
                defaults={"remote_object_id": view.local_object_id, "batch": view.batch},
            )


def _gone(session: Session, known: int, arrived: int) -> dict[type[Model], list[Key]]:
    """
    The objects with references that these batches say were deleted, and that neither side has any more, or whose rows
    on REMOTE are other objects' by now.
    """
    deleted: dict[type[Model], dict[Key, None]] = {}
    batches = Batch.objects.using(LOCAL).filter(number__gt=known, number__lte=arrived)
    for text in batches.values_list("ranges", flat=True):
        for entry in entries_of(session.local, from_text(text)):
            if entry.action == DELETION and keeps_references(entry.model):
                deleted.setdefault(entry.model, {})[entry.key] = None
    gone: dict[type[Model], list[Key]] = {}
    for model, keys in deleted.items():
        own = key_fields(model)
        here = {key for (key,) in select(session.local, model, own, own, [(key,) for key in keys])}
        pairs = remote_keys(session, model, keys)
        there = existing(session, model, pairs.values(), lock=False)
        owners = local_keys_there(session, model, there)
        gone[model] = [
            key
            for key, remote in pairs.items()
            if owners.get(remote, key) != key or (key not in here and remote not in there)
        ]
    return gone
