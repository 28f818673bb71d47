"""Origin: whether REMOTE knows LOCAL, by its present node id, as where rows of its own came from."""

from __future__ import annotations

from django.db import DatabaseError, transaction
from django.utils.translation import gettext as _

from synchro.conf import LOCAL, conf
from synchro.exceptions import KnownAsOrigin
from synchro.models import Checkpoint, Node, Peer, Receipt, Reference


def refuse_origin() -> None:
    """
    Raise `KnownAsOrigin` where a REMOTE of the settings has received something from LOCAL, or may have and cannot be
    asked; not where one shows that LOCAL is a copy of it, since both have the same node id.
    """
    node = Node.objects.using(LOCAL).filter(pk=1).first()
    sent = Checkpoint.objects.using(LOCAL).filter(batch__gt=0).values_list("peer__alias", flat=True)
    if node is None or not sent:
        return
    knowing: list[str] = []
    for alias in conf.remotes:
        try:
            with transaction.atomic(using=alias):
                if Node.objects.using(alias).filter(uuid=node.uuid).exists():
                    return
                is_known = _has_received(alias, node)
        except DatabaseError:  # it cannot be reached, or has no tables of synchro
            is_known = alias in sent
        if is_known:
            knowing.append(alias)
    if knowing:
        raise KnownAsOrigin(
            _(
                "Nothing was reset. The database “%(alias)s” knows this one as the origin of rows: after a reset, "
                "changes that it has not received never reach it. If this database is a copy, loaded a moment ago, say "
                "so: reset_synchro(is_copy=True), or manage.py synchro_reset --copy. If it is not, do not reset it; "
                "synchronize it."
            )
            % {"alias": "”, “".join(knowing)}
        )


def _has_received(alias: str, node: Node) -> bool:
    peers = Peer.objects.using(alias).filter(uuid=node.uuid)
    received = Receipt.objects.using(alias).filter(peer__in=peers, batch__gt=0)
    return received.exists() or Reference.objects.using(alias).filter(peer__in=peers).exists()
