"""
Who else exchanges changes with these two databases.

What a run writes into REMOTE is not in REMOTE's log. So of two nodes that send to one database neither gets what the
other sent, and the older change of one can overwrite the newer one of the other without a conflict. Until origins are
passed on, more than one sender is refused.
"""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _

from synchro.conf import LOCAL
from synchro.exceptions import NotConfigured
from synchro.models import Peer, Receipt
from synchro.replay.link import Link


def refuse_other_senders(link: Link, receipts: list[Receipt]) -> None:
    """
    Raise `NotConfigured` where another node than LOCAL sends to REMOTE, or another one than REMOTE sends to LOCAL.

    `receipts` are all of REMOTE's, with their peers. One that is older than the first meeting of LOCAL and REMOTE does
    not count: it is from a former name of one of them, or came with the copy that one of them was loaded from.
    """
    if link.peer_there is None:
        return
    other = _sender(receipts, link.peer_there)
    if other is not None:
        raise NotConfigured(
            _(
                "Another node (%(other)s) sends changes to the database “%(alias)s” too. Nothing was written: with "
                "more than one sender the older change of one could overwrite the newer one of another unnoticed, and "
                "none would get what another sent. Let one node send there. If that node sends no more, say so in the "
                "database “%(alias)s”, with synchro.models.Receipt: "
                "Receipt.objects.using(“%(alias)s”).filter(peer__uuid=“%(uuid)s”).delete()"
            )
            % {"other": other, "alias": link.remote.alias, "uuid": other.uuid}
        )
    other = _sender(list(Receipt.objects.using(LOCAL).select_related("peer")), link.peer)
    if other is not None:
        raise NotConfigured(
            _(
                "Another node (%(other)s) sends changes to LOCAL, which are not passed on to the database “%(alias)s”. "
                "Nothing was written: it would miss them, and newer ones among them could be overwritten unnoticed. "
                "Let that node send to each database itself, or take “%(alias)s” out of SYNCHRO_REMOTE. If that node "
                "sends no more, say so with synchro.models.Receipt: "
                "Receipt.objects.filter(peer__uuid=“%(uuid)s”).delete()"
            )
            % {"other": other, "alias": link.remote.alias, "uuid": other.uuid}
        )


def _sender(receipts: list[Receipt], peer: Peer) -> Peer | None:
    """Return another node than `peer` that has sent something since `peer` was met."""
    for receipt in receipts:
        if receipt.peer_id != peer.pk and receipt.batch and _is_later(receipt.date, peer.met):
            return receipt.peer
    return None


def _is_later(moment: datetime, met: datetime | None) -> bool:
    return met is None or moment > met
