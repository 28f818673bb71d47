"""
Originals: which row of REMOTE an object is that another node may have sent there.

A reference connects two nodes. A third node may receive a row both from the node that made it and from another one, and
has to know that it is one row. So each row keeps where it was made: the node, and the key there. All that a node knows
of a row elsewhere leads to it: where it was made, its keys on the nodes that it was sent to (references), and on the
node that this one is a copy of (baselines).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeAlias
from uuid import UUID

from django.db.models import Model

from synchro.keys import Key, from_text, is_integer, key_fields, to_text
from synchro.models import DELETION, Baseline, ChangeLog, Original, Peer
from synchro.replay.identity.references import references
from synchro.replay.log.ranges import Range
from synchro.replay.rows import select
from synchro.replay.session import Database, Pairs, Session

#: A row of a node, by the key there as text.
Name: TypeAlias = tuple[UUID, str]

#: How many keys one statement asks about.
PART = 1000


def find_originals(session: Session, model: type[Model], keys: Collection[Key]) -> dict[Key, list[Key]]:
    """Return REMOTE's keys that these objects of LOCAL may have, the likeliest first."""
    names: dict[Name, Key] = {}
    for key, several in _names(session, model, keys).items():
        for name in several:
            names.setdefault(name, key)
    found: dict[Key, list[Key]] = {}
    for name, remote in _named(session, model, names):
        several = found.setdefault(names[name], [])
        if remote not in several:
            several.append(remote)
    return found


def _names(session: Session, model: type[Model], keys: Collection[Key]) -> dict[Key, list[Name]]:
    """Return all names that these objects have, on LOCAL and elsewhere."""
    local, texts = session.local, {to_text(model, key): key for key in keys}
    found: dict[Key, list[Name]] = {key: [] for key in keys}
    for text, name in _originals(local, model, texts):
        found[texts[text]].append(name)
    for text, key in texts.items():
        found[key].append((session.node, text))
    peers = Peer.objects.using(local.alias).exclude(uuid=None).exclude(pk=session.peer.pk)
    for pk, uuid in peers.values_list("pk", "uuid"):
        assert uuid is not None
        for own, other in references(local, pk, model).find(keys).items():
            found[own].append((uuid, str(other)))
    for node, highest in _baselines(local, model).items():
        for text, key in texts.items():
            if key <= highest:
                found[key].append((node, text))
    return found


def _named(session: Session, model: type[Model], names: Collection[Name]) -> Iterator[tuple[Name, Key]]:
    """Yield those of these names that rows of REMOTE have, with REMOTE's keys."""
    remote = session.remote
    by_node: dict[UUID, list[str]] = {}
    for node, text in names:
        by_node.setdefault(node, []).append(text)
    for text in by_node.pop(session.peer.uuid or session.node, ()):
        yield (session.peer.uuid or session.node, text), from_text(model, text)
    originals = Original.objects.using(remote.alias).filter(content_type_id=remote.content_type_id(model))
    for node, texts in by_node.items():
        for part in _parts(texts):
            rows = originals.filter(node=node, object_id__in=part)
            for other, own in rows.values_list("object_id", "local_object_id"):
                yield (node, other), from_text(model, own)
    for node, highest in _baselines(remote, model).items():
        for text in by_node.get(node, ()):
            if int(text) <= highest:
                yield (node, text), from_text(model, text)


def note_originals(session: Session, pairs: Pairs) -> None:
    """Write to REMOTE, within its transaction, where these rows were made."""
    remote = session.remote
    for model, found in pairs.items():
        texts = {to_text(model, local): to_text(model, key) for local, key in found.items()}
        known: dict[str, list[Name]] = {}
        for text, name in _originals(session.local, model, texts):
            known.setdefault(text, []).append(name)
        kind, by_node = remote.content_type_id(model), dict[UUID, dict[str, str]]()
        for local_text, remote_text in texts.items():
            for node, text in known.get(local_text) or [(session.node, local_text)]:
                if node != session.peer.uuid:
                    by_node.setdefault(node, {})[text] = remote_text
        originals = Original.objects.using(remote.alias)
        for node, rows in by_node.items():
            for part in _parts(rows):
                old = originals.filter(content_type_id=kind, node=node, object_id__in=part)
                old._raw_delete(remote.alias)
            originals.bulk_create(
                [
                    Original(content_type_id=kind, local_object_id=own, node=node, object_id=text)
                    for text, own in rows.items()
                ],
                batch_size=PART,
            )


def forget_originals(database: Database, ids: Range) -> None:
    """Delete the originals of rows that these entries deleted and that the database does not have."""
    if not Original.objects.using(database.alias).exists():
        return
    deleted = ChangeLog.objects.using(database.alias).filter(id__range=ids, action=DELETION)
    by_type: dict[int, list[str]] = {}
    for kind, text in deleted.values_list("content_type_id", "object_id"):
        by_type.setdefault(kind, []).append(text)
    for kind, texts in by_type.items():
        model = database.model_of(kind)
        if model is None or not keeps_one_number(model):
            continue
        for part in _parts(texts):
            keys = [(int(text),) for text in part if text.removeprefix("-").isdecimal()]
            own_key = key_fields(model)
            present = {str(key) for (key,) in select(database, model, own_key, own_key, keys)}
            gone = [text for text in part if text not in present]
            originals = Original.objects.using(database.alias)
            originals.filter(content_type_id=kind, local_object_id__in=gone)._raw_delete(database.alias)


def keeps_one_number(model: type[Model]) -> bool:
    """Return whether the key of `model` is one whole number."""
    own, *more = key_fields(model)
    return not more and own.remote_field is None and is_integer(own)


def _originals(database: Database, model: type[Model], texts: Iterable[str]) -> Iterator[tuple[str, Name]]:
    """Yield the keys of these rows of the database with where they were made, as far as it is noted."""
    kind = database.content_type_id(model)
    originals = Original.objects.using(database.alias).filter(content_type_id=kind)
    for part in _parts(texts):
        rows = originals.filter(local_object_id__in=part).order_by("id")
        for own, node, other in rows.values_list("local_object_id", "node", "object_id"):
            yield own, (node, other)


def _baselines(database: Database, model: type[Model]) -> Mapping[UUID, int]:
    """Return the nodes that the database is a copy of, each with the highest key that it has from there."""
    kind = database.content_type_id(model)
    baselines = Baseline.objects.using(database.alias).filter(content_type_id=kind)
    return dict(baselines.values_list("node", "highest"))


def _parts(texts: Iterable[str]) -> Iterator[list[str]]:
    several = list(texts)
    for start in range(0, len(several), PART):
        yield several[start : start + PART]
