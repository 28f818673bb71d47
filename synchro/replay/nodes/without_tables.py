"""A REMOTE without synchro's tables has no node id. What its server says tells it from others."""

from __future__ import annotations

from django.utils.translation import gettext as _

from synchro.conf import LOCAL, conf
from synchro.exceptions import UnknownState
from synchro.models import Peer
from synchro.replay.session import Database


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
    LOCAL's row about this REMOTE, from the time before it had a node id, with its present alias and place, not saved;
    None where it was never met.

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
    """One of the REMOTEs without a node id that are not served any more may be this one, renamed."""
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
