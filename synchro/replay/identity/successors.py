"""
Find rows that LOCAL deleted and made again: by its natural key, such a row is one object to REMOTE.

REMOTE's row then belongs to the new row. The deletion of the old row is no deletion of it, but of what belonged to the
old row and not to the new one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from django.db.models import Model

from synchro.keys import Key, key_fields
from synchro.registry import is_watched
from synchro.relations import relations, target_of
from synchro.replay.dependent_rows import rows_below
from synchro.replay.identity.identities import Identities, existing_keys
from synchro.replay.identity.models import keeps_references
from synchro.replay.identity.natural_keys import has_natural_key
from synchro.replay.identity.owners import owners_by_parts
from synchro.replay.identity.references import local_keys_by_remote
from synchro.replay.log.changes import M2M, Changes, RowId, SetChange, coalesce
from synchro.replay.log.pending import pending_entries
from synchro.replay.plan import Plan, Prerequisites
from synchro.replay.rows import Rows
from synchro.replay.session import Session


def replace_deleted(session: Session, changes: Changes, rows: Rows, identities: Identities) -> set[RowId]:
    """
    Return the rows of the batch that LOCAL has deleted and whose rows on REMOTE belong to others by now.

    Extend `changes`, so that members of the old row's sets that the new row has not are deleted.
    """
    successors = {
        model: found
        for model in identities.models()
        if keeps_references(model) and has_natural_key(model)
        if (found := _find_successors(session, changes, rows, identities, model))
    }
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


def _find_successors(
    session: Session, changes: Changes, rows: Rows, identities: Identities, model: type[Model]
) -> dict[Key, Key]:
    """Return LOCAL's deleted objects of `model` with their successors, which become part of the batch."""
    known = identities.known(model)
    present = rows.load(model, list(known))
    gone = {key: identity.remote for key, identity in known.items() if identity.exists and key not in present}
    if not gone:
        return {}
    again = identities.made_again(model, gone)
    row_ids = [(model, key) for key in again.values()]
    if row_ids:
        changes.take_along(row_ids, coalesce(pending_entries(session, row_ids)), session.begun)
    present = rows.load(model, [*present, *again.values()])
    known = identities.find(model, [*present, *gone])
    owners = {known[key].remote: key for key in present if known[key].exists}
    return successors_of(session, model, gone, owners)


def successors_of(
    session: Session, model: type[Model], gone: Mapping[Key, Key], owners: Mapping[Key, Key] | None = None
) -> dict[Key, Key]:
    """
    Return those of the rows that LOCAL has deleted whose rows on REMOTE belong to another row of LOCAL by now.

    `gone` has REMOTE's keys. REMOTE's references say who owns a row, or what was found out for this batch: `owners`, by
    REMOTE's keys.
    """
    known = local_keys_by_remote(session, model, gone.values()) | dict(owners or {})
    others = {key: known[remote] for key, remote in gone.items() if known.get(remote, key) != key}
    present = existing_keys(session.local, model, others.values()) if others else set()
    return {key: other for key, other in others.items() if other in present}


def _take_parts_along(
    session: Session,
    changes: Changes,
    rows: Rows,
    identities: Identities,
    successors: Mapping[type[Model], Mapping[Key, Key]],
) -> None:
    """
    Make rows whose keys hold the old row's key part of the batch, with what the log says of them.

    After this batch nobody can tell any more which rows of REMOTE they are.
    """
    for model, pairs in successors.items():
        old = {identities.of(model, key).remote: key for key in pairs}
        for child, column, _rule in relations(model):
            fields = key_fields(child)
            if child._meta.auto_created or column not in fields or not is_watched(child):
                continue
            remote_keys = rows_below(session.remote, model, child, column, dict.fromkeys(old, ()))
            owners = owners_by_parts(session, identities, fields, list(remote_keys), {column: old})
            row_ids = [(child, key) for key in owners.values()]
            later = coalesce(pending_entries(session, row_ids))
            named = [row_id for row_id in row_ids if row_id in later.rows]
            changes.take_along(named, later, session.begun)
            keys = [key for _child, key in named]
            rows.load(child, keys)
            identities.find(child, keys, lock=True)


def keep_taken_over(plan: Plan, rows: Rows, identities: Identities) -> None:
    """
    Raise `Prerequisites` where a row that the plan deletes belongs to an object which LOCAL has.

    That was found out while the plan was completed. With the object in the batch, the row stays.
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
    """Yield the automatic tables that point at `model`, and whether by the end that does not declare the field."""
    for through, column, _rule in relations(model):
        if through._meta.auto_created and is_watched(through):
            yield through, column is key_fields(through)[1]


def _replaced(
    session: Session, changes: Changes, rows: Rows, successors: Mapping[type[Model], Mapping[Key, Key]]
) -> Iterator[RowId]:
    """Yield the deleted objects that have successors, and the rows whose keys hold one and that have them too."""
    for model, keys in changes.by_model().items():
        yield from ((model, key) for key in keys if key in successors.get(model, ()))
        columns = [
            (position, successors[target])
            for position, field in enumerate(key_fields(model))
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
        existing: Collection[Key] = (
            others.values() if is_set else existing_keys(session.local, model, others.values())
        )
        yield from ((model, key) for key, other in others.items() if other in existing)


def _renamed(key: Key, columns: list[tuple[int, Mapping[Key, Key]]]) -> Key:
    """Return the key of the row that belongs to the new row instead."""
    if not isinstance(key, tuple):
        return columns[0][1].get(key, key)
    parts = list(key)
    for position, names in columns:
        parts[position] = names.get(parts[position], parts[position])
    return tuple(parts)
