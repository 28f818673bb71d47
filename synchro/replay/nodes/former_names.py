"""A node that is met under a new name: what was known of it under its former ones goes on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from django.db.models import Model

from synchro.models import Baseline, Batch, Checkpoint, ModelIdentity, Peer, Reference, SetAside
from synchro.replay.session import Database

#: How many rows are written at once.
AT_ONCE = 5000


def pass_on(side: Database, other: Database, peer: Peer) -> None:
    """
    Let what `side` knows of `other` under its former names hold for `peer`, its new one, too.

    `other` was reset, or is a copy of a node that `side` knows; its baselines say up to which key its rows are those
    of the former name. What was known of the former name stays: where `other` is a copy, its original goes on.
    """
    for note in Baseline.objects.using(other.alias).order_by("-id"):
        former = Peer.objects.using(side.alias).filter(uuid=note.node).first()
        model = other.model_of(note.content_type_id)
        if model is None:
            continue
        if former is not None:
            _pass_on_references(side, model, former, peer, note.highest)
        _pass_on_baseline(side, model, note, peer)
    for former in _former_peers(side, other):
        _pass_on_quarantine(side, former, peer)
        _pass_on_identities(side, former, peer)
        if peer.place and former.place == peer.place:
            leave(side, former)


def _former_peers(side: Database, other: Database) -> Iterator[Peer]:
    names = set(Baseline.objects.using(other.alias).values_list("node", flat=True))
    yield from Peer.objects.using(side.alias).filter(uuid__in=names).order_by("id")


def _pass_on_references(side: Database, model: type[Model], former: Peer, peer: Peer, highest: int) -> None:
    references = Reference.objects.using(side.alias)
    old = references.filter(peer_id=former.pk, content_type_id=side.content_type_id(model))
    pairs = old.values_list("local_object_id", "remote_object_id").iterator(chunk_size=AT_ONCE)
    new = (
        Reference(
            peer_id=peer.pk,
            content_type_id=side.content_type_id(model),
            local_object_id=here,
            remote_object_id=there,
        )
        for here, there in pairs
        if int(there) <= highest
    )
    while part := list(islice(new, AT_ONCE)):
        references.bulk_create(part, ignore_conflicts=True)  # a later reset may have passed it on already


def _pass_on_baseline(side: Database, model: type[Model], note: Baseline, peer: Peer) -> None:
    """Where `side` is a copy of the former name, it is one of the new name as far as both notes reach."""
    content_type = side.content_type_id(model)
    if model is Batch:  # under the new name they are numbered anew
        return
    baselines = Baseline.objects.using(side.alias)
    own = baselines.filter(node=note.node, content_type_id=content_type).first()
    if own is not None and peer.uuid is not None:
        highest = min(own.highest, note.highest)
        baselines.get_or_create(node=peer.uuid, content_type_id=content_type, defaults={"highest": highest})


def _pass_on_quarantine(side: Database, former: Peer, peer: Peer) -> None:
    """
    What the former name refused is still to be done under the new one.

    `batch` is that of `side`, which has not changed its name, so it goes on to count.
    """
    quarantine = SetAside.objects.using(side.alias)
    if quarantine.filter(peer_id=peer.pk).exists():
        return
    kept = quarantine.filter(peer_id=former.pk).order_by("id").iterator(chunk_size=AT_ONCE)
    while part := list(islice(kept, AT_ONCE)):
        for row in part:
            row.pk, row.peer_id = None, peer.pk
        quarantine.bulk_create(part, batch_size=500)


def _pass_on_identities(side: Database, former: Peer, peer: Peer) -> None:
    kept = ModelIdentity.objects.using(side.alias)
    rows = kept.filter(peer_id=former.pk).values_list("content_type_id", "identity")
    kept.bulk_create(
        [
            ModelIdentity(peer_id=peer.pk, content_type_id=content_type, identity=identity)
            for content_type, identity in rows
        ],
        batch_size=500,
        ignore_conflicts=True,
    )


def leave(side: Database, former: Peer) -> None:
    """Its database has another name by now, and is no copy: nothing waits for the former, or is counted for it."""
    SetAside.objects.using(side.alias).filter(peer_id=former.pk)._raw_delete(side.alias)
    Checkpoint.objects.using(side.alias).filter(peer_id=former.pk).delete()
