"""Differences that a change explains which is on its way, or in quarantine."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from django.db.models import Model, Q

from synchro.keys import Key, key_fields, to_text
from synchro.models import M2M_CHANGE, ChangeLog, SetAside
from synchro.relations import same_key_parents, target_of
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
    """Return those of these pairs whose set, from either end, is in an entry that REMOTE lacks."""
    pending, found = ids_pending_for(session), set[Key]()
    for place, field in enumerate(key_fields(through)):
        owner = target_of(field)
        if owner is None:
            continue
        texts = {to_text(owner, as_values(pair)[place]): pair for pair in pairs}
        kinds = [session.local.content_type_id(each) for each in (owner, *same_key_parents(owner))]
        changed = set()
        names = list(texts)
        for start in range(0, len(names), PART):
            log = ChangeLog.objects.using(session.local.alias).filter(
                id__gte=pending.first,
                action=M2M_CHANGE,
                content_type_id__in=kinds,
                object_id__in=names[start : start + PART],
            )
            changed |= {text for number, text in log.values_list("id", "object_id") if number in pending}
        found |= {pair for pair in pairs if to_text(owner, as_values(pair)[place]) in changed}
    return found


def unsent_on_remote(session: Session, model: type[Model], remote_keys: Collection[Key]) -> set[Key]:
    """Return those of these rows of REMOTE that REMOTE changed itself and has not sent to LOCAL."""
    if session.peer_on_remote is None or not remote_keys:
        return set()
    log = RemoteLog(session)
    log.note_received()
    changes = log.unsent_changes({model: remote_keys})
    found = {key for (each, key) in changes.rows if each is model}
    if model._meta.auto_created:
        found |= {pair for pair in remote_keys if _is_in_a_changed_set(model, pair, changes.sets)}
    return found & set(remote_keys)


def _is_in_a_changed_set(through: type[Model], pair: Key, sets: Iterable[M2M]) -> bool:
    first, second = as_values(pair)
    return any(each.through is through and each.key == (second if each.reverse else first) for each in sets)


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
