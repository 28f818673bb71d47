"""
Find out, before anything is written, who the other node is and what has arrived there.

There is no commit across two databases. So REMOTE keeps a receipt, written in the transaction of the batch itself.
LOCAL's checkpoint is written afterwards, so it may lag behind the receipt by one batch; then LOCAL takes over the
references of that batch from REMOTE.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import DatabaseError
from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.conf import LOCAL
from synchro.exceptions import NotConfigured, NotReady, SynchroError, UnknownState
from synchro.models import Baseline, Batch, ChangeLog, Checkpoint, Node, Peer, Receipt, Reference, SetAside
from synchro.replay.checkpoint import recover
from synchro.replay.log.position import own_node
from synchro.replay.nodes.peers import (
    checkpoint_of,
    find_peer,
    find_peer_on_remote,
    is_known_by_node_id,
    nameless_peer,
    new_peer,
    refuse_lost_tables,
    take_over_references_of_07,
)
from synchro.replay.nodes.topology import agree_on_forwarding, note_what_is_received
from synchro.replay.preflight import can_select, lacks_columns
from synchro.replay.receipts import compare, is_of_another_batch, local_is_older
from synchro.replay.session import Database, Databases, RunState, Session

#: What REMOTE needs to take part.
TABLES = (Node, Peer, Receipt, Reference, SetAside)
#: In place of the key of a peer that was never met: no row has it.
NOBODY = 0
#: Differences of two clocks below this are noise of the measurement.
CLOCK_NOISE = timedelta(seconds=1)


def handshake(databases: Databases) -> Session:
    """
    Find out who REMOTE is and what has arrived there, and return it.

    What an interrupted run left between receipt and checkpoint is taken over. Raises `UnknownState` where the two
    databases contradict each other, and `NotReady` where REMOTE's tables are incomplete.
    """
    node = _own_node(databases.local)
    clocks, peers, state = _clocks(databases), list(Peer.objects.using(LOCAL).order_by("pk")), RunState()
    if not _has_tables(databases.remote, is_known_by_node_id(databases.remote, peers)):
        return _handshake_without_tables(databases, node, clocks, state)
    remote_node = own_node(databases.remote.alias)
    if remote_node.uuid == node.uuid:
        raise _same_node(databases)
    state.pruned = remote_node.pruned
    peer_on_remote = find_peer_on_remote(databases, node)
    session = _with_copies(
        Session(
            remote=databases.remote,
            node=node.uuid,
            peer=find_peer(databases, peer_on_remote, remote_node, peers, state),
            peer_on_remote=peer_on_remote,
            begun=clocks.begun,
            offset=clocks.offset,
            state=state,
        )
    )
    checkpoint = checkpoint_of(session.peer)
    session, receipt = _agree_with_others(session, node, remote_node, checkpoint)
    compare(session, node, checkpoint, receipt)
    state.arrived = receipt.batch
    if receipt.batch > checkpoint.batch:
        recover(session, checkpoint, receipt.batch)
    return session


def _handshake_without_tables(databases: Databases, node: Node, clocks: Clocks, state: RunState) -> Session:
    """Return the session with a REMOTE without synchro tables: only LOCAL's checkpoint says what has arrived there."""
    remote = databases.remote
    refuse_lost_tables(remote)
    known = nameless_peer(remote, has_tables=False)
    state.warn(
        _(
            "The database “%(alias)s” has no synchro tables. Changes made there are overwritten, the way back is "
            "not known, and if this run is interrupted at the wrong moment, new rows can be doubled. "
            "Add synchro to its INSTALLED_APPS and migrate it."
        )
        % {"alias": remote.alias}
    )
    peer = known or new_peer(remote)
    peer.save(using=LOCAL)
    if known is None:
        take_over_references_of_07(peer)
    session = Session(
        remote=remote, node=node.uuid, peer=peer, begun=clocks.begun, offset=clocks.offset, state=state
    )
    checkpoint = checkpoint_of(peer)
    note_what_is_received(session, node, checkpoint)
    state.arrived = checkpoint.batch
    return session


def _with_copies(session: Session) -> Session:
    """Return the session with what is known of copies: either node may be one of the other, and has noted it then."""
    assert session.peer.uuid is not None
    local, remote = _baselines(session.local, session.peer.uuid), _baselines(session.remote, session.node)
    return replace(
        session,
        baselines={model: max(local.get(model, 0), remote.get(model, 0)) for model in local | remote},
        copied_log=local.get(ChangeLog, 0),
        copied_batches=remote.get(Batch, 0),
    )


