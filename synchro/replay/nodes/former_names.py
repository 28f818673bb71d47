"""Former names of a node: what was known of it under them goes on under its new one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from django.db.models import Model, Q

from synchro.models import Baseline, Batch, Checkpoint, ModelIdentity, Peer, SetAside
from synchro.references import store, stored
from synchro.replay.session import Database

#: How many rows are written at once.
AT_ONCE = 5000


def pass_on(database: Database, other: Database, peer: Peer) -> None:
    """
    Let what `database` knows of `other` under its former names hold for `peer`, its new one, too.

    `other` was reset, or is a copy of a node that `database` knows; its baselines say up to which key its rows are
    those of the former name. What was known of the former name stays: where `other` is a copy, its original goes on.
    """
    for note in Baseline.objects.using(other.alias).order_by("-id"):
        former = Peer.objects.using(database.alias).filter(uuid=note.node).first()
        model = other.model_of(note.content_type_id)
        if model is None:
            continue
        if former is not None:
            _pass_on_references(database, model, former, peer, note.highest)
        _pass_on_baseline(database, model, note, peer)
    for former in _former_peers(database, other):
        _pass_on_quarantine(database, former, peer)
        _pass_on_identities(database, former, peer)
        if peer.place and former.place == peer.place:
            drop_pending(database, former)


def _former_peers(database: Database, other: Database) -> Iterator[Peer]:
    names = set(Baseline.objects.using(other.alias).values_list("node", flat=True))
    yield from Peer.objects.using(database.alias).filter(uuid__in=names).order_by("id")


def _pass_on_references(
    database: Database, model: type[Model], former: Peer, peer: Peer, highest: int
) -> None:
    kind = database.content_type_id(model)
    kept = (
        (kind, each.part(each.first, each.first + min(each.length, highest - each.other + 1) - 1))
        for _row, each in stored(database.alias, [former.pk], Q(content_type_id=kind))
        if each.other <= highest
    )
    store(database.alias, peer.pk, kept, is_older=True)  # a later reset may have passed it on already


def _pass_on_baseline(database: Database, model: type[Model], note: Baseline, peer: Peer) -> None:
    """Note `database` as a copy of the new name where it is one of the former name, as far as both notes reach."""
    content_type = database.content_type_id(model)
    if model is Batch:  # under the new name they are numbered anew
        return
    baselines = Baseline.objects.using(database.alias)
    own = baselines.filter(node=note.node, content_type_id=content_type).first()
    if own is not None and peer.uuid is not None:
        highest = min(own.highest, note.highest)
        baselines.get_or_create(node=peer.uuid, content_type_id=content_type, defaults={"highest": highest})


def _pass_on_quarantine(database: Database, former: Peer, peer: Peer) -> None:
    """
    Keep what the former name refused, to be done under the new one.

    `batch` is a number of `database`, which has not changed its name, so it goes on to count.
    """
    quarantine = SetAside.objects.using(database.alias)
    if quarantine.filter(peer_id=peer.pk).exists():
        return
    kept = quarantine.filter(peer_id=former.pk).order_by("id").iterator(chunk_size=AT_ONCE)
    while part := list(islice(kept, AT_ONCE)):
        for row in part:
            row.pk, row.peer_id = None, peer.pk
        quarantine.bulk_create(part, batch_size=500)


def _pass_on_identities(database: Database, former: Peer, peer: Peer) -> None:
    kept = ModelIdentity.objects.using(database.alias)
    rows = kept.filter(peer_id=former.pk).values_list("content_type_id", "identity")
    kept.bulk_create(
        [
            ModelIdentity(peer_id=peer.pk, content_type_id=content_type, identity=identity)
            for content_type, identity in rows
        ],
        batch_size=500,
        ignore_conflicts=True,
    )


def drop_pending(database: Database, former: Peer) -> None:
    """Drop what waits for the former name of a database, in whose place another node is by now."""
    SetAside.objects.using(database.alias).filter(peer_id=former.pk)._raw_delete(database.alias)
    Checkpoint.objects.using(database.alias).filter(peer_id=former.pk).delete()
