"""
Topology: who else exchanges changes with these two databases, and whether REMOTE's log is to tell them.

What a run writes into REMOTE is not captured there. Where nobody but LOCAL and REMOTE takes part, nobody needs it to
be. But a third node that gets REMOTE's changes has to get these too, and one that sends to REMOTE has to find in its
log what is newer there. So as soon as a third node is seen, the runs to REMOTE write their entries into its log
themselves (`synchro.replay.nodes.forward`). REMOTE notes since when, and goes on with it for good.

A REMOTE that sends nowhere, and gets changes from LOCAL alone, never needs that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from synchro.conf import LOCAL
from synchro.exceptions import NotConfigured, NotReady
from synchro.models import Baseline, Checkpoint, Node, Original, Peer, Receipt, Reset
from synchro.references import stored
from synchro.registry import watched_models
from synchro.replay.conflicts.policy import policy_for
from synchro.replay.log.position import own_node
from synchro.replay.session import Database, Session

#: By how much clocks may differ where times of several nodes are compared as they are.
MOST_SKEW = timedelta(minutes=1)

#: How many rows are written at once.
AT_ONCE = 5000


def agree_on_forwarding(
    session: Session, local: Node, remote: Node, receipts: list[Receipt], checkpoint: Checkpoint
) -> Session:
    """
    Find out whether REMOTE's log gets entries of what this run writes, and return the session with the answer.

    `local` and `remote` are the rows of the two nodes, `receipts` all of REMOTE's. Raises `NotConfigured` where REMOTE
    would miss what others sent to LOCAL, or where what decides conflicts is not the same on all nodes, and `NotReady`
    where the clocks are too far apart.
    """
    peer_on_remote = session.peer_on_remote
    assert peer_on_remote is not None
    local_receipts = list(Receipt.objects.using(LOCAL).select_related("peer"))
    receives = _has_sender(session.local, local_receipts, session.peer, session.remote)
    if receives and local.forwards_since is None:
        _begin_forwarding(session.local, local)
        local_receipts = list(Receipt.objects.using(LOCAL).select_related("peer"))
    if not checkpoint.batch:
        _refuse_missing_changes(session, local, remote, local_receipts)
    is_met = _has_sender(session.remote, receipts, peer_on_remote, session.local)
    sent = _checkpoints(session.remote)
    is_third = (
        receives or is_met or _sends_elsewhere(_checkpoints(session.local), session.peer, session.remote)
    )
    is_third = is_third or _sends_elsewhere(sent, peer_on_remote, session.local)
    forwards = remote.forwards_since is not None or (is_third and (bool(sent) or is_met))
    if not forwards:
        return session
    if receives or is_met:
        _refuse_other_policies(session)
    _refuse_other_clocks(session)
    if remote.forwards_since is None:
        _begin_forwarding(session.remote, remote)
    unlogged = Receipt.objects.using(session.remote.alias).filter(peer_id=peer_on_remote.pk)
    # Times of several nodes are compared as they are: what one measures of another, a third cannot know.
    return replace(
        session,
        forwards=True,
        unlogged=unlogged.values_list("unlogged", flat=True).first(),
        offset=timedelta(0),
    )


def note_what_is_received(session: Session, local: Node, checkpoint: Checkpoint) -> None:
    """Let a REMOTE without synchro tables get what others send to LOCAL, and warn of what it has missed."""
    receipts, begun = Receipt.objects.using(LOCAL).select_related("peer"), _last_reset(session.local)
    if begun is not None:
        receipts = receipts.filter(date__gt=begun)
    if local.forwards_since is None and receipts.exists():
        _begin_forwarding(session.local, local)
    missing = None if checkpoint.batch else receipts.filter(unlogged__gt=0).first()
    if missing is not None:
        session.warn(
            _(
                "Another node (%(other)s) has sent changes to LOCAL, of which the database “%(alias)s” does not get "
                "those from before %(moment)s. If it lacks them, add synchro to its INSTALLED_APPS and migrate it, "
                "load it from a copy of LOCAL, and call synchro.core.reset_synchro(is_copy=True) there."
            )
            % {"other": missing.peer, "alias": session.remote.alias, "moment": local.forwards_since}
        )


def _has_sender(database: Database, receipts: list[Receipt], peer: Peer, other: Database) -> bool:
    """
    Return whether another node than `peer`, which is `other`, sends to `database`, or has announced that it will.

    Receipts from before a reset came with the copy that `database` was loaded from. Where `other` is a copy of
    `database`, what it has a copy of is in its rows: an office that is loaded anew each night leaves a receipt under
    each of its names.
    """
    found = [receipt for receipt in receipts if receipt.peer_id != peer.pk]
    if not found:
        return False
    begun, names, copied = _last_reset(database), _Names(other), _copied_receipts(database, other)
    return any(
        names.is_of_another(receipt.peer, receipt.date)
        and (begun is None or receipt.date > begun)
        and (receipt.peer.uuid, receipt.batch, receipt.token) not in copied
        for receipt in found
    )


def _copied_receipts(database: Database, other: Database) -> set[tuple[UUID | None, int, str]]:
    """Return whose batches, and up to which, came with the copy of `database` that `other` was loaded from last."""
    begun = _last_reset(other)
    if begun is None:
        return set()
    note = Baseline.objects.using(other.alias).filter(node=own_node(database.alias).uuid)
    if not note.exists():
        return set()
    receipts = Receipt.objects.using(other.alias).filter(date__lte=begun)
    return set(receipts.values_list("peer__uuid", "batch", "token"))


def _checkpoints(database: Database) -> list[Checkpoint]:
    """Return one for each node that `database` has been sending to."""
    return list(Checkpoint.objects.using(database.alias).select_related("peer"))


def _sends_elsewhere(checkpoints: list[Checkpoint], peer: Peer, other: Database) -> bool:
    """
    Return whether a node with these `checkpoints` has been sending to another one than `peer`, which is `other`.

    A peer with the same alias is a former name of it.
    """
    others = [one for one in checkpoints if one.peer_id != peer.pk]
    found = [one for one in others if not (peer.alias and one.peer.alias == peer.alias)]
    if not found:
        return False
    names = _Names(other)
    return any(names.is_of_another(one.peer, one.date) for one in found)


class _Names:
    """
    The names that a node had before it was reset.

    They may be those of nodes that it was loaded from copies of. These go on: what they do since then is another's.
    """

    def __init__(self, database: Database) -> None:
        notes = Baseline.objects.using(database.alias).values_list("node", flat=True)
        self._former, self._reset = set(notes.distinct()), _last_reset(database)

    def is_of_another(self, peer: Peer, date: datetime | None) -> bool:
        if peer.uuid not in self._former:
            return True
        return date is not None and self._reset is not None and date > self._reset


def _last_reset(database: Database) -> datetime | None:
    return Reset.objects.using(database.alias).order_by("-id").values_list("date", flat=True).first()


def _begin_forwarding(database: Database, node: Node) -> None:
    """Note that from now on the log of `database` has entries of what it receives, and none of what came before."""
    alias = database.alias
    with transaction.atomic(using=alias):
        database.backend.begin_writing()
        # A batch that is on its way is waited for, and the run that brings it begins anew (see `lock_receipt`).
        list(Receipt.objects.using(alias).select_for_update().order_by("pk"))
        if Node.objects.using(alias).filter(pk=1).exclude(forwards_since=None).exists():
            return
        Receipt.objects.using(alias).update(unlogged=F("batch"))
        rows = _originals(alias)
        while part := list(islice(rows, AT_ONCE)):
            Original.objects.using(alias).bulk_create(part, ignore_conflicts=True)
        now = database.backend.now()
        Node.objects.using(alias).filter(pk=1).update(forwards_since=now)
    node.refresh_from_db(using=alias, fields=["forwards_since"])


def _originals(alias: str) -> Iterator[Original]:
    """Yield what the rows of a database are on other nodes, by its references."""
    names = dict(Peer.objects.using(alias).exclude(uuid=None).values_list("pk", "uuid"))
    for row, each in stored(alias, names, order=["id"]):
        node = names[row.peer_id or 0]
        assert node is not None
        for own, other in each.pairs():
            yield Original(
                content_type_id=row.content_type_id,
                local_object_id=str(own),
                node=node,
                object_id=str(other),
            )


def _refuse_missing_changes(session: Session, local: Node, remote: Node, receipts: list[Receipt]) -> None:
    """Raise `NotConfigured` where REMOTE, which gets its first batch, would miss what others sent to LOCAL before."""
    missing = [receipt for receipt in receipts if receipt.peer_id != session.peer.pk and receipt.unlogged]
    begun = _last_reset(session.local)
    if (
        session.copied_log and begun
    ):  # what came with the copy of REMOTE that LOCAL was loaded from, REMOTE has
        missing = [receipt for receipt in missing if receipt.date > begun]
    if missing:  # what came with the copy of LOCAL that REMOTE was loaded from
        known = {name: batch for name, batch, _token in _copied_receipts(session.local, session.remote)}
        missing = [one for one in missing if (one.unlogged or 0) > known.get(one.peer.uuid, 0)]
    if not missing:
        return
    copies = Baseline.objects.using(session.remote.alias).filter(node=local.uuid)
    if remote.forwards_since == local.forwards_since and copies.exists():
        return
    raise NotConfigured(
        _(
            "Another node (%(other)s) has sent changes to LOCAL, of which the database “%(alias)s” would not get those "
            "from before %(moment)s. Nothing was written. From that moment on LOCAL passes on what it receives. So "
            "load “%(alias)s” from a copy of LOCAL that is made now, call synchro.core.reset_synchro(is_copy=True) "
            "there, and synchronize again. If “%(alias)s” has changes of its own, let it send them to LOCAL before "
            "that."
        )
        % {"other": missing[0].peer, "alias": session.remote.alias, "moment": local.forwards_since}
    )


def _refuse_other_policies(session: Session) -> None:
    """Raise `NotConfigured` for another policy than "newer": with more than two nodes its results would differ."""
    for model in watched_models():
        if not policy_for(model).converges:
            raise NotConfigured(
                _(
                    "The database “%(alias)s” exchanges changes with more than one node, and SYNCHRO_CONFLICT of "
                    "%(model)s is not “newer”: then the nodes would not end equal. Nothing was written. Set it to "
                    "“newer” on all nodes."
                )
                % {"alias": session.remote.alias, "model": model._meta.label}
            )


def _refuse_other_clocks(session: Session) -> None:
    """Raise `NotReady` where the two clocks are too far apart, and warn where they are apart."""
    if not session.offset:
        return
    names = {"alias": session.remote.alias, "seconds": round(session.offset.total_seconds())}
    if abs(session.offset) > MOST_SKEW:
        raise NotReady(
            _(
                "The clock of the database “%(alias)s” is %(seconds)d seconds ahead of LOCAL's. With more than two "
                "nodes the times of changes are compared as the clocks gave them. Nothing was written. Set the "
                "clocks, and synchronize again."
            )
            % names
        )
    session.warn(
        _(
            "The clock of the database “%(alias)s” is %(seconds)d seconds ahead of LOCAL's. With more than two nodes "
            "the times of changes are compared as the clocks gave them, so set the clocks."
        )
        % names
    )
