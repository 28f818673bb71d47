"""
Spare: what REMOTE has added to an object since LOCAL deleted it keeps the object there.

LOCAL has never seen those rows. Django, or the database, would have them go along with the object, without a trace.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.db.models import Model

from synchro.checkpoint import aware
from synchro.keys import AnyField, Key, key_fields
from synchro.models import Conflict
from synchro.relations import target_of
from synchro.replay.coalesce import Change, Changes, same_key_parents
from synchro.replay.delete import cascades
from synchro.replay.link import Link
from synchro.replay.log import Log
from synchro.replay.policy import word_of
from synchro.replay.read import as_key, as_values, select
from synchro.replay.record import Decision, Records
from synchro.replay.resolve import Plan

Row = tuple[type[Model], Key]


def spare(link: Link, log: Log, changes: Changes, plan: Plan, records: Records) -> None:
    """Take the deletions out of `plan` that would take along what is newer than they are."""
    dates = [change.date for change in changes.rows.values()]
    if link.peer_there is None or not plan.removals or not dates or not log.has_news(min(dates)):
        return
    for model, going in list(plan.removals.items()):
        roots = {
            remote: changes.rows[model, local]
            for remote, local in going.items()
            if local is not None and (model, local) in changes.rows
        }
        if roots and word_of(model) != "local":
            found = _newer(link, log, model, roots)
            records.load(model, [roots[remote].key for remote in found])
            for remote, theirs in found.items():
                _keep(records, plan, roots[remote], remote, theirs)


def _newer(link: Link, log: Log, model: type[Model], roots: Mapping[Key, Change]) -> dict[Key, Change]:
    """REMOTE's keys of the objects that something newer depends on, with that change."""
    found: dict[Key, Change] = {}
    frontier: dict[type[Model], dict[Key, set[Key]]] = {model: {key: {key} for key in roots}}
    seen: dict[Row, set[Key]] = {(model, key): {key} for key in roots}
    since = min(change.date for change in roots.values())
    while frontier:
        below: dict[type[Model], dict[Key, set[Key]]] = {}
        for parent, keys in frontier.items():
            for child, rows in _rows_below(link, parent, keys).items():
                theirs = log.changes(since, {child: rows})
                for key, over in rows.items():
                    change = theirs.rows.get((child, key))
                    for root in over:
                        if change and not change.deleted and _is_newer(link, change, roots[root]):
                            found.setdefault(root, change)
                    # A row may stand below several objects, and by ways of different length.
                    known = seen.setdefault((child, key), set())
                    if over - known:
                        below.setdefault(child, {}).setdefault(key, set()).update(over - known)
                        known |= over
        frontier = below
    return found


def _rows_below(
    link: Link, parent: type[Model], keys: Mapping[Key, set[Key]]
) -> dict[type[Model], dict[Key, set[Key]]]:
    """Rows of REMOTE that would go along with these, each with the objects at the top that it would go with."""
    found: dict[type[Model], dict[Key, set[Key]]] = {}
    for child, column in cascades(parent):
        if child._meta.auto_created:
            continue
        owners = _owners(link, parent, column, keys)
        values = [(value,) for value in owners]
        for *pk, value in select(link.remote, child, [*key_fields(child), column], [column], values):
            if value in owners:
                found.setdefault(child, {}).setdefault(as_key(pk), set()).update(keys[owners[value]])
    return found


def _owners(link: Link, parent: type[Model], column: AnyField, keys: Collection[Key]) -> dict[Any, Key]:
    """The values of a foreign key that point at these rows of REMOTE, with the rows' keys."""
    if target_of(column) is parent:
        return {key: key for key in keys}
    target = getattr(column, "target_field", None)
    if target not in parent._meta.local_concrete_fields:
        return {}
    own = key_fields(parent)
    rows = select(link.remote, parent, [*own, target], own, [as_values(key) for key in keys])
    return {value: as_key(pk) for *pk, value in rows if value is not None}


def _is_newer(link: Link, theirs: Change, ours: Change) -> bool:
    if word_of(ours.model) == "remote":
        return True
    peer = (link.peer.uuid or link.node).int
    return (aware(theirs.date), peer) > (aware(ours.date) + link.offset, link.node.int)


def _keep(records: Records, plan: Plan, ours: Change, remote: Key, theirs: Change) -> None:
    for model in (ours.model, *same_key_parents(ours.model)):
        plan.removals.get(model, {}).pop(remote, None)
    plan.keep(ours.model, ours.key)
    if not records.has(ours.model, ours.key, None, ours.date, theirs.date, Conflict.REMOTE):
        plan.conflicts.append(
            Decision(ours.model, ours.key, remote, None, ours.date, theirs.date, Conflict.REMOTE)
        )
