"""
Orphans: rows of LOCAL that belong to an object which REMOTE deleted, and objects that REMOTE gets again.

Where REMOTE deleted the object and LOCAL gave it a row that REMOTE has not received, the later of the two decides about
both, as where LOCAL deletes (`resolve_cascades`). What belongs to an object is written again together with it.
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
from synchro.replay.conflicts.policy import policy_for, winner_of
from synchro.replay.dependent_rows import dependents_below, is_generic_part
from synchro.replay.identity.identities import keeps_references
from synchro.replay.log.changes import Changes, RowId, by_model
from synchro.replay.parents import add_parents, pointing
from synchro.replay.plan import Decision, MemberConflict
from synchro.replay.work import BatchWork

Keys = Mapping[type[Model], Collection[Key]]


def resolve_orphans(work: BatchWork) -> None:
    """
    Extend the plan until every row in it finds what it points at.

    Take out of it what belongs to an object that REMOTE deleted later. Raises `Vanished` where LOCAL itself does not
    have what a row points at.
    """
    orphans, restored = _Orphans(work), _Restored(work)
    known: dict[type[Model], set[Key]] = {}
    while True:
        before = _planned(work)
        add_parents(work)
        if work.session.peer_on_remote is None:
            return
        restored.given_up |= orphans.resolve(_beyond(work, before))
        returning = restored.among(_beyond(work, known))
        if not returning:
            return
        known = _planned(work)
        restored.write_dependents(returning)


def _planned(work: BatchWork) -> dict[type[Model], set[Key]]:
    return {model: set(keys) for model, keys in work.plan.writes.items()}


def _beyond(work: BatchWork, known: Keys) -> dict[type[Model], list[Key]]:
    """Return what the plan writes besides these."""
    found = {
        model: [key for key in keys if key not in known.get(model, ())]
        for model, keys in work.plan.writes.items()
    }
    return {model: keys for model, keys in found.items() if keys}


@dataclass
class _Dependents:
    """What the plan writes and what depends on some objects, by LOCAL's keys, each with these objects."""

    rows: dict[RowId, set[RowId]] = field(default_factory=dict)
    #: Members of sets, which go with either end.
    pairs: dict[RowId, set[RowId]] = field(default_factory=dict)
    #: Rows that can do without the objects, by the foreign key that is emptied then.
    nullable: dict[tuple[RowId, AnyField], set[RowId]] = field(default_factory=dict)
    #: The objects that rows need which are not deleted with them.
    needed: set[RowId] = field(default_factory=set)

    def of(self, row_id: RowId) -> list[RowId]:
        """Return the rows that depend on an object, without members of sets."""
        found = [row for row, roots in self.rows.items() if row_id in roots]
        return found + [row for (row, _column), roots in self.nullable.items() if row_id in roots]


