"""
References: the remembered pairs of keys. Each side keeps its own, with its own key first.

Only keys that a database hands out are remembered, and those are whole numbers. All that depends on how a key is
spelled in a reference is here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from django.db.models import Model

from synchro.backends.base import PairsTable
from synchro.backends.digests import Digests
from synchro.keys import Key, from_text, to_text
from synchro.models import Reference
from synchro.replay.session import Database, Session

TABLE = Reference._meta.db_table
COLUMNS = ("local_object_id", "remote_object_id")

#: How many objects one statement asks about.
PART = 5000


def remote_keys(session: Session, model: type[Model], keys: Collection[Key]) -> dict[Key, Key]:
    """Return REMOTE's keys, by LOCAL's, of those of these objects that LOCAL, or this run, has references of."""
    database = session.local
    wanted = [(str(key),) for key in keys]
    where = _of(database, session.peer.pk, model)
    pairs = database.backend.select(TABLE, COLUMNS, COLUMNS[:1], wanted, where=where)
    return {int(local): int(remote) for local, remote in pairs} | session.state.new_references.remote_keys(
        model, keys
    )


def local_keys(session: Session, model: type[Model], keys: Collection[Key]) -> dict[Key, Key]:
    """
    Return LOCAL's keys, by REMOTE's, of those of these rows of REMOTE that LOCAL has references of.

    REMOTE's references lead to those of LOCAL, which have no index by REMOTE's keys.
    """
    texts = [to_text(model, key) for key in keys]
    own = Reference.objects.using(session.local.alias).filter(
        peer_id=session.peer.pk, content_type_id=session.local.content_type_id(model)
    )
    found: dict[Key, Key] = {}
    for start in range(0, len(texts), PART):
        part = texts[start : start + PART]
        if session.peer_on_remote is None:
            pairs = own.filter(remote_object_id__in=part)
        else:
            others = Reference.objects.using(session.remote.alias).filter(
                peer_id=session.peer_on_remote.pk,
                content_type_id=session.remote.content_type_id(model),
                local_object_id__in=part,
            )
            pairs = own.filter(local_object_id__in=list(others.values_list("remote_object_id", flat=True)))
        for local, remote in pairs.values_list("local_object_id", "remote_object_id"):
            found[from_text(model, remote)] = from_text(model, local)
    return found | session.state.new_references.local_keys(model, keys)


def local_keys_by_remote(session: Session, model: type[Model], keys: Collection[Key]) -> dict[Key, Key]:
    """Return LOCAL's keys, by REMOTE's, of those of these rows of REMOTE that REMOTE has references of."""
    if session.peer_on_remote is None:
        return {}
    database, wanted = session.remote, [(str(key),) for key in keys]
    where = _of(database, session.peer_on_remote.pk, model)
    pairs = database.backend.select(TABLE, COLUMNS, COLUMNS[:1], wanted, where=where)
    return {int(remote): int(local) for remote, local in pairs}


def joined(
    database: Database, peer: int, model: type[Model], column: str, name: str, digests: Digests
) -> tuple[str, str]:
    """
    Return SQL that joins the database's references of rows of `model`, and SQL of the other side's key.

    `column` is SQL of the database's own key, and `name` one that nothing else in the statement has. The other side's
    key is NULL where the database has no reference.
    """
    quote = database.connection.ops.quote_name
    table, own, other = quote(TABLE), *map(quote, COLUMNS)
    conditions = [f"{name}.{quote(key)} = {value:d}" for key, value in _of(database, peer, model).items()]
    conditions.append(f"{name}.{own} = {digests.as_text.format(column)}")
    return (
        f" LEFT JOIN {table} AS {name} ON {' AND '.join(conditions)}",
        digests.as_number.format(f"{name}.{other}"),
    )


def remember(database: Database, peer: int, model: type[Model], pairs: Mapping[Key, Key], batch: int) -> None:
    """Store the pairs in a database, whose own keys come first."""
    place = PairsTable(TABLE, COLUMNS, where=_of(database, peer, model), also={"batch": batch})
    database.backend.put_pairs(place, pairs)


def forget(database: Database, peer: int, model: type[Model], keys: Collection[Key]) -> None:
    """Delete the references of these objects, by the database's own keys."""
    wanted = [(str(key),) for key in keys]
    database.backend.delete(TABLE, COLUMNS[:1], wanted, _of(database, peer, model))


def _of(database: Database, peer: int, model: type[Model]) -> dict[str, int]:
    return {"peer_id": peer, "content_type_id": database.content_type_id(model)}
