"""
Agree: before anything is written, find out who the other side is and what has arrived there.

There is no commit across two databases. So REMOTE keeps a receipt, written in the transaction of the batch itself;
LOCAL's checkpoint, written afterwards, may lag behind it by one batch, and then the references of that batch are
taken over from REMOTE.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from uuid import UUID

from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, transaction
from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.checkpoint import aware
from synchro.conf import LOCAL
from synchro.exceptions import NotReady, UnknownState
from synchro.models import Baseline, Batch, ChangeLog, Checkpoint, Node, Peer, Receipt, Reference, SetAside
from synchro.replay.adopt import adopt
from synchro.replay.form import own_node
from synchro.replay.link import Link, Side

#: Differences of two clocks below this are noise of the measurement.
CLOCK_NOISE = timedelta(seconds=1)

#: How far a clock may have been set in the middle of a batch.
CLOCK_STEPS = timedelta(minutes=1)


def agree(link: Link) -> int:
    """
    Fill in what `link` knows about the two nodes, and return the number of the last batch that REMOTE has.

    Raises `UnknownState` where the two contradict each other and `NotReady` where REMOTE's tables are incomplete.
    """
    local = _own_node_here(link)
    link.node = local.uuid
    link.begun = link.local.engine.now(link.local.connection)
    link.offset = _clock_offset(link.local, link.remote)
    if not _has_tables(link.remote):
        return _agree_alone(link, local)
    remote = own_node(link.remote.alias)
    if remote.uuid == local.uuid:
        raise UnknownState(
            _(
                "LOCAL and the database “%(alias)s” have the same node id: one is a copy of the other. "
                "Call synchro.core.reset_synchro() on the copy, right after it was made, to give it an id of its own."
            )
            % {"alias": link.remote.alias}
        )
    there = Peer.objects.using(link.remote.alias).filter(uuid=local.uuid).first()
    if there is None:
        there = _welcome(link.remote, link.local, Peer(uuid=local.uuid))
    link.peer_there = there
    link.peer = _peer(link, there, remote.uuid)
    link.baselines = _baselines(link, local.uuid, remote.uuid)
    link.copied_log = _copied_log(remote.uuid)
    checkpoint = _checkpoint(link)
    receipt = Receipt.objects.using(link.remote.alias).filter(peer_id=there.pk).first()
    arrived = link.arrived = receipt.batch if receipt else 0
    _compare(link, local, checkpoint, arrived)
    if receipt is not None and arrived > max(checkpoint.batch, local.forgotten):
        _check_date(link, receipt)
    if arrived > checkpoint.batch:
        adopt(link, there, checkpoint, arrived)
    return max(arrived, local.forgotten)


def _own_node_here(link: Link) -> Node:
    try:
        return own_node(LOCAL)
    except DatabaseError as error:
        if _has_tables(link.local):
            raise
        raise NotReady(
            _("The database “%(alias)s” has no synchro tables: run “migrate --database %(alias)s”.")
            % {"alias": link.local.alias}
        ) from error


def _agree_alone(link: Link, local: Node) -> int:
    link.warn(
        _(
            "The database “%(alias)s” has no synchro tables. Changes made there are overwritten, the way back is "
            "not known, and if this run is interrupted at the wrong moment, new rows can be doubled. "
            "Add synchro to its INSTALLED_APPS and migrate it."
        )
        % {"alias": link.remote.alias}
    )
    known = Peer.objects.using(LOCAL).filter(alias=link.remote.alias).order_by("-pk").first()
    link.peer = known or Peer.objects.using(LOCAL).create(uuid=None, alias=link.remote.alias)
    if known is None:
        _take_over_references_of_07(link.peer)
    link.peer_there = None
    link.arrived = _checkpoint(link).batch
    return max(link.arrived, local.forgotten)


def _has_tables(side: Side) -> bool:
    ours = {model._meta.db_table for model in (Node, Peer, Receipt, Reference, SetAside)}
    with side.connection.cursor() as cursor:
        present = ours & set(side.connection.introspection.table_names(cursor))
    if present and present != ours:
        raise NotReady(
            _(
                "The database “%(alias)s” has only some of synchro's tables: "
                "run “migrate synchro --database %(alias)s”."
            )
            % {"alias": side.alias}
        )
    return present == ours


def _peer(link: Link, there: Peer, uuid: UUID) -> Peer:
    """LOCAL's row about this REMOTE. One without a name, met under the same alias, was the same database."""
    alias = link.remote.alias
    known = Peer.objects.using(LOCAL).filter(uuid=uuid).first()
    if known is None:
        known = Peer.objects.using(LOCAL).filter(uuid=None, alias=alias).first() or Peer()
        if known.pk is not None:
            link.peer = known
            _tell_what_came_before(link, there)
    if (known.uuid, known.alias) != (uuid, alias):
        is_new = known.pk is None
        known.uuid, known.alias = uuid, alias
        if is_new:
            _welcome(link.local, link.remote, known)
        else:
            known.save(using=LOCAL)
        _take_over_references_of_07(known)
    return known


