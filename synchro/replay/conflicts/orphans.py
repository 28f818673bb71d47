"""
Orphans: rows of LOCAL that belong to an object which REMOTE has deleted, and objects that come back there.

Where REMOTE deleted the object and LOCAL had given it a row that REMOTE has not received, the later of the two decides
about both, as it does where LOCAL deletes (`resolve_cascades`). What belongs to an object comes back with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import SET_NULL, Model

from synchro.keys import AnyField, Key
from synchro.models import Conflict
from synchro.registry import is_watched
from synchro.relations import CASCADES, generic_keys
from synchro.replay.conflicts.history import History
from synchro.replay.conflicts.members import changed_at
from synchro.replay.conflicts.policy import policy_for
from synchro.replay.conflicts.remote_log import RemoteLog
from synchro.replay.conflicts.versions import version_key
from synchro.replay.dependent_rows import dependents_below, is_generic_part
from synchro.replay.identity.identities import Identities, keeps_references
from synchro.replay.log.changes import Changes, RowId, by_model
from synchro.replay.parents import add_parents, pointing
from synchro.replay.plan import Decision, MemberConflict, Plan
from synchro.replay.rows import Rows
from synchro.replay.session import Session


def resolve_orphans(
    session: Session,
    log: RemoteLog,
    changes: Changes,
    plan: Plan,
    rows: Rows,
    identities: Identities,
    records: History,
) -> None:
    """
    Extend `plan` until every row in it finds what it points at, and take out of it what belongs to an object that
    REMOTE deleted later.

    Raises `Vanished` where LOCAL itself does not have what a row points at.
    """
    step = _Step(session, log, changes, plan, rows, identities, records)
    known: dict[type[Model], set[Key]] = {}
    while True:
        put = _keys(plan)
        add_parents(session, plan, rows, identities)
        if session.peer_on_remote is None:
            return
        step.settle(_beyond(plan, put))
        back = step.revived(_beyond(plan, known))
        if not back:
            return
        known = _keys(plan)
        step.bring_back(back)


def _keys(plan: Plan) -> dict[type[Model], set[Key]]:
    return {model: set(keys) for model, keys in plan.puts.items()}


def _beyond(plan: Plan, known: Mapping[type[Model], Collection[Key]]) -> dict[type[Model], list[Key]]:
    """What the plan puts besides these."""
    found = {
        model: [key for key in keys if key not in known.get(model, ())] for model, keys in plan.puts.items()
    }
    return {model: keys for model, keys in found.items() if keys}


@dataclass
class _Below:
    """What the plan puts and what belongs to some objects, by LOCAL's keys, each with these objects."""

    rows: dict[RowId, set[RowId]] = field(default_factory=dict)
    #: Members of sets, which go with either end.
    pairs: dict[RowId, set[RowId]] = field(default_factory=dict)
    #: Rows that can do without, by the foreign key that is emptied then.
    loose: dict[tuple[RowId, AnyField], set[RowId]] = field(default_factory=dict)
    #: The objects that rows need which cannot go with them.
    firm: set[RowId] = field(default_factory=set)


