"""Adopt: take over what LOCAL was not told, because a run died between REMOTE's commit and LOCAL's."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Model

from synchro.conf import LOCAL
from synchro.keys import Key, key_fields
from synchro.models import DELETION, Batch, Checkpoint, Peer, Reference
from synchro.replay.identify import existing, keeps_references
from synchro.replay.link import Link
from synchro.replay.logged import entries_of
from synchro.replay.ranges import from_text
from synchro.replay.read import select
from synchro.replay.references import forget, local_keys_there, remote_keys


def adopt(link: Link, there: Peer, checkpoint: Checkpoint, arrived: int) -> None:
    """Take over the references and the checkpoint, and forget the references of what went."""
    with transaction.atomic(using=LOCAL):
        for model, keys in _gone(link, checkpoint.batch, arrived).items():
            forget(link.local, link.peer.pk, model, keys)
        _take_over(link, there, checkpoint.batch, arrived)
        checkpoint.batch = arrived
        checkpoint.save(using=LOCAL, update_fields=["batch"])


def _take_over(link: Link, there: Peer, known: int, arrived: int) -> None:
    models: dict[int, type[Model] | None] = {}
    views = Reference.objects.using(link.remote.alias).filter(
        peer_id=there.pk, batch__gt=known, batch__lte=arrived
    )
    for view in views.iterator():
        if view.content_type_id not in models:
            models[view.content_type_id] = link.remote.model_of(view.content_type_id)
        model = models[view.content_type_id]
        if model is not None:
            Reference.objects.using(LOCAL).update_or_create(
                peer_id=link.peer.pk,
                content_type_id=link.local.content_type_id(model),
                local_object_id=view.remote_object_id,
                defaults={"remote_object_id": view.local_object_id, "batch": view.batch},
            )


def _gone(link: Link, known: int, arrived: int) -> dict[type[Model], list[Key]]:
    """
    The objects with references that these batches say were deleted, and that neither side has any more, or whose rows
    on REMOTE are other objects' by now.
    """
    deleted: dict[type[Model], dict[Key, None]] = {}
    batches = Batch.objects.using(LOCAL).filter(number__gt=known, number__lte=arrived)
    for text in batches.values_list("ranges", flat=True):
        for entry in entries_of(link.local, from_text(text)):
            if entry.action == DELETION and keeps_references(entry.model):
                deleted.setdefault(entry.model, {})[entry.key] = None
    gone: dict[type[Model], list[Key]] = {}
    for model, keys in deleted.items():
        own = key_fields(model)
        here = {key for (key,) in select(link.local, model, own, own, [(key,) for key in keys])}
        pairs = remote_keys(link, model, keys)
        there = existing(link, model, pairs.values(), lock=False)
        owners = local_keys_there(link, model, there)
        gone[model] = [
            key
            for key, remote in pairs.items()
            if owners.get(remote, key) != key or (key not in here and remote not in there)
        ]
    return gone