class _Orphans:
    """Decides about objects that LOCAL's rows need and that REMOTE deleted."""

    def __init__(self, work: BatchWork) -> None:
        self._work, self._plan = work, work.plan

    def resolve(self, added: Keys) -> set[RowId]:
        """
        Decide about those of the `added` objects, which the plan writes for others' sake, that REMOTE deleted.

        Return the rows that were taken out of the plan.
        """
        deleted = dict(self._deleted_on_remote(added))
        if not deleted:
            return set()
        dependents = self._dependents(deleted)
        lost = set()
        for row_id, remote_date in deleted.items():
            local_date = self._newest(dependents, row_id)
            policy, session = policy_for(row_id[0]), self._work.session
            if row_id in dependents.needed or (
                local_date is not None and policy.local_wins(session, local_date, remote_date)
            ):
                self._plan.restore(*row_id)
                self._note(row_id, None, local_date or remote_date, remote_date, is_local=True)
            else:
                lost.add(row_id)
        return self._give_up(dependents, lost, deleted) if lost else set()

    def _deleted_on_remote(self, added: Keys) -> Iterator[tuple[RowId, datetime]]:
        """Yield those of these objects that REMOTE deleted, where LOCAL has not received it, with the time."""
        changes, log = self._work.changes, self._work.log
        dates = [change.date for change in changes.rows.values()]
        dates += [date for change in changes.sets.values() for date in change.dates()]
        if not added or not dates or not log.has_news(min(dates)):
            return
        for model, keys in added.items():
            known = self._work.identities.find(model, keys)
            missing = {known[key].logged_key: key for key in keys if not known[key].exists}
            missing.pop(None, None)
            said = log.changes(min(dates), {model: missing})
            for remote, key in missing.items():
                change = said.rows.get((model, remote))
                if change is not None and change.deleted is not None and not change.is_born:
                    yield (model, key), change.deleted

    def _dependents(self, row_ids: Collection[RowId]) -> _Dependents:
        """Go down level by level through what the plan writes."""
        found = _Dependents()
        frontier = {row_id: {row_id} for row_id in row_ids}
        while frontier:
            following: dict[RowId, set[RowId]] = {}
            targets = by_model(frontier)
            for model in self._plan.writes:
                for key, column, *target in pointing(self._work, model, targets):
                    row_id, roots = (model, key), frontier[target[0], target[1]]
                    is_part = column is None and is_generic_part(target[0], model)
                    kind = found.rows if is_part else _kind(found, row_id, column, roots)
                    if kind is not None and (new := roots - kind.get(row_id, set())):
                        kind.setdefault(row_id, set()).update(new)
                        if kind is found.rows:
                            following.setdefault(row_id, set()).update(new)
            frontier = following
        return found

    def _newest(self, dependents: _Dependents, row_id: RowId) -> datetime | None:
        """Return when what belongs to an object was last changed by LOCAL."""
        rows = self._work.changes.rows
        return max((rows[each].date for each in dependents.of(row_id) if each in rows), default=None)

    def _give_up(
        self, dependents: _Dependents, lost: set[RowId], deleted: Mapping[RowId, datetime]
    ) -> set[RowId]:
        """Take the objects that are `lost`, and what belongs to them, out of the plan; return the rows."""

        def latest(roots: set[RowId]) -> datetime | None:
            return max((deleted[row_id] for row_id in roots & lost), default=None)

        given_up: set[RowId] = set()
        for row_id, roots in dependents.rows.items():
            if (remote_date := latest(roots)) is not None:
                given_up.add(row_id)
                self._take_out(row_id, remote_date)
        for model, key in lost - dependents.rows.keys():
            given_up.add((model, key))
            self._plan.writes[model].pop(key, None)
        for (model, pair), roots in dependents.pairs.items():
            if (remote_date := latest(roots)) is not None and pair in self._plan.writes[model]:
                self._take_out_pair(model, pair, remote_date)
        for (row_id, column), roots in dependents.nullable.items():
            if (remote_date := latest(roots)) is not None and row_id[1] in self._plan.writes[row_id[0]]:
                self._work.local_rows.empty(*row_id, column)
                if change := self._work.changes.rows.get(row_id):
                    self._note(row_id, (column.name,), change.date, remote_date, is_local=False)
        return given_up

    def _take_out(self, row_id: RowId, remote_date: datetime) -> None:
        model, key = row_id
        self._plan.writes[model].pop(key, None)
        identity = self._work.identities.of(model, key)
        if identity.exists:
            self._plan.delete(model, identity.remote, key)
        if change := self._work.changes.rows.get(row_id):
            self._plan.keep_remote(model, key)
            self._note(row_id, None, change.date, remote_date, is_local=False)

    def _take_out_pair(self, model: type[Model], pair: Any, remote_date: datetime) -> None:
        changes = self._work.changes
        del self._plan.writes[model][pair]
        local_date = changes.member_changed_at(model, pair) or changes.last or remote_date
        remote = self._work.identities.find(model, [pair])[pair].remote or (None, None)
        self._plan.keep_remote(model, pair)
        member = MemberConflict(pair, remote, True, local_date, remote_date, Conflict.REMOTE)
        self._plan.note_member(model, member)

    def _note(
        self,
        row_id: RowId,
        names: tuple[str, ...] | None,
        local_date: datetime,
        remote_date: datetime,
        is_local: bool,
    ) -> None:
        remote = self._work.identities.of(*row_id).logged_key
        decision = Decision(*row_id, remote, names, local_date, remote_date, winner_of(is_local))
        self._plan.conflicts.append(decision)


