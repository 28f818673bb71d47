"""
Agree: before anything is written, find out who the other side is and what has arrived there.

There is no commit across two databases. So REMOTE keeps a receipt, written in the transaction of the batch itself;
LOCAL's checkpoint, written afterwards, may lag behind it by one batch, and then the references of that batch are
taken over from REMOTE.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.db import DatabaseError, transaction
from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.conf import LOCAL
from synchro.exceptions import NotConfigured, NotReady, SynchroError, UnknownState
from synchro.models import Baseline, ChangeLog, Checkpoint, Node, Peer, Receipt, Reference, SetAside
from synchro.replay.checkpoint import recover
from synchro.replay.log.batches import own_node
from synchro.replay.nodes.former_names import pass_on
from synchro.replay.nodes.topology import agree_on_forwarding, note_what_is_received
from synchro.replay.nodes.without_tables import nameless_peer, new_peer, refuse_lost_tables
from synchro.replay.preflight import can_select, lacks_columns
from synchro.replay.receipts import compare, is_of_another_batch, local_is_older
from synchro.replay.session import Database, Session

#: What REMOTE needs to take part.
TABLES = (Node, Peer, Receipt, Reference, SetAside)
#: Differences of two clocks below this are noise of the measurement.
CLOCK_NOISE = timedelta(seconds=1)


def handshake(session: Session) -> int:
    """
    Fill in what `session` knows about the two nodes, and return the number of the last batch that REMOTE has.

    Raises `UnknownState` where the two contradict each other and `NotReady` where REMOTE's tables are incomplete.
    """
    local = _own_node_here(session)
    session.node = local.uuid
    session.begun, session.offset = _clocks(session.local, session.remote)
    peers = list(Peer.objects.using(LOCAL).order_by("pk"))
    if not _has_tables(session.remote, _had_tables(peers, session.remote)):
        return _agree_alone(session, local)
    remote = own_node(session.remote.alias)
    if remote.uuid == local.uuid:
        raise _same_node(session)
    there = Peer.objects.using(session.remote.alias).filter(uuid=local.uuid).first()
    if there is None:
        there = _welcome(session.remote, session.local, Peer(uuid=local.uuid))
    session.peer_there, session.pruned = there, remote.pruned
    session.peer = _peer(session, there, remote.uuid, peers)
    here, far = _baselines(session.local, remote.uuid), _baselines(session.remote, local.uuid)
    # Whichever is the copy has noted it.
    session.baselines = {model: max(here.get(model, 0), far.get(model, 0)) for model in here | far}
    session.copied_log = here.get(ChangeLog, 0)
    checkpoint = _checkpoint(session)
    receipts = list(Receipt.objects.using(session.remote.alias).select_related("peer"))
    receipt = next((one for one in receipts if one.peer_id == there.pk), None)
    is_new = receipt is None
    if receipt is None:  # so that others see that LOCAL is about to send
        receipt, is_new = Receipt.objects.using(session.remote.alias).get_or_create(peer_id=there.pk)
    session.unlogged = receipt.unlogged
    try:
        agree_on_forwarding(session, local, remote, receipts, checkpoint)
    except SynchroError:
        if is_new:  # it will not send
            Receipt.objects.using(session.remote.alias).filter(peer_id=there.pk, batch=0).delete()
        raise
    compare(session, local, checkpoint, receipt)
    arrived = session.arrived = receipt.batch
    if arrived > checkpoint.batch:
        recover(session, there, checkpoint, arrived)
    return max(arrived, local.forgotten)


def _same_node(session: Session) -> SynchroError:
    local, remote = session.local.connection, session.remote.connection
    if local.vendor == remote.vendor and session.local.backend.is_same(remote, Node._meta.db_table):
        return NotConfigured(
            _(
                "LOCAL and the database “%(alias)s” are one and the same database, named in two ways. Nothing was "
                "written. Give DATABASES['%(alias)s'] the name and the host of the other database."
            )
            % {"alias": session.remote.alias}
        )
    return UnknownState(
        _(
            "LOCAL and the database “%(alias)s” have the same node id: one is a copy of the other. Nothing was written."
            " A copy gets an id of its own by synchro.core.reset_synchro(), called on it right after it was made. "
            "Never call it on the original. A reset forgets what has been changed in the copy since, so make such "
            "changes again afterwards."
        )
        % {"alias": session.remote.alias}
    )


def _own_node_here(session: Session) -> Node:
    try:
        return own_node(LOCAL)
    except DatabaseError as error:
        if _has_tables(session.local):
            raise
        raise NotReady(
            _("The database “%(alias)s” has no synchro tables: run “migrate --database %(alias)s”.")
            % {"alias": session.local.alias}
        ) from error


def _agree_alone(session: Session, local: Node) -> int:
    refuse_lost_tables(session.remote)
    known = nameless_peer(session.remote, has_tables=False)
    session.warn(
        _(
            "The database “%(alias)s” has no synchro tables. Changes made there are overwritten, the way back is "
            "not known, and if this run is interrupted at the wrong moment, new rows can be doubled. "
            "Add synchro to its INSTALLED_APPS and migrate it."
        )
        % {"alias": session.remote.alias}
    )
    session.peer = known or new_peer(session.remote)
    session.peer.save(using=LOCAL)
    if known is None:
        _take_over_references_of_07(session.peer)
    session.peer_there = None
    checkpoint = _checkpoint(session)
    note_what_is_received(session, local, checkpoint)
    session.arrived = checkpoint.batch
    return max(session.arrived, local.forgotten)


def _had_tables(peers: Iterable[Peer], remote: Database) -> bool:
    """Whether LOCAL has met this REMOTE by a node id, which stands in one of its tables."""
    return any(peer.alias == remote.alias and peer.uuid is not None for peer in peers)


def _has_tables(side: Database, are_expected: bool = False) -> bool:
    if are_expected and can_select(side, TABLES):
        return True  # without a look at all tables that there are
    ours = {model._meta.db_table for model in TABLES}
    with side.connection.cursor() as cursor:
        present = ours & set(side.connection.introspection.table_names(cursor))
    if present and (present != ours or not _has_columns(side)):
        raise NotReady(
            _(
                "The database “%(alias)s” has only some of synchro's tables, or they are of an older release: "
                "run “migrate synchro --database %(alias)s”."
            )
            % {"alias": side.alias}
        )
    return present == ours


def _has_columns(side: Database) -> bool:
    """Whether no column is missing. (What else is wrong with a table, whoever uses it will hear.)"""
    return not lacks_columns(side, TABLES)


def _peer(session: Session, there: Peer, uuid: UUID, peers: Iterable[Peer]) -> Peer:
    """LOCAL's row about this REMOTE, one of `peers`, which may have been without a name until now."""
    alias = session.remote.alias
    known = next((peer for peer in peers if peer.uuid == uuid), None)
    if known is None:
        known = nameless_peer(session.remote, has_tables=True) or Peer()
        if known.pk is not None:
            session.peer = known
            _seed_remote(session, there)
        else:
            _warn_of_another(session)
    if (known.uuid, known.alias) != (uuid, alias) or not known.place:
        is_new = known.pk is None
        known.uuid, known.alias = uuid, alias
        known.place = session.remote.backend.place()
        if is_new:
            _welcome(session.local, session.remote, known)
        else:
            known.save(using=LOCAL)
        _take_over_references_of_07(known)
    return known