def _take_over_references_of_07(peer: Peer) -> None:
    """It knew one REMOTE, so they are about this one."""
    Reference.objects.using(LOCAL).filter(peer=None).update(peer_id=peer.pk)


def _welcome(side: Side, other: Side, peer: Peer) -> Peer:
    """
    Let `side` know `other` under a name that is new to it.

    Where `other` was reset, or is a copy of a node that `side` knows, the references to its former name hold for
    the rows that it had then.
    """
    with transaction.atomic(using=side.alias):
        peer.save(using=side.alias)
        for note in Baseline.objects.using(other.alias).order_by("-id"):
            former = Peer.objects.using(side.alias).filter(uuid=note.node).first()
            model = other.model_of(note.content_type_id)
            if former is not None and model is not None:
                _pass_on_references(side, model, former, peer, note.highest)
    return peer


def _pass_on_references(side: Side, model: type[Model], former: Peer, peer: Peer, highest: int) -> None:
    references = Reference.objects.using(side.alias)
    old = references.filter(peer_id=former.pk, content_type_id=side.content_type_id(model))
    pairs = old.values_list("local_object_id", "remote_object_id").iterator(chunk_size=5000)
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
    while part := list(islice(new, 5000)):
        references.bulk_create(part, ignore_conflicts=True)  # a later reset may have passed it on already


def _tell_what_came_before(link: Link, there: Peer) -> None:
    """REMOTE had no synchro tables until now: give it the receipt and the references that it could not keep."""
    alias = link.remote.alias
    with transaction.atomic(using=alias):
        Receipt.objects.using(alias).get_or_create(
            peer_id=there.pk, defaults={"batch": _checkpoint(link).batch}
        )
        for here in Reference.objects.using(LOCAL).filter(peer_id=link.peer.pk).iterator():
            model = link.local.model_of(here.content_type_id)
            if model is not None:
                Reference.objects.using(alias).update_or_create(
                    peer_id=there.pk,
                    content_type_id=link.remote.content_type_id(model),
                    local_object_id=here.remote_object_id,
                    defaults={"remote_object_id": here.local_object_id, "batch": here.batch},
                )


def _checkpoint(link: Link) -> Checkpoint:
    checkpoint, _created = Checkpoint.objects.using(LOCAL).get_or_create(peer_id=link.peer.pk)
    return checkpoint


def _compare(link: Link, local: Node, checkpoint: Checkpoint, arrived: int) -> None:
    names = {"alias": link.remote.alias, "arrived": arrived, "known": checkpoint.batch, "formed": local.batch}
    if arrived < checkpoint.batch:
        raise UnknownState(
            _(
                "The database “%(alias)s” has a receipt for batch %(arrived)d of this node, but batch %(known)d had "
                "arrived there: it was restored from an older copy. Compare both databases, then call "
                "synchro.core.reset_synchro() to begin anew."
            )
            % names
        )
    if arrived > local.batch:
        raise UnknownState(
            _(
                "The database “%(alias)s” has a receipt for batch %(arrived)d of this node, which has only formed "
                "%(formed)d: LOCAL was restored from an older copy. Compare both databases, then call "
                "synchro.core.reset_synchro() to begin anew."
            )
            % names
        )
    if local.pruned > max(arrived, local.forgotten):
        raise lost_to_pruning(link)


