"""Differences that a change explains which is on its way, or in quarantine."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from django.db.models import Model, Q

from synchro.keys import Key, key_fields, to_text
from synchro.models import DELETION, M2M_CHANGE, ChangeLog, SetAside
from synchro.registry import same_object_models
from synchro.relations import is_symmetrical, target_of
from synchro.replay.log.changes import M2M, RowId
from synchro.replay.log.pending import ids_pending_for, pending_entries
from synchro.replay.log.remote_log import RemoteLog
from synchro.replay.rows import as_values
from synchro.replay.session import Database, Session

#: How many objects one statement asks about.
PART = 1_000


def pending_on_local(session: Session, model: type[Model], keys: Collection[Key]) -> set[Key]:
    """Return those of these objects of LOCAL that REMOTE lacks an entry of."""
    row_ids: list[RowId] = [(model, key) for key in keys]
    # An entry of a parent or child in multi-table inheritance has the same key.
    found = {entry.key for entry in pending_entries(session, row_ids)}
    if model._meta.auto_created:
        found |= _pending_pairs(session, model, keys)
    return found & set(keys)


def _pending_pairs(session: Session, through: type[Model], pairs: Collection[Key]) -> set[Key]:
    """Return those of these pairs that an entry of an object at either end explains: of a set, or of its deletion."""
    pending, found = ids_pending_for(session), set[Key]()
    for place, owner in _ends(through):
        texts = {to_text(owner, as_values(pair)[place]) for pair in pairs}
        kinds = [session.local.content_type_id(each) for each in same_object_models(owner)]
        changed = set()
        names = list(texts)
        for start in range(0, len(names), PART):
            # Of the pairs that go with an object, Django sends no signal.
            log = ChangeLog.objects.using(session.local.alias).filter(
                id__gte=pending.first,
                action__in=(M2M_CHANGE, DELETION),
                content_type_id__in=kinds,
                object_id__in=names[start : start + PART],
            )
            changed |= {text for number, text in log.values_list("id", "object_id") if number in pending}
        found |= {pair for pair in pairs if to_text(owner, as_values(pair)[place]) in changed}
    return found


def _ends(through: type[Model]) -> list[tuple[int, type[Model]]]:
    """Return the models that an automatic table joins, each with its place in the key."""
    ends = [(place, target_of(field)) for place, field in enumerate(key_fields(through))]
    return [(place, owner) for place, owner in ends if owner is not None]


def unsent_on_remote(session: Session, model: type[Model], remote_keys: Collection[Key]) -> set[Key]:
    """Return those of these rows of REMOTE that REMOTE changed itself and has not sent to LOCAL."""
    if session.peer_on_remote is None or not remote_keys:
        return set()
    log = RemoteLog(session)
    log.note_received()
    ends = _ends(model) if model._meta.auto_created else []
    wanted: dict[type[Model], set[Key]] = {model: set(remote_keys)}
    for place, owner in ends:  # it is their entries that tell of sets, where signals capture
        wanted.setdefault(owner, set()).update(as_values(pair)[place] for pair in remote_keys)
    changes = log.unsent_changes(wanted)
    found = {key for (each, key) in changes.rows if each is model}
    if ends:
        deleted = {row_id for row_id, change in changes.rows.items() if change.deleted is not None}
        found |= {
            pair
            for pair in remote_keys
            if _is_in_a_changed_set(model, pair, changes.sets)
            or any((owner, as_values(pair)[place]) in deleted for place, owner in ends)
        }
    return found & set(remote_keys)


def _is_in_a_changed_set(through: type[Model], pair: Key, sets: Collection[M2M]) -> bool:
    first, second = as_values(pair)
    ends = [M2M(through, False, first), M2M(through, True, second)]
    if is_symmetrical(through):  # an entry of the one stands for the pair of the other, too
        ends += [M2M(through, False, second), M2M(through, True, first)]
    return any(end in sets for end in ends)


def in_quarantine(session: Session, model: type[Model], keys: Collection[Key]) -> set[Key]:
    """Return those of these objects of LOCAL whose changes REMOTE refuses, and of REMOTE's that LOCAL refuses."""
    found: set[Key] = set()
    texts = {to_text(model, key): key for key in keys}
    names = list(texts)
    for start in range(0, len(names), PART):
        condition = Q(object_id__in=names[start : start + PART], is_over=False)
        found |= {texts[text] for text in _set_aside(session.local, session.peer.pk, model, condition)}
    return found


def _set_aside(database: Database, peer: int, model: type[Model], condition: Q) -> Iterable[str]:
    rows = SetAside.objects.using(database.alias).filter(
        condition, peer_id=peer, content_type_id=database.content_type_id(model)
    )
    return rows.values_list("object_id", flat=True)