class _Step:
    def __init__(
        self,
        session: Session,
        log: RemoteLog,
        changes: Changes,
        plan: Plan,
        rows: Rows,
        identities: Identities,
        records: History,
    ) -> None:
        self._session, self._log, self._changes, self._plan = session, log, changes, plan
        self._rows, self._identities, self._records = rows, identities, records
        self._lost: set[RowId] = set()

    # -- what REMOTE deleted later --------------------------------------------------------------------------

    def settle(self, taken: Mapping[type[Model], Collection[Key]]) -> None:
        """Decide about objects that are taken along for others, and that REMOTE deleted."""
        deleted = dict(self._deleted_there(taken))
        if not deleted:
            return
        below = self._below(deleted)
        for model, keys in by_model(
            [*deleted, *below.rows, *(place for place, _column in below.loose)]
        ).items():
            self._records.load(model, keys)
        lost = set()
        for place, theirs in deleted.items():
            ours = self._newest(below, place)
            if place in below.firm or (
                ours is not None and policy_for(place[0]).local_wins(self._session, ours, theirs)
            ):
                self._plan.revive(*place)
                self._decide(place, None, ours or theirs, theirs, Conflict.LOCAL)
            else:
                lost.add(place)
        self._drop(below, lost, deleted)

    def _deleted_there(
        self, taken: Mapping[type[Model], Collection[Key]]
    ) -> Iterator[tuple[RowId, datetime]]:
        """Those of these that REMOTE deleted, as LOCAL has yet to hear, and when."""
        dates = [change.date for change in self._changes.rows.values()]
        dates += [date for change in self._changes.sets.values() for date in change.dates()]
        if not taken or not dates or not self._log.has_news(min(dates)):
            return
        for model, keys in taken.items():
            known = self._identities.find(model, keys)
            there = {version_key(known[key]): key for key in keys if not known[key].exists}
            there.pop(None, None)
            said = self._log.changes(min(dates), {model: there})
            for remote, key in there.items():
                change = said.rows.get((model, remote))
                if change is not None and change.deleted is not None and not change.is_born:
                    yield (model, key), change.deleted

    def _below(self, places: Collection[RowId]) -> _Below:
        found = _Below()
        frontier = {place: {place} for place in places}
        while frontier:
            missing: dict[type[Model], set[Key]] = {}
            for model, key in frontier:
                missing.setdefault(model, set()).add(key)
            following: dict[RowId, set[RowId]] = {}
            for model in self._plan.puts:
                for key, column, *target in pointing(self._session, self._plan, self._rows, model, missing):
                    over, place = frontier[target[0], target[1]], (model, key)
                    is_part = column is None and is_generic_part(target[0], model)
                    kind = found.rows if is_part else self._note(found, place, column, over)
                    if kind is not None and (new := over - kind.get(place, set())):
                        kind.setdefault(place, set()).update(new)
                        if kind is found.rows:
                            following.setdefault(place, set()).update(new)
            frontier = following
        return found

    def _note(
        self, found: _Below, place: RowId, column: AnyField | None, over: set[RowId]
    ) -> dict[RowId, set[RowId]] | None:
        """Note a row that does not go with what it points at; returns where the others are noted."""
        rule: Any = column.remote_field.on_delete if column is not None else None
        if rule in CASCADES:
            return found.pairs if place[0]._meta.auto_created else found.rows
        if column is not None and rule is SET_NULL:
            found.loose.setdefault((place, column), set()).update(over)
        elif column is not None:
            found.firm |= over
        return None

    def _newest(self, below: _Below, place: RowId) -> datetime | None:
        """When what belongs to an object was last changed."""
        several = [each for each, over in below.rows.items() if place in over]
        several += [each for (each, _column), over in below.loose.items() if place in over]
        dates = [self._changes.rows[each].date for each in several if each in self._changes.rows]
        return max(dates, default=None)

    def _drop(self, below: _Below, lost: set[RowId], deleted: Mapping[RowId, datetime]) -> None:
        """Take the objects that are `lost`, and what belongs to them, out of the plan."""
        if not lost:
            return
        for each, over in below.rows.items():
            if over & lost:
                theirs = max(deleted[place] for place in over & lost)
                self._take_out(each, theirs)
        for place in lost - below.rows.keys():
            self._plan.puts[place[0]].pop(place[1], None)
            self._lost.add(place)
        for (model, pair), over in below.pairs.items():
            if over & lost and self._plan.puts[model].pop(pair, ()) != ():
                theirs = max(deleted[place] for place in over & lost)
                ours = changed_at(self._changes, model, pair) or self._changes.last or theirs
                remote = self._identities.find(model, [pair])[pair].remote or (None, None)
                self._plan.keep(model, pair)
                member_conflict = MemberConflict(pair, remote, True, ours, theirs, Conflict.REMOTE)
                self._plan.is_lost(model, member_conflict)
        for ((model, key), column), over in below.loose.items():
            if over & lost and key in self._plan.puts[model]:
                self._rows.empty(model, key, column)
                if (model, key) in self._changes.rows:
                    theirs = max(deleted[place] for place in over & lost)
                    ours = self._changes.rows[model, key].date
                    self._decide((model, key), (column.name,), ours, theirs, Conflict.REMOTE)

    def _take_out(self, place: RowId, theirs: datetime) -> None:
        model, key = place
        self._lost.add(place)
        self._plan.puts[model].pop(key, None)
        identity = self._identities.of(model, key)
        if identity.exists:
            self._plan.remove(model, identity.remote, key)
        if place in self._changes.rows:
            self._plan.keep(model, key)
            self._decide(place, None, self._changes.rows[place].date, theirs, Conflict.REMOTE)

    def _decide(
        self, place: RowId, names: tuple[str, ...] | None, ours: datetime, theirs: datetime, winner: str
    ) -> None:
        model, key = place
        if not self._records.has(model, key, names, ours, theirs, winner):
            remote = version_key(self._identities.of(model, key))
            self._plan.conflicts.append(Decision(model, key, remote, names, ours, theirs, winner))

    # -- what comes back ------------------------------------------------------------------------------------

    def revived(self, put: Mapping[type[Model], Collection[Key]]) -> dict[type[Model], set[Key]]:
        """Those of these that REMOTE once had."""
        found: dict[type[Model], set[Key]] = {}
        for model, keys in put.items():
            known, back = self._identities.known(model), self._plan.revived.get(model, ())
            several = {key for key in keys if key in back}
            if keeps_references(model):  # and one names a row that is gone
                several |= {key for key in keys if not known[key].exists and known[key].remote is not None}
            if several and not model._meta.auto_created:
                found[model] = several
        return found

    def bring_back(self, revived: Mapping[type[Model], Collection[Key]]) -> None:
        """Have the plan put what belongs to these objects and REMOTE lacks, and what should point at them there."""
        for model, keys in revived.items():
            several: dict[Key, Collection[Key]] = dict.fromkeys(keys, ())
            for child, column, _rule, below in dependents_below(self._session.local, model, several):
                if is_watched(child):
                    self._bring(child, column, [key for key in below if (child, key) not in self._lost])

    def _bring(self, child: type[Model], column: AnyField, keys: Collection[Key]) -> None:
        if not keys:
            return
        puts, known = self._plan.puts.get(child, {}), self._identities.find(child, keys)
        asked = {remote: key for key in keys if (remote := version_key(known[key])) is not None}
        since = min((change.date for change in self._changes.rows.values()), default=None)
        said = self._log.changes(since, {child: asked}) if asked and since is not None else Changes()
        for key in keys:
            theirs = said.rows.get((child, version_key(known[key])))
            if not known[key].exists:
                # What REMOTE deleted by itself stays deleted, unless it is a part of the very object.
                is_gone = theirs is not None and theirs.deleted is not None
                if key not in puts and (not is_gone or _is_same_object(column)):
                    self._plan.put(child, key)
                    self._plan.revive(child, key)
            elif not child._meta.auto_created and not (theirs and theirs.changed_at(column.name)):
                names = puts.get(key, frozenset())
                self._plan.put(child, key, None if names is None else names | _names(column))


def _is_same_object(column: AnyField) -> bool:
    """Whether it leads from a child's row to its parent's, in multi-table inheritance."""
    return column.remote_field is not None and bool(column.remote_field.parent_link)


def _names(column: AnyField) -> frozenset[str]:
    """The names to write so that a row points at what its column says."""
    generic = [each for each in generic_keys(column.model) if each.fk_field == column.name]
    return frozenset({column.name, *(each.ct_field for each in generic)})