def _agree_with_others(
    session: Session, node: Node, remote_node: Node, checkpoint: Checkpoint
) -> tuple[Session, Receipt]:
    """
    Return the session with what other nodes ask of it, and REMOTE's receipt for LOCAL.

    Raises an error where LOCAL cannot send to REMOTE beside the others; the receipt is gone again then if it was new.
    """
    assert session.peer_on_remote is not None
    receipts = Receipt.objects.using(session.remote.alias)
    known = list(receipts.select_related("peer"))
    own = receipts.filter(peer=session.peer_on_remote)
    receipt = next((one for one in known if one.peer_id == session.peer_on_remote.pk), None)
    is_new = receipt is None
    if receipt is None:  # so that others see that LOCAL is about to send
        contained = _contained(session, node)
        receipt, is_new = receipts.get_or_create(peer_id=session.peer_on_remote.pk, defaults=contained)
    session = replace(session, unlogged=receipt.unlogged)
    try:
        return agree_on_forwarding(session, node, remote_node, known, checkpoint), receipt
    except SynchroError:
        if is_new:  # it will not send
            own.filter(batch=receipt.batch).delete()
        raise


def _contained(session: Session, node: Node) -> dict[str, Any]:
    """Return what the receipt of a REMOTE says that has received nothing, and may be a copy of LOCAL."""
    number = session.copied_batches
    if number > node.batch:
        return {"batch": 0}
    token = Batch.objects.using(LOCAL).filter(number=number).values_list("token", flat=True).first()
    return {"batch": number, "token": token or ""}


def _same_node(databases: Databases) -> SynchroError:
    local, remote = databases.local.connection, databases.remote.connection
    if local.vendor == remote.vendor and databases.local.backend.is_same(remote, Node._meta.db_table):
        return NotConfigured(
            _(
                "LOCAL and the database “%(alias)s” are one and the same database, named in two ways. Nothing was "
                "written. Give DATABASES['%(alias)s'] the name and the host of the other database."
            )
            % {"alias": databases.remote.alias}
        )
    return UnknownState(
        _(
            "LOCAL and the database “%(alias)s” have the same node id: one is a copy of the other. Nothing was written."
            " A copy gets an id of its own by synchro.core.reset_synchro(), called on it right after it was made. "
            "Never call it on the original. A reset forgets what has been changed in the copy since, so make such "
            "changes again afterwards."
        )
        % {"alias": databases.remote.alias}
    )


def _own_node(database: Database) -> Node:
    try:
        return own_node(database.alias)
    except DatabaseError as error:
        if _has_tables(database):
            raise
        raise NotReady(
            _("The database “%(alias)s” has no synchro tables: run “migrate --database %(alias)s”.")
            % {"alias": database.alias}
        ) from error


def _has_tables(database: Database, are_expected: bool = False) -> bool:
    """Return whether the database has synchro's tables; raise `NotReady` where it has some, or older ones."""
    if are_expected and can_select(database, TABLES):
        return True  # without a look at all tables that there are
    own = {model._meta.db_table for model in TABLES}
    with database.connection.cursor() as cursor:
        present = own & set(database.connection.introspection.table_names(cursor))
    # Only columns count: any other fault of a table is an error where the table is used.
    if present and (present != own or lacks_columns(database, TABLES)):
        raise NotReady(
            _(
                "The database “%(alias)s” has only some of synchro's tables, or they are of an older release: "
                "run “migrate synchro --database %(alias)s”."
            )
            % {"alias": database.alias}
        )
    return present == own


def recover_arrived(databases: Databases) -> None:
    """
    Take over what REMOTE has received and LOCAL was not told, before LOCAL goes by another name.

    Nobody will look for it under the former name. Raises `NotReady` where something may have arrived at REMOTE and it
    cannot be asked, and `UnknownState` where REMOTE has received what LOCAL has lost.
    """
    node, alias = own_node(LOCAL), databases.remote.alias
    last = Checkpoint.objects.using(LOCAL).filter(peer__alias=alias).order_by("-peer_id").first()
    if last is None:
        return
    try:
        found = _session_and_receipt(databases, node)
    except DatabaseError as error:
        if node.batch <= last.batch:
            return
        raise NotReady(
            _(
                "The database “%(alias)s” cannot be asked (%(cause)s) whether batch %(number)d, which was being sent "
                "to it, has arrived. Reset when it can, or take it out of SYNCHRO_REMOTE."
            )
            % {"alias": alias, "cause": type(error).__name__, "number": last.batch + 1}
        ) from error
    if found is None:
        return
    session, receipt = found
    checkpoint = checkpoint_of(session.peer)
    if receipt.batch > node.batch or is_of_another_batch(
        session, receipt, max(checkpoint.batch, node.forgotten)
    ):
        # The references that REMOTE has are about rows that LOCAL has lost, and whose keys it gives away again.
        raise local_is_older(session, receipt.batch)
    if receipt.batch > checkpoint.batch:
        recover(session, checkpoint, receipt.batch)


