"""
Successors: a row that LOCAL deleted and made again, which is one object to REMOTE by its natural key.

REMOTE's row is then that of the new row. The deletion of the old one says nothing about it, but about what belonged
to the old one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TypeAlias

from django.db.models import Model

from synchro.keys import Key, key_fields
from synchro.registry import is_watched
from synchro.relations import relations, target_of
from synchro.replay.dependent_rows import rows_below
from synchro.replay.identity.identities import Identities, existing_keys, keeps_references
from synchro.replay.identity.natural_keys import has_natural_key
from synchro.replay.identity.owners import owners_by_parts
from synchro.replay.identity.references import local_keys_by_remote
from synchro.replay.log.changes import M2M, Changes, SetChange, coalesce
from synchro.replay.log.entries import pending_entries
from synchro.replay.plan import Plan, Prerequisites
from synchro.replay.rows import Rows
from synchro.replay.session import Session

RowId: TypeAlias = tuple[type[Model], Key]


def replace_deleted(session: Session, changes: Changes, rows: Rows, identities: Identities) -> set[RowId]:
    """
    The rows of the batch that LOCAL has lost and whose rows on REMOTE belong to others by now.

    Members of the old row's sets that the new row has not are to go: `changes` say so from here on.
    """
    successors = {}
    for model in identities.models():
        if keeps_references(model) and has_natural_key(model):
            known = identities.known(model)
            here = rows.load(model, list(known))
            gone = {key: i.remote for key, i in known.items() if i.exists and key not in here}
            if gone:
                made = identities.made_again(model, gone)
                places = [(model, key) for key in made.values()]
                if places:
                    changes.take_along(places, coalesce(pending_entries(session, places)), session.begun)
                here = rows.load(model, [*here, *made.values()])
                known = identities.find(model, [*here, *gone])
                made_here = {known[key].remote: key for key in here if known[key].exists}
                found = successors_of(session, model, gone, made_here)
                if found:
                    successors[model] = found
    if not successors:
        return set()
    _take_parts_along(session, changes, rows, identities, successors)
    for model, pairs in successors.items():
        for old, new in pairs.items():
            if (model, old) in changes.rows:
                for through, is_reverse in _sets_of(model):
                    change = changes.sets.setdefault(M2M(through, is_reverse, new), SetChange())
                    change.add(changes.rows[model, old].date, None)
    return set(_replaced(session, changes, rows, successors))


def successors_of(
    session: Session, model: type[Model], gone: Mapping[Key, Key], made_here: Mapping[Key, Key] | None = None
) -> dict[Key, Key]:
    """
    Of rows that LOCAL has lost, with REMOTE's keys, those whose rows on REMOTE are another row's of LOCAL by now.

    That is what REMOTE remembers, or what was found out for this batch (`made_here`, by REMOTE's keys).
    """
    owners = local_keys_by_remote(session, model, gone.values()) | dict(made_here or {})
    others = {key: owners[there] for key, there in gone.items() if owners.get(there, key) != key}
    here = existing_keys(session.local, model, others.values()) if others else set()
    return {key: other for key, other in others.items() if other in here}


def _take_parts_along(
    session: Session,
    changes: Changes,
    rows: Rows,
    identities: Identities,
    successors: Mapping[type[Model], Mapping[Key, Key]],
) -> None:
    """
    Make what has the old row's key in its own, and what the log says of that, part of the batch: which row of REMOTE it
    is, nobody will know any more.
    """
    for model, pairs in successors.items():
        old = {identities.of(model, key).remote: key for key in pairs}
        for child, column, _rule in relations(model):
            fields = key_fields(child)
            if child._meta.auto_created or column not in fields or not is_watched(child):
                continue
            there = rows_below(session.remote, model, child, column, dict.fromkeys(old, ()))
            here = owners_by_parts(session, identities, fields, list(there), {column: old})
            places = [(child, key) for key in here.values()]
            later = coalesce(pending_entries(session, places))
            named = [place for place in places if place in later.rows]
            changes.take_along(named, later, session.begun)
            keys = [key for _child, key in named]
            rows.load(child, keys)
            identities.find(child, keys, lock=True)


def keep_taken_over(plan: Plan, rows: Rows, identities: Identities) -> None:
    """
    Raise `Prerequisites` where a row that is to go turned out, while what others point at was looked for, to be that of
    an object which LOCAL has: it has to be part of the batch, so that the row stays.
    """
    found: set[RowId] = set()
    for model, deletions in plan.deletions.items():
        if keeps_references(model) and has_natural_key(model):
            known = identities.known(model)
            others = {key for key, i in known.items() if i.exists and deletions.get(i.remote, key) != key}
            found |= {(model, key) for key in rows.present(model, others)}
    if found:
        raise Prerequisites(found)


def _sets_of(model: type[Model]) -> Iterator[tuple[type[Model], bool]]:
    """The automatic many-to-many tables that point at `model`, and whether by the end that does not declare them."""
    for through, column, _rule in relations(model):
        if through._meta.auto_created and is_watched(through):
            yield through, column is key_fields(through)[1]


def _replaced(
    session: Session, changes: Changes, rows: Rows, successors: Mapping[type[Model], Mapping[Key, Key]]
) -> Iterator[RowId]:
    for model, keys in changes.by_model().items():
        yield from ((model, key) for key in keys if key in successors.get(model, ()))
        columns = [
            (place, successors[target])
            for place, field in enumerate(key_fields(model))
            if (target := target_of(field)) is not None and target in successors
        ]
        if not columns:
            continue
        present = rows.present(model, keys)
        others = {
            key: other for key in keys if key not in present if (other := _renamed(key, columns)) != key
        }
        # Whole sets are compared, so that pairs need not be looked for.
        is_set = model._meta.auto_created
        here: Collection[Key] = (
            others.values() if is_set else existing_keys(session.local, model, others.values())
        )
        yield from ((model, key) for key, other in others.items() if other in here)


def _renamed(key: Key, columns: list[tuple[int, Mapping[Key, Key]]]) -> Key:
    """The key of the row that the new row has instead."""
    if not isinstance(key, tuple):
        return columns[0][1].get(key, key)
    parts = list(key)
    for place, names in columns:
        parts[place] = names.get(parts[place], parts[place])
    return tuple(parts)
