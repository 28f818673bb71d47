"""
Peers: how a database knows another node.

A node is known by its UUID. A REMOTE without synchro's tables has none; what its server says tells it from others.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction
from django.utils.translation import gettext as _

from synchro.conf import LOCAL, conf
from synchro.exceptions import UnknownState
from synchro.models import Baseline, Checkpoint, Node, Peer, Receipt, Reference
from synchro.references import store, stored
from synchro.replay.nodes.former_names import drop_pending, pass_on
from synchro.replay.session import Database, Databases, RunState


def is_known_by_node_id(remote: Database, peers: Iterable[Peer]) -> bool:
    """Return whether LOCAL, with these `peers`, has met this REMOTE by a node id, which stands in one of its tables."""
    return any(peer.alias == remote.alias and peer.uuid is not None for peer in peers)


def find_peer_on_remote(databases: Databases, node: Node) -> Peer:
    """Return REMOTE's row about LOCAL, made where REMOTE has not met it."""
    found = Peer.objects.using(databases.remote.alias).filter(uuid=node.uuid).first()
    return found or _meet(databases.remote, databases.local, Peer(uuid=node.uuid))


def find_peer(
    databases: Databases, peer_on_remote: Peer, remote_node: Node, peers: Iterable[Peer], state: RunState
) -> Peer:
    """
    Return LOCAL's row about REMOTE, which is one of `peers` or is made.

    A REMOTE that had no synchro tables until now gets a node id in it.
    """
    remote, uuid = databases.remote, remote_node.uuid
    peer = next((one for one in peers if one.uuid == uuid), None)
    if peer is None:
        peer = nameless_peer(remote, has_tables=True) or Peer()
        if peer.pk is not None:
            _seed_remote(databases, peer, peer_on_remote)
        else:
            replaced = _drop_replaced(remote, remote_node, peer_on_remote)
            _warn_of_another(remote, replaced, state)
    if (peer.uuid, peer.alias) != (uuid, remote.alias) or not peer.place:
        is_new = peer.pk is None
        peer.uuid, peer.alias, peer.place = uuid, remote.alias, remote.backend.place()
        if is_new:
            _meet(databases.local, remote, peer)
        else:  # it may have sent to LOCAL, which did not know then where it is
            _drop_replaced(remote, remote_node, peer_on_remote)
            peer.save(using=LOCAL)
        take_over_references_of_07(peer)
    return peer


def checkpoint_of(peer: Peer) -> Checkpoint:
    """Return LOCAL's checkpoint towards this peer, made at the first call."""
    checkpoint, _created = Checkpoint.objects.using(LOCAL).get_or_create(peer_id=peer.pk)
    return checkpoint


def take_over_references_of_07(peer: Peer) -> None:
    """Release 0.7 knew one REMOTE, so its references are about this one."""
    Reference.objects.using(LOCAL).filter(peer=None).update(peer_id=peer.pk)


def _meet(database: Database, other: Database, peer: Peer) -> Peer:
    """Store `peer`, by which `database` knows `other` from now on, with what it knew of it under former names."""
    with transaction.atomic(using=database.alias):
        peer.save(using=database.alias)
        pass_on(database, other, peer)
    return peer


def _drop_replaced(remote: Database, remote_node: Node, peer_on_remote: Peer) -> list[Peer]:
    """
    Drop what waits for those in whose place REMOTE was loaded from a copy of LOCAL: it has all that they lack.

    Return who these were.
    """
    assert peer_on_remote.uuid is not None
    if not Baseline.objects.using(remote.alias).filter(node=peer_on_remote.uuid).exists():
        return []
    known = Peer.objects.using(LOCAL).filter(alias=remote.alias, place=remote.backend.place())
    replaced = list(known.exclude(uuid=None).exclude(uuid=remote_node.uuid))
    with transaction.atomic(using=LOCAL):
        for former in replaced:
            drop_pending(Database(LOCAL), former)
    return replaced