def _warn_of_another(session: Session) -> None:
    """Another node is served under an alias that was known: as a new one, but it may be a mistake."""
    known = Peer.objects.using(LOCAL).filter(alias=session.remote.alias).exclude(uuid=None)
    former = Baseline.objects.using(session.remote.alias).values_list("node", flat=True).distinct()
    others = set(known.values_list("uuid", flat=True))
    if others and not others & set(former):
        session.warn(
            _(
                "The database “%(alias)s” is not the one that was known by this name. It was taken for a new one, and "
                "given all entries that are kept; where the other one stood is not forgotten. If that was not meant, "
                "correct DATABASES."
            )
            % {"alias": session.remote.alias}
        )


def _take_over_references_of_07(peer: Peer) -> None:
    """It knew one REMOTE, so they are about this one."""
    Reference.objects.using(LOCAL).filter(peer=None).update(peer_id=peer.pk)


def _welcome(side: Database, other: Database, peer: Peer) -> Peer:
    """Let `side` know `other` under a name that is new to it."""
    with transaction.atomic(using=side.alias):
        peer.save(using=side.alias)
        pass_on(side, other, peer)
    return peer


def _seed_remote(session: Session, there: Peer) -> None:
    """REMOTE had no synchro tables until now: give it the receipt and the references that it could not keep."""
    alias = session.remote.alias
    with transaction.atomic(using=alias):
        Receipt.objects.using(alias).get_or_create(
            peer_id=there.pk, defaults={"batch": _checkpoint(session).batch}
        )
        for here in Reference.objects.using(LOCAL).filter(peer_id=session.peer.pk).iterator():
            model = session.local.model_of(here.content_type_id)
            if model is not None:
                Reference.objects.using(alias).update_or_create(
                    peer_id=there.pk,
                    content_type_id=session.remote.content_type_id(model),
                    local_object_id=here.remote_object_id,
                    defaults={"remote_object_id": here.local_object_id, "batch": here.batch},
                )


