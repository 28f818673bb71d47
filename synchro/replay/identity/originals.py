"""
Originals: which row of REMOTE a row is that may have come there by another node.

A reference knows two nodes. A third one that gets a row both from where it was made and from where it went first, has
to know that it is one row. So with each row goes where it was first: the node, and its key there. Whatever a node knows
of what its row is elsewhere leads to the row: where it was first, what it is on the nodes that it was sent to
(references), and on the node that this one was loaded from a copy of (baselines).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeAlias
from uuid import UUID

from django.db.models import Model

from synchro.keys import Key, from_text, is_integer, key_fields, to_text
from synchro.models import DELETION, Baseline, ChangeLog, Original, Peer, Reference
from synchro.replay.log.ranges import Range
from synchro.replay.rows import select
from synchro.replay.session import Database, Pairs, Session

#: A row of a node, by its key as text.
Name: TypeAlias = tuple[UUID, str]

#: How many keys are asked for by one statement.
PART = 1000


def find_originals(session: Session, model: type[Model], keys: Collection[Key]) -> dict[Key, list[Key]]:
    """REMOTE's keys that these objects of LOCAL may have, the likeliest first."""
    names: dict[Name, Key] = {}
    for key, several in _names(session, model, keys).items():
        for name in several:
            names.setdefault(name, key)
    found: dict[Key, list[Key]] = {}
    for name, there in _named(session, model, names):
        several = found.setdefault(names[name], [])
        if there not in several:
            several.append(there)
    return found


def _names(session: Session, model: type[Model], keys: Collection[Key]) -> dict[Key, list[Name]]:
    """All that these objects are known as, on LOCAL and elsewhere."""
    side, texts = session.local, {to_text(model, key): key for key in keys}
    found: dict[Key, list[Name]] = {key: [] for key in keys}
    for text, name in _originals(side, model, texts):
        found[texts[text]].append(name)
    for text, key in texts.items():
        found[key].append((session.node, text))
    peers = Peer.objects.using(side.alias).exclude(uuid=None).exclude(pk=session.peer.pk)
    for pk, uuid in peers.values_list("pk", "uuid"):
        assert uuid is not None
        references = Reference.objects.using(side.alias).filter(
            peer_id=pk, content_type_id=side.content_type_id(model)
        )
        for part in _parts(texts):
            for here, there in references.filter(local_object_id__in=part).values_list(
                "local_object_id", "remote_object_id"
            ):
                found[texts[here]].append((uuid, there))
    for node, highest in _baselines(side, model).items():
        for text, key in texts.items():
            if key <= highest:
                found[key].append((node, text))
    return found


def _named(session: Session, model: type[Model], names: Collection[Name]) -> Iterator[tuple[Name, Key]]:
    """Which of REMOTE's rows have these names."""
    side = session.remote
    by_node: dict[UUID, list[str]] = {}
    for node, text in names:
        by_node.setdefault(node, []).append(text)
    for text in by_node.pop(session.peer.uuid or session.node, ()):
        yield (session.peer.uuid or session.node, text), from_text(model, text)
    own = Original.objects.using(side.alias).filter(content_type_id=side.content_type_id(model))
    for node, texts in by_node.items():
        for part in _parts(texts):
            rows = own.filter(node=node, object_id__in=part)
            for there, here in rows.values_list("object_id", "local_object_id"):
                yield (node, there), from_text(model, here)
    for node, highest in _baselines(side, model).items():
        for text in by_node.get(node, ()):
            if int(text) <= highest:
                yield (node, text), from_text(model, text)


def note_originals(session: Session, pairs: Pairs) -> None:
    """Within REMOTE's transaction: have REMOTE know where the rows were first that came to it as these."""
    side = session.remote
    for model, found in pairs.items():
        texts = {to_text(model, here): to_text(model, there) for here, there in found.items()}
        known: dict[str, list[Name]] = {}
        for text, name in _originals(session.local, model, texts):
            known.setdefault(text, []).append(name)
        kind, by_node = side.content_type_id(model), dict[UUID, dict[str, str]]()
        for here, there in texts.items():
            for node, text in known.get(here) or [(session.node, here)]:
                if node != session.peer.uuid:
                    by_node.setdefault(node, {})[text] = there
        own = Original.objects.using(side.alias)
        for node, rows in by_node.items():
            for part in _parts(rows):
                own.filter(content_type_id=kind, node=node, object_id__in=part)._raw_delete(side.alias)
            own.bulk_create(
                [
                    Original(content_type_id=kind, local_object_id=there, node=node, object_id=text)
                    for text, there in rows.items()
                ],
                batch_size=PART,
            )


def forget_originals(side: Database, ids: Range) -> None:
    """Of rows that were deleted with these entries, and are not there: nobody will ask for them any more."""
    if not Original.objects.using(side.alias).exists():
        return
    deleted = ChangeLog.objects.using(side.alias).filter(id__range=ids, action=DELETION)
    by_type: dict[int, list[str]] = {}
    for kind, text in deleted.values_list("content_type_id", "object_id"):
        by_type.setdefault(kind, []).append(text)
    for kind, texts in by_type.items():
        model = side.model_of(kind)
        if model is None or not keeps_one_number(model):
            continue
        for part in _parts(texts):
            keys = [(int(text),) for text in part if text.removeprefix("-").isdecimal()]
            own_key = key_fields(model)
            present = {str(key) for (key,) in select(side, model, own_key, own_key, keys)}
            gone = [text for text in part if text not in present]
            own = Original.objects.using(side.alias).filter(content_type_id=kind, local_object_id__in=gone)
            own._raw_delete(side.alias)


def keeps_one_number(model: type[Model]) -> bool:
    """Whether its rows are known by one whole number."""
    own, *more = key_fields(model)
    return not more and own.remote_field is None and is_integer(own)


def _originals(side: Database, model: type[Model], texts: Iterable[str]) -> Iterator[tuple[str, Name]]:
    own = Original.objects.using(side.alias).filter(content_type_id=side.content_type_id(model))
    for part in _parts(texts):
        rows = own.filter(local_object_id__in=part).order_by("id")
        for here, node, there in rows.values_list("local_object_id", "node", "object_id"):
            yield here, (node, there)


def _baselines(side: Database, model: type[Model]) -> Mapping[UUID, int]:
    notes = Baseline.objects.using(side.alias).filter(content_type_id=side.content_type_id(model))
    return dict(notes.values_list("node", "highest"))


def _parts(texts: Iterable[str]) -> Iterator[list[str]]:
    several = list(texts)
    for start in range(0, len(several), PART):
        yield several[start : start + PART]
