"""
Former pairs: what REMOTE did to a set whose automatic table belongs to a model by now, in entries of the old form.

Such entries name two objects and no row. So they are compared here with LOCAL's change of the row that joins the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TypeAlias

from django.db.models import Model

from synchro.keys import Key, key_fields
from synchro.last_check import aware
from synchro.registry import Table
from synchro.relations import ends_of_set, target_of
from synchro.replay.conflicts.policy import policy_for, winner_of
from synchro.replay.conflicts.remote_changes import changes_of_members
from synchro.replay.plan import Decision, Pair
from synchro.replay.rows import as_values, select
from synchro.replay.work import BatchWork

#: By LOCAL's keys of rows: REMOTE's key, where it has the row, and what the row joins, by REMOTE's keys.
Pairs: TypeAlias = dict[Key, tuple[Key | None, Pair]]


def resolve_former_pairs(work: BatchWork) -> None:
    """Take out of the plan the rows of such models whose pairs REMOTE has changed, where its change wins."""
    plan, session = work.plan, work.session
    if session.peer_on_remote is None:
        return
    for model in {*plan.writes, *plan.deletions}:
        if ends_of_set(model) is None:
            continue
        for key, (remote, date) in _changed_on_remote(work, model).items():
            local_date = work.changes.rows[model, key].date
            is_local = policy_for(model).for_members().local_wins(session, local_date, date)
            plan.conflicts.append(Decision(model, key, remote, None, local_date, date, winner_of(is_local)))
            if is_local:
                continue
            plan.writes.get(model, {}).pop(key, None)
            plan.keep_remote(model, key)
            if remote is not None:
                del plan.deletions[model][remote]
                plan.withheld_deletions.setdefault(model, {})[remote] = date
                # It comes back from REMOTE under the same key, so its reference stays.
                obsolete = plan.obsolete_references.get(model, [])
                plan.obsolete_references[model] = [other for other in obsolete if other != key]


def _changed_on_remote(work: BatchWork, model: type[Model]) -> Mapping[Key, tuple[Key | None, datetime]]:
    """Return the rows whose pairs REMOTE has changed too, with REMOTE's keys and when that was."""
    pairs = {**_deleted(work, model), **_added(work, model)}
    if not pairs:
        return {}
    named = {pair for _remote, pair in pairs.values()}
    wanted: dict[type[Model], set[Key]] = {model: {*named}}
    for position, end in enumerate(ends_of_set(model) or ()):
        if (target := target_of(end)) is not None:
            wanted.setdefault(target, set()).update(pair[position] for pair in named)
    since = min(aware(work.changes.rows[model, key].date) for key in pairs)
    said = changes_of_members(work.log, model, wanted, since)
    found = {}
    for key, (remote, pair) in pairs.items():
        if (date := said.member_changed_at(model, pair)) is not None:
            found[key] = remote, date
    return found


def _deleted(work: BatchWork, model: type[Model]) -> Pairs:
    """Return the rows that the plan deletes."""
    deletions = work.plan.deletions.get(model, {})
    named = {remote: local for remote, local in deletions.items() if (model, local) in work.changes.rows}
    own, ends = key_fields(model), ends_of_set(model) or ()
    found = select(work.session.remote, model, [*own, *ends], own, [as_values(key) for key in named])
    return {named[remote]: (remote, (first, second)) for remote, first, second in found}


def _added(work: BatchWork, model: type[Model]) -> Pairs:
    """Return the rows that the plan adds."""
    fields, ends = Table(model).fields, ends_of_set(model) or ()
    new = [
        key
        for key in work.plan.writes.get(model, {})
        if (model, key) in work.changes.rows and not work.identities.of(model, key).exists
    ]
    rows = {
        key: [row[fields.index(end)] for end in ends] for key, row in work.local_rows.load(model, new).items()
    }
    remote = [
        work.identities.translate(end, {row[position] for row in rows.values()})
        for position, end in enumerate(ends)
    ]
    found = {
        key: tuple(remote[position][value] for position, value in enumerate(row)) for key, row in rows.items()
    }
    return {key: (None, (pair[0], pair[1])) for key, pair in found.items() if None not in pair}