def _warn_of_another(remote: Database, replaced: Iterable[Peer], state: RunState) -> None:
    """Another node is served under an alias that was known: as a new one, but it may be a mistake."""
    gone = [peer.pk for peer in replaced]
    known = Peer.objects.using(LOCAL).filter(alias=remote.alias).exclude(uuid=None).exclude(pk__in=gone)
    former = Baseline.objects.using(remote.alias).values_list("node", flat=True).distinct()
    others = set(known.values_list("uuid", flat=True))
    if others and not others & set(former):
        state.warn(
            _(
                "The database “%(alias)s” is not the one that was known by this name. It was taken for a new one, and "
                "given all entries that are kept; where the other one stood is not forgotten. If that was not meant, "
                "correct DATABASES."
            )
            % {"alias": remote.alias}
        )


def _seed_remote(databases: Databases, peer: Peer, peer_on_remote: Peer) -> None:
    """Give REMOTE, which had no synchro tables until now, the receipt and the references that it could not keep."""
    alias = databases.remote.alias
    with transaction.atomic(using=alias):
        Receipt.objects.using(alias).get_or_create(
            peer_id=peer_on_remote.pk, defaults={"batch": checkpoint_of(peer).batch}
        )
        ranges = (
            (databases.remote.content_type_id(model), each.turned())
            for row, each in stored(LOCAL, [peer.pk])
            if (model := databases.local.model_of(row.content_type_id)) is not None
        )
        store(alias, peer_on_remote.pk, ranges)


# -- REMOTEs without synchro's tables ------------------------------------------------------------------------------


def refuse_lost_tables(remote: Database) -> None:
    """Raise `UnknownState` where the REMOTE known by this alias had synchro's tables, since this one has none."""
    if Peer.objects.using(LOCAL).filter(alias=remote.alias).exclude(uuid=None).exists():
        raise UnknownState(
            _(
                "The database “%(alias)s” has no synchro tables, but the one that was known by this name has: it is "
                "another database, or its tables were removed. Nothing was written. Correct the name and the host in "
                "DATABASES; if its tables were removed, restore them from a copy. If another database is meant to "
                "be served, give it an alias of its own."
            )
            % {"alias": remote.alias}
        )


def nameless_peer(remote: Database, has_tables: bool) -> Peer | None:
    """
    Return LOCAL's row about this REMOTE, from the time before it had a node id; None where it was never met.

    The row has the present alias and place, and is not saved.

    Raises `UnknownState` where that cannot be known.
    """
    found = list(Peer.objects.using(LOCAL).filter(uuid=None).order_by("pk"))
    if not found:
        return None
    alias, place = remote.alias, remote.backend.place()
    known = next((peer for peer in found if peer.place == place), None)
    if known is None:
        known = next((peer for peer in reversed(found) if peer.alias == alias), None)
        if known is not None and known.place:
            raise _moved(alias)
    if known is None:
        _refuse_a_new_name(alias, found, has_tables)
        return None
    known.alias, known.place = alias, place
    return known


def new_peer(remote: Database) -> Peer:
    return Peer(uuid=None, alias=remote.alias, place=remote.backend.place())


def _moved(alias: str) -> UnknownState:
    return UnknownState(
        _(
            "The database “%(alias)s” is not the one that was known by this name: its server, or its name there, is "
            "another. Nothing was written. Correct DATABASES. If it is the same database, which was moved or whose "
            "server was upgraded, say so once: Peer.objects.filter(uuid=None, alias='%(alias)s').update(place=''), "
            "with synchro.models.Peer. If another database is meant to be served, give it an alias of its own."
        )
        % {"alias": alias}
    )


def _refuse_a_new_name(alias: str, found: list[Peer], has_tables: bool) -> None:
    """Raise `UnknownState` where one of the REMOTEs without a node id that are not served any more may be this one."""
    # One whose place is known has moved as well, or it is not this one; a node id makes the latter likely.
    served = conf.remotes
    lost = [peer.alias for peer in found if peer.alias not in served and not (has_tables and peer.place)]
    if lost:
        raise UnknownState(
            _(
                "The database “%(alias)s” may be the one that was served as “%(lost)s”; nothing in it tells. Nothing "
                "was written, since its rows could be doubled. With synchro.models.Peer, say once: if it is, "
                "Peer.objects.filter(uuid=None, alias='%(lost)s').update(alias='%(alias)s', place=''); if it is "
                "another database, Peer.objects.create(uuid=None, alias='%(alias)s')."
            )
            % {"alias": alias, "lost": lost[-1]}
        )