def _checkpoint(session: Session) -> Checkpoint:
    checkpoint, _created = Checkpoint.objects.using(LOCAL).get_or_create(peer_id=session.peer.pk)
    return checkpoint


def recover_arrived(alias: str) -> None:
    """
    Take over what the REMOTE `alias` has received and LOCAL was not told, before LOCAL goes by another name: nobody
    will look for it under the former one.

    Raises `NotReady` where something may have arrived there and it cannot be asked, and `UnknownState` where it has
    received what LOCAL has lost.
    """
    local = own_node(LOCAL)
    session = Session(Database(alias))
    last = Checkpoint.objects.using(LOCAL).filter(peer__alias=alias).order_by("-peer_id").first()
    if last is None:
        return
    try:
        _now, session.offset = _clocks(session.local, session.remote)
        if not _has_tables(session.remote):
            return
        peer = Peer.objects.using(LOCAL).filter(uuid=own_node(alias).uuid).first()
        there = Peer.objects.using(alias).filter(uuid=local.uuid).first()
        receipt = Receipt.objects.using(alias).filter(peer=there).first() if there else None
    except DatabaseError as error:
        if local.batch <= last.batch:
            return
        raise NotReady(
            _(
                "The database “%(alias)s” cannot be asked (%(cause)s) whether batch %(number)d, which was being sent "
                "to it, has arrived. Reset when it can, or take it out of SYNCHRO_REMOTE."
            )
            % {"alias": alias, "cause": type(error).__name__, "number": last.batch + 1}
        ) from error
    if peer is None or there is None or receipt is None:
        return
    session.peer, session.peer_there = peer, there
    checkpoint = _checkpoint(session)
    if receipt.batch > local.batch or is_of_another_batch(
        session, receipt, max(checkpoint.batch, local.forgotten)
    ):
        # The references that the others have are about rows that LOCAL has lost, and whose keys it gives away again.
        raise local_is_older(session, receipt.batch)
    if receipt.batch > checkpoint.batch:
        recover(session, there, checkpoint, receipt.batch)


def _baselines(side: Database, other: UUID) -> dict[type[Model], int]:
    """Up to which key this side is a copy of the node `other`, by model."""
    found: dict[type[Model], int] = {}
    noted = Baseline.objects.using(side.alias).filter(node=other)
    for type_id, highest in noted.values_list("content_type_id", "highest"):
        model = side.model_of(type_id)
        if model is not None:
            found[model] = max(highest, found.get(model, 0))
    return found


def _clocks(local: Database, remote: Database) -> tuple[datetime, timedelta]:
    """LOCAL's time, and what to add to a time of its clock to compare it with REMOTE's."""
    before = local.backend.now()
    there = remote.backend.now()
    after = local.backend.now()
    offset = there - (before + (after - before) / 2)
    return before, offset if abs(offset) > max(CLOCK_NOISE, after - before) else timedelta(0)