def lost_to_pruning(link: Link) -> UnknownState:
    return UnknownState(
        _(
            "Entries that the database “%(alias)s” has not received have been pruned. Load it from a copy of "
            "LOCAL, then set options.last_check to the time of that copy."
        )
        % {"alias": link.remote.alias}
    )


def _was_formed_anew(link: Link, receipt: Receipt) -> bool:
    """A batch that was formed after its receipt was signed is not the one that arrived."""
    batch = Batch.objects.using(LOCAL).filter(number=receipt.batch).first()
    return batch is not None and aware(batch.formed) + link.offset > aware(receipt.date) + CLOCK_STEPS


def _check_date(link: Link, receipt: Receipt) -> None:
    if _was_formed_anew(link, receipt):
        raise UnknownState(
            _(
                "The database “%(alias)s” has a receipt for batch %(arrived)d of this node, which was formed anew "
                "since: LOCAL was restored from an older copy. Compare both databases, then call "
                "synchro.core.reset_synchro() to begin anew."
            )
            % {"alias": link.remote.alias, "arrived": receipt.batch}
        )


def adopt_what_arrived(alias: str) -> None:
    """
    Take over what the REMOTE `alias` has received and LOCAL was not told, before LOCAL goes by another name: nobody
    will look for it under the former one.

    Raises `NotReady` where something may have arrived there and it cannot be asked.
    """
    local = own_node(LOCAL)
    link = Link(Side(alias))
    last = Checkpoint.objects.using(LOCAL).filter(peer__alias=alias).order_by("-peer_id").first()
    if last is None or local.batch <= last.batch:
        return
    try:
        link.offset = _clock_offset(link.local, link.remote)
        if not _has_tables(link.remote):
            return
        peer = Peer.objects.using(LOCAL).filter(uuid=own_node(alias).uuid).first()
        there = Peer.objects.using(alias).filter(uuid=local.uuid).first()
        receipt = Receipt.objects.using(alias).filter(peer=there).first() if there else None
    except DatabaseError as error:
        raise NotReady(
            _(
                "The database “%(alias)s” cannot be asked (%(cause)s) whether batch %(number)d, which was being sent "
                "to it, has arrived. Reset when it can, or take it out of SYNCHRO_REMOTE."
            )
            % {"alias": alias, "cause": type(error).__name__, "number": last.batch + 1}
        ) from error
    if peer is None or there is None or receipt is None or receipt.batch > local.batch:
        return
    link.peer = peer
    checkpoint = _checkpoint(link)
    if receipt.batch > checkpoint.batch and not _was_formed_anew(link, receipt):
        adopt(link, there, checkpoint, receipt.batch)


def _baselines(link: Link, local: UUID, remote: UUID) -> dict[type[Model], int]:
    """How far one is a copy of the other: whichever is the copy has noted it."""
    found: dict[type[Model], int] = {}
    for side, other in ((link.local, remote), (link.remote, local)):
        for type_id, highest in (
            Baseline.objects.using(side.alias).filter(node=other).values_list("content_type_id", "highest")
        ):
            model = side.model_of(type_id)
            if model is not None:
                found[model] = max(highest, found.get(model, 0))
    return found


def _copied_log(remote: UUID) -> int:
    log = ContentType.objects.db_manager(LOCAL).get_for_model(ChangeLog)
    noted = Baseline.objects.using(LOCAL).filter(node=remote, content_type=log)
    return noted.values_list("highest", flat=True).first() or 0


def _clock_offset(local: Side, remote: Side) -> timedelta:
    before = local.engine.now(local.connection)
    there = remote.engine.now(remote.connection)
    after = local.engine.now(local.connection)
    offset = there - (before + (after - before) / 2)
    return offset if abs(offset) > max(CLOCK_NOISE, after - before) else timedelta(0)