def look_at(databases: Databases) -> Session:
    """
    Return what LOCAL and REMOTE know of each other, for a caller that only reads; nothing is written.

    Databases that have never met have no references, and nothing has arrived. Raises what the handshake raises where
    both are one, or REMOTE has only some of synchro's tables.
    """
    node = Node.objects.using(LOCAL).filter(pk=1).first() or Node()
    clocks, alias = _clocks(databases), databases.remote.alias
    if not _has_tables(databases.remote):
        peer = Peer.objects.using(LOCAL).filter(uuid=None, alias=alias).first() or Peer(pk=NOBODY)
        session = Session(
            remote=databases.remote, node=node.uuid, peer=peer, begun=clocks.begun, offset=clocks.offset
        )
        checkpoint = Checkpoint.objects.using(LOCAL).filter(peer_id=peer.pk).first()
        session.state.arrived = checkpoint.batch if checkpoint else 0
        return session
    remote_node = Node.objects.using(alias).filter(pk=1).first() or Node()
    if remote_node.uuid == node.uuid:
        raise _same_node(databases)
    peer_on_remote = Peer.objects.using(alias).filter(uuid=node.uuid).first() or Peer(pk=NOBODY)
    receipt = Receipt.objects.using(alias).filter(peer_id=peer_on_remote.pk).first()
    session = Session(
        remote=databases.remote,
        node=node.uuid,
        peer=Peer.objects.using(LOCAL).filter(uuid=remote_node.uuid).first()
        or Peer(pk=NOBODY, uuid=remote_node.uuid),
        peer_on_remote=peer_on_remote,
        begun=clocks.begun,
        offset=clocks.offset,
        forwards=remote_node.forwards_since is not None,
    )
    # Of a batch that has arrived, and that LOCAL was not told of, LOCAL has no references yet.
    checkpoint = Checkpoint.objects.using(LOCAL).filter(peer_id=session.peer.pk).first()
    known = [each.batch for each in (receipt, checkpoint) if each is not None]
    session.state.arrived, session.state.pruned = min(known) if receipt else 0, remote_node.pruned
    return _with_copies(session)


def _session_and_receipt(databases: Databases, node: Node) -> tuple[Session, Receipt] | None:
    """Return REMOTE's receipt for LOCAL, where the two have met; nothing is written."""
    clocks, alias = _clocks(databases), databases.remote.alias
    if not _has_tables(databases.remote):
        return None
    remote_node = Node.objects.using(alias).filter(pk=1).first() or Node()
    peer = Peer.objects.using(LOCAL).filter(uuid=remote_node.uuid).first()
    peer_on_remote = Peer.objects.using(alias).filter(uuid=node.uuid).first()
    receipt = Receipt.objects.using(alias).filter(peer=peer_on_remote).first() if peer_on_remote else None
    if peer is None or receipt is None:
        return None
    session = Session(
        remote=databases.remote,
        node=node.uuid,
        peer=peer,
        peer_on_remote=peer_on_remote,
        begun=clocks.begun,
        offset=clocks.offset,
    )
    return session, receipt


def _baselines(database: Database, other: UUID) -> dict[type[Model], int]:
    """Return up to which key the database is a copy of the node `other`, by model."""
    found: dict[type[Model], int] = {}
    noted = Baseline.objects.using(database.alias).filter(node=other)
    for type_id, highest in noted.values_list("content_type_id", "highest"):
        model = database.model_of(type_id)
        if model is not None:
            found[model] = max(highest, found.get(model, 0))
    return found


@dataclass(frozen=True)
class Clocks:
    """LOCAL's time, and what to add to a time of its clock to compare it with REMOTE's."""

    begun: datetime
    offset: timedelta


def _clocks(databases: Databases) -> Clocks:
    before = databases.local.backend.now()
    remote = databases.remote.backend.now()
    after = databases.local.backend.now()
    offset = remote - (before + (after - before) / 2)
    return Clocks(before, offset if abs(offset) > max(CLOCK_NOISE, after - before) else timedelta(0))
