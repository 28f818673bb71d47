"""
References in a run: what LOCAL and REMOTE remember of each other's keys.

Only keys that a database hands out are remembered, and those are whole numbers. `synchro.references` stores them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from django.db.models import Model

from synchro.keys import Key
from synchro.references import References
from synchro.replay.session import Database, Session


def references(database: Database, peer: int, model: type[Model]) -> References:
    """Return what a database remembers of its rows of `model` and of this peer."""
    return References(database.backend, peer, database.content_type_id(model))


def remote_keys(session: Session, model: type[Model], keys: Collection[Key]) -> dict[Key, Key]:
    """Return REMOTE's keys, by LOCAL's, of those of these objects that LOCAL, or this run, has references of."""
    found = references(session.local, session.peer.pk, model).find(keys)
    return found | session.state.new_references.remote_keys(model, keys)


def local_keys(session: Session, model: type[Model], keys: Collection[Key]) -> dict[Key, Key]:
    """
    Return LOCAL's keys, by REMOTE's, of those of these rows of REMOTE that LOCAL has references of.

    REMOTE's references lead to those of LOCAL, which have no index by REMOTE's keys.
    """
    own = references(session.local, session.peer.pk, model)
    if session.peer_on_remote is None:
        found = own.find_by_other(keys)
    else:
        others = references(session.remote, session.peer_on_remote.pk, model).find(keys)
        found = {remote: local for local, remote in own.find(others.values()).items()}
    return found | session.state.new_references.local_keys(model, keys)


def local_keys_by_remote(session: Session, model: type[Model], keys: Collection[Key]) -> dict[Key, Key]:
    """Return LOCAL's keys, by REMOTE's, of those of these rows of REMOTE that REMOTE has references of."""
    if session.peer_on_remote is None:
        return {}
    return references(session.remote, session.peer_on_remote.pk, model).find(keys)


def joined(database: Database, peer: int, model: type[Model], column: str, name: str) -> tuple[str, str]:
    """
    Return SQL that joins the database's references of rows of `model`, and SQL of the other side's key.

    `column` is SQL of the database's own key, and nothing else in the statement has a name that begins with `name`. The
    other side's key is NULL where the database has no reference.
    """
    return references(database, peer, model).joined(column, name)


def remember(database: Database, peer: int, model: type[Model], pairs: Mapping[Key, Key], batch: int) -> None:
    """Store the pairs in a database, whose own keys come first. To be called inside a transaction."""
    references(database, peer, model).put(pairs, batch)


def forget(database: Database, peer: int, model: type[Model], keys: Collection[Key]) -> None:
    """Delete the references of these objects, by the database's own keys. To be called inside a transaction."""
    references(database, peer, model).remove(keys)