def _kind(
    found: _Dependents, row_id: RowId, column: AnyField | None, roots: set[RowId]
) -> dict[RowId, set[RowId]] | None:
    """Return where a row belongs that goes with the `roots` that it points at; note it where it does not go."""
    rule: Any = column.remote_field.on_delete if column is not None else None
    if rule in CASCADES:
        return found.pairs if row_id[0]._meta.auto_created else found.rows
    if column is not None and rule is SET_NULL:
        found.nullable.setdefault((row_id, column), set()).update(roots)
    elif column is not None:
        found.needed |= roots
    return None


class _Restored:
    """Writes what belongs to objects that REMOTE gets again."""

    def __init__(self, work: BatchWork) -> None:
        self._work, self._plan = work, work.plan
        #: Rows that are not written, since REMOTE deleted what they belong to later.
        self.given_up: set[RowId] = set()

    def among(self, planned: Keys) -> dict[type[Model], set[Key]]:
        """Return those of these objects that REMOTE once had."""
        found: dict[type[Model], set[Key]] = {}
        for model, keys in planned.items():
            known, restored = self._work.identities.known(model), self._plan.restored.get(model, ())
            several = {key for key in keys if key in restored}
            if keeps_references(model):  # and a reference names a row that REMOTE lost
                several |= {key for key in keys if not known[key].exists and known[key].remote is not None}
            if several and not model._meta.auto_created:
                found[model] = several
        return found

    def write_dependents(self, restored: Keys) -> None:
        """Have the plan write what belongs to these objects and REMOTE lacks, and what points at them."""
        for model, keys in restored.items():
            several: dict[Key, Collection[Key]] = dict.fromkeys(keys, ())
            for child, column, _rule, rows in dependents_below(self._work.session.local, model, several):
                if is_watched(child):
                    self._write(child, column, [key for key in rows if (child, key) not in self.given_up])

    def _write(self, child: type[Model], column: AnyField, keys: Collection[Key]) -> None:
        if not keys:
            return
        writes, known = self._plan.writes.get(child, {}), self._work.identities.find(child, keys)
        asked = [remote for key in keys if (remote := known[key].logged_key) is not None]
        since = min((change.date for change in self._work.changes.rows.values()), default=None)
        said = self._work.log.changes(since, {child: asked}) if asked and since is not None else Changes()
        for key in keys:
            remote = said.rows.get((child, known[key].logged_key))
            if not known[key].exists:
                # What REMOTE deleted by itself stays deleted, unless it is a part of the very object.
                is_gone = remote is not None and remote.deleted is not None
                if key not in writes and (not is_gone or _is_parent_link(column)):
                    self._plan.write(child, key)
                    self._plan.restore(child, key)
            elif not child._meta.auto_created and not (remote and remote.changed_at(column.name)):
                names = writes.get(key, frozenset())
                self._plan.write(child, key, None if names is None else names | _names(column))


def _is_parent_link(column: AnyField) -> bool:
    """Return whether it leads from a child's row to its parent's, in multi-table inheritance."""
    return column.remote_field is not None and bool(column.remote_field.parent_link)


def _names(column: AnyField) -> frozenset[str]:
    """Return the names of the fields to write so that a row points at what its column says."""
    generic = [each for each in generic_keys(column.model) if each.fk_field == column.name]
    return frozenset({column.name, *(each.ct_field for each in generic)})
