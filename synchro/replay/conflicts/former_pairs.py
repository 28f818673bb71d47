"""
Former pairs: what REMOTE did to a set whose automatic table is that of a model by now, in entries of the old form.

Such entries name no row, so nothing has weighed them yet against LOCAL's change of the row that joins the two objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from django.db.models import Model

from synchro.checkpoint import aware
from synchro.keys import Key, key_fields
from synchro.models import Conflict
from synchro.registry import Table
from synchro.relations import ends_of_set, target_of
from synchro.replay.conflicts.history import History
from synchro.replay.conflicts.policy import policy_for
from synchro.replay.conflicts.remote_log import RemoteLog
from synchro.replay.conflicts.resolve import Dates
from synchro.replay.identity.identities import Identities
from synchro.replay.log.changes import M2M, Changes
from synchro.replay.plan import Decision, Pair, Plan
from synchro.replay.rows import Rows, as_values, select
from synchro.replay.session import Session


def resolve_former_pairs(
    session: Session,
    log: RemoteLog,
    changes: Changes,
    rows: Rows,
    identities: Identities,
    records: History,
    plan: Plan,
) -> None:
    """Take out of `plan` the rows of such models whose pairs REMOTE has changed later, where its change counts."""
    if session.peer_on_remote is None or not changes.rows:
        return
    for model in {*plan.puts, *plan.removals}:
        if ends_of_set(model) is not None:
            pairs = {**_removed(session, model, plan), **_added(model, plan, rows, identities)}
            for key, (remote, theirs) in _met(log, model, pairs, changes).items():
                ours = changes.rows[model, key].date
                if not _wins(session, records, plan, model, key, remote, (ours, theirs)):
                    plan.puts.get(model, {}).pop(key, None)
                    if remote is not None:
                        plan.removals[model].pop(remote)
                        plan.stays.setdefault(model, {})[remote] = theirs
                    plan.keep(model, key)
                    plan.forgotten[model] = [one for one in plan.forgotten.get(model, ()) if one != key]


#: By LOCAL's keys of the rows: REMOTE's key, where it has the row, and what the row joins, by REMOTE's keys.
_Pairs = dict[Key, tuple[Key | None, Pair]]


def _removed(session: Session, model: type[Model], plan: Plan) -> _Pairs:
    """Rows that REMOTE has, and that are to go."""
    going = {remote: local for remote, local in plan.removals.get(model, {}).items() if local is not None}
    own, ends = key_fields(model), ends_of_set(model) or ()
    found = select(session.remote, model, [*own, *ends], own, [as_values(key) for key in going])
    return {going[remote]: (remote, (first, second)) for remote, first, second in found}


def _added(model: type[Model], plan: Plan, rows: Rows, identities: Identities) -> _Pairs:
    """Rows that REMOTE lacks, and that are to come."""
    fields, ends = Table(model).fields, ends_of_set(model) or ()
    new = [key for key in plan.puts.get(model, {}) if not identities.of(model, key).exists]
    here = rows.load(model, new)
    columns = [identities.translate(end, {row[fields.index(end)] for row in here.values()}) for end in ends]
    found = {
        key: tuple(column[row[fields.index(end)]] for end, column in zip(ends, columns, strict=True))
        for key, row in here.items()
    }
    return {key: (None, pair) for key, pair in found.items() if None not in pair}


def _met(
    log: RemoteLog, model: type[Model], pairs: _Pairs, changes: Changes
) -> Mapping[Key, tuple[Key | None, datetime]]:
    """Those of these rows whose pairs REMOTE has changed too, with REMOTE's keys and when that was."""
    asked = {pair for _remote, pair in pairs.values()}
    if not asked:
        return {}
    wanted: dict[type[Model], set[Key]] = {model: set(asked)}
    for place, end in enumerate(ends_of_set(model) or ()):
        if (target := target_of(end)) is not None:
            wanted.setdefault(target, set()).update(pair[place] for pair in asked)
    if policy_for(model).weighs_old_changes:
        said = log.unsent_changes(wanted)
    else:
        said = log.changes(min(aware(changes.rows[model, key].date) for key in pairs), wanted)
    found = {}
    for key, (remote, pair) in pairs.items():
        date = max(_dates(said, model, pair), default=None)
        if date is not None:
            found[key] = remote, date
    return found


def _dates(said: Changes, model: type[Model], pair: Pair) -> Iterator[datetime]:
    first, second = pair
    near = [(M2M(model, False, first), second), (M2M(model, True, second), first)]
    if len({target_of(end) for end in ends_of_set(model) or ()}) == 1:
        near.append((M2M(model, False, second), first))
    for m2m, far in near:
        date = said.sets[m2m].changed_at(far) if m2m in said.sets else None
        if date is not None:
            yield date


def _wins(
    session: Session,
    records: History,
    plan: Plan,
    model: type[Model],
    key: Key,
    remote: Key | None,
    dates: Dates,
) -> bool:
    """Whether LOCAL's change stands; the conflict is put on record, where it is not yet."""
    won = policy_for(model).local_wins(session, *dates)
    winner = Conflict.LOCAL if won else Conflict.REMOTE
    records.load(model, [key])
    if not records.has(model, key, None, *dates, winner):
        plan.conflicts.append(Decision(model, key, remote, None, *dates, winner))
    return won
