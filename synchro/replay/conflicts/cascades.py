"""
Cascades: rows that REMOTE gave to an object which LOCAL deleted keep the object there, or are deleted with it.

LOCAL has never seen those rows. Django, or the database, would delete them together with the object and leave no trace.
An object that stays is sent back: REMOTE's log gets entries of it, since LOCAL has lost all of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from django.db.models import PROTECT, RESTRICT, Model

from synchro.keys import AnyField, Key, key_fields, to_text
from synchro.models import CHANGE, DELETION, ChangeLog, Conflict
from synchro.registry import is_watched, same_object_models
from synchro.relations import CASCADES, same_key_parents
from synchro.replay.conflicts.policy import policy_for
from synchro.replay.conflicts.remote_changes import ends_of, presumed_date
from synchro.replay.dependent_rows import Dependents, dependents_below
from synchro.replay.identity.identities import existing_keys
from synchro.replay.identity.owners import known_owners, pair_owners
from synchro.replay.log.changes import Change, RowId
from synchro.replay.log.pending import pending_entries
from synchro.replay.plan import Decision, LostRow, MemberConflict
from synchro.replay.work import BatchWork

#: Rows that LOCAL is to get back: by REMOTE's keys, the time of the change that they stay for and the names of the
#: fields to send; None for the whole row.
SentBack: TypeAlias = dict[RowId, tuple[datetime, tuple[str, ...] | None]]


class Dependent(NamedTuple):
    """A row that depends on objects, by REMOTE's keys, and the column by which it does."""

    model: type[Model]
    key: Key
    column: AnyField
    rule: Any
    #: The objects that it depends on, directly or not.
    roots: frozenset[Key]


@dataclass
class _Found:
    """What depends on some objects of REMOTE that LOCAL deleted."""

    #: LOCAL's deletions of these objects, by REMOTE's keys.
    deleted: Mapping[Key, Change]
    #: The objects that stay, with the time of the change that they stay for.
    kept: dict[Key, datetime]
    #: All rows that depend on the objects.
    rows: list[Dependent] = field(default_factory=list)
    #: Those that REMOTE changed itself, and when.
    changed: list[tuple[Dependent, datetime]] = field(default_factory=list)


def resolve_cascades(work: BatchWork) -> None:
    """
    Take the deletions out of the plan that would delete newer rows of REMOTE too.

    What stays is written to REMOTE's log, and what is lost all the same is added to the plan's conflicts.
    """
    plan, log = work.plan, work.log
    dates = [change.date for change in work.changes.rows.values()]
    if work.session.peer_on_remote is None or not dates or not (plan.deletions or plan.withheld_deletions):
        return
    if not (log.has_news(min(dates)) or log.may_have_lost(min(dates))):
        return
    objects: SentBack = {}
    dependents: SentBack = {}
    for model in list(plan.deletions | plan.withheld_deletions):
        found = _search(work, model)
        if found is None:
            continue
        for remote, date in found.kept.items():
            if remote in found.deleted:
                tables = _withhold(work, found.deleted[remote], remote, date)
                objects |= {(table, remote): (date, None) for table in tables}
        _note_lost_rows(work, found)
        for row, _date in found.changed:
            plan.decided_dependents.setdefault(row.model, set()).add(row.key)
        for row in found.rows:
            if kept := row.roots & found.kept.keys():
                date = max(found.kept[root] for root in kept)
                dependents.setdefault((row.model, row.key), (date, (row.column.name,)))
    staying = dependents.keys() - objects.keys()
    staying -= _deleted_later(work, staying)
    # Children were deleted before their parents, and come back after them.
    returning = dict(reversed(objects.items()))
    _send_back(work, returning | {row_id: at for row_id, at in dependents.items() if row_id in staying})


def _search(work: BatchWork, model: type[Model]) -> _Found | None:
    """Return what depends on the objects of `model` that LOCAL deleted; None where there are none."""
    if model._meta.auto_created:
        return None
    deleted = {
        remote: work.changes.rows[model, local]
        for remote, local in work.plan.deletions.get(model, {}).items()
        if local is not None and (model, local) in work.changes.rows
    }
    withheld = work.plan.withheld_deletions.get(model, {})
    return _Search(work, model, _Found(deleted, dict(withheld))).run() if deleted or withheld else None


class _Search:
    """Finds what depends on objects of one model that LOCAL has deleted."""

    def __init__(self, work: BatchWork, model: type[Model], found: _Found) -> None:
        self._work, self._model, self._found = work, model, found
        self._since = min([*(change.date for change in found.deleted.values()), *found.kept.values()])
        self._policy = policy_for(model)

    def run(self) -> _Found:
        """Go down level by level from the objects."""
        frontier = {model: {key: {key} for key in keys} for model, keys in self._tables().items()}
        seen: dict[RowId, set[Key]] = {
            (model, key): {key} for model, keys in frontier.items() for key in keys
        }
        while frontier:
            following: dict[type[Model], dict[Key, set[Key]]] = {}
            for parent, keys in frontier.items():
                for below in dependents_below(self._work.session.remote, parent, keys):
                    # A row may depend on several objects, and by ways of different length.
                    new = {
                        key: more
                        for key, roots in below.rows.items()
                        if (more := roots - seen.get((below.model, key), set()))
                    }
                    self._note(below._replace(rows=new))
                    if below.rule in CASCADES and not below.model._meta.auto_created:
                        for key, roots in new.items():
                            seen.setdefault((below.model, key), set()).update(roots)
                            following.setdefault(below.model, {}).setdefault(key, set()).update(roots)
            frontier = following
        return self._found

    def _tables(self) -> dict[type[Model], Collection[Key]]:
        """Return the objects' rows, with those in the tables of parents that LOCAL has lost too."""
        found: dict[type[Model], Collection[Key]] = {self._model: {*self._found.deleted, *self._found.kept}}
        for parent in same_key_parents(self._model):
            deleted = {remote: change.key for remote, change in self._found.deleted.items()}
            present = self._work.local_rows.present(parent, list(deleted.values()))
            found[parent] = [remote for remote, key in deleted.items() if key not in present]
        return found

    def _note(self, below: Dependents) -> None:
        child, rule, deleted = below.model, below.rule, self._found.deleted
        planned = self._work.plan.deletions.get(child, {})
        rows = {key: roots for key, roots in below.rows.items() if key not in planned}
        if not rows:
            return
        dates = {**self._presumed(child, rule, rows), **self._changed(child, rows)}
        for key, roots in rows.items():
            row = Dependent(child, key, below.column, rule, frozenset(roots))
            self._found.rows.append(row)
            if (date := dates.get(key)) is not None:
                self._found.changed.append((row, date))
                for root in roots & deleted.keys():
                    if self._keeps(row, date, deleted[root]):
                        self._found.kept[root] = max(date, self._found.kept.get(root, date))

    def _changed(self, child: type[Model], keys: Collection[Key]) -> Mapping[Key, datetime]:
        """Return when REMOTE itself changed these rows, where LOCAL has not received it."""
        wanted: dict[type[Model], Collection[Key]] = {child: keys}
        if child._meta.auto_created:
            said = self._work.log.changes(self._since, {**wanted, **ends_of(child, keys)})
            dates = {key: said.member_changed_at(child, key) for key in keys}
        else:
            said = self._work.log.changes(self._since, wanted)
            dates = {key: change.date for (model, key), change in said.rows.items() if model is child}
        return {key: date for key, date in dates.items() if date is not None}

    def _presumed(
        self, child: type[Model], rule: Any, rows: Mapping[Key, Collection[Key]]
    ) -> dict[Key, datetime]:
        """Return the same where REMOTE's log does not reach back so far. LOCAL's deletion says nothing of them."""
        if child._meta.auto_created or rule not in CASCADES:
            return {}
        found = {}
        for key, roots in rows.items():
            dates = [self._found.deleted[root].date for root in roots if root in self._found.deleted]
            if dates and self._work.log.may_have_lost(max(dates)):
                found[key] = presumed_date(self._work, min(dates))
        return found

    def _keeps(self, row: Dependent, remote_date: datetime, deletion: Change) -> bool:
        """Return whether a row that REMOTE changed keeps an object which LOCAL deleted."""
        if row.model._meta.auto_created:  # a member goes with either end of its pair
            return False
        # A row that forbids the deletion was given to the object by somebody who did not know of it.
        return row.rule in (PROTECT, RESTRICT) or not self._policy.local_wins(
            self._work.session, deletion.date, remote_date
        )


def _withhold(work: BatchWork, deletion: Change, remote: Key, date: datetime) -> list[type[Model]]:
    """Take a deletion out of the plan, with all tables of the object; return these."""
    plan, tables = work.plan, []
    for model in same_object_models(deletion.model):
        if model is deletion.model or remote in plan.deletions.get(model, {}):
            tables.append(model)
        plan.deletions.get(model, {}).pop(remote, None)
        # It comes back from REMOTE under the same key, so its reference stays.
        references = plan.obsolete_references.get(model, ())
        plan.obsolete_references[model] = [key for key in references if key != deletion.key]
    plan.keep_remote(deletion.model, deletion.key)
    plan.conflicts.append(
        Decision(deletion.model, deletion.key, remote, None, deletion.date, date, Conflict.REMOTE)
    )
    return tables


def _note_lost_rows(work: BatchWork, found: _Found) -> None:
    """Add to the plan's conflicts what REMOTE changed itself and what is deleted with an object all the same."""
    lost: dict[type[Model], dict[Key, tuple[Dependent, datetime, Change]]] = {}
    for row, date in found.changed:
        roots = [
            found.deleted[root] for root in row.roots if root in found.deleted and root not in found.kept
        ]
        if roots and row.rule in CASCADES:
            lost.setdefault(row.model, {})[row.key] = row, date, roots[0]
    for model, several in lost.items():
        if model._meta.auto_created:
            names = pair_owners(work.identities, model, list(several))
            for remote, (_row, date, deletion) in several.items():
                member = MemberConflict(names[remote], remote, False, deletion.date, date, Conflict.LOCAL)
                work.plan.note_member(model, member)
            continue
        is_named = not any(f.remote_field is not None for f in key_fields(model))
        owners = work.identities.owners(model, list(several)) if is_named else {}
        for remote, (row, date, deletion) in several.items():
            key = owners.get(remote)
            if key is None:
                work.plan.lost_rows.append(
                    LostRow(deletion.model, deletion.key, model, remote, row.column, deletion.date, date)
                )
            else:
                work.plan.conflicts.append(
                    Decision(model, key, remote, None, deletion.date, date, Conflict.LOCAL)
                )


def _deleted_later(work: BatchWork, row_ids: Collection[RowId]) -> set[RowId]:
    """Return those of these rows of REMOTE that a later batch deletes: it decides by itself whether they stay."""
    session, plan, changes = work.session, work.plan, work.changes
    found: set[RowId] = set()
    by_model: dict[type[Model], set[Key]] = {}
    for model, key in row_ids:
        if is_watched(model) and key not in plan.deletions.get(model, {}):
            by_model.setdefault(model, set()).add(key)
    for model, keys in by_model.items():
        owners = known_owners(session, work.identities, model, keys)
        known = {remote: local for remote, local in owners.items() if (model, local) not in changes.rows}
        gone = set(known.values()) - existing_keys(session.local, model, list(known.values()))
        if gone:
            entries = pending_entries(session, [(model, key) for key in gone])
            deleted = {entry.key for entry in entries if entry.action == DELETION}
            found |= {(model, remote) for remote, local in known.items() if local in deleted}
    return found


def _send_back(work: BatchWork, rows: SentBack) -> None:
    """Have REMOTE's log say that LOCAL lacks these of its rows."""
    remote = work.session.remote
    # To nodes that have received the deletion, what stays is new.
    now = remote.backend.now() if work.session.forwards else None
    entries = [
        ChangeLog(
            content_type_id=remote.content_type_id(model),
            object_id=to_text(model, key),
            action=CHANGE,
            date=now or date,
            fields=names,  # type: ignore[misc]
        )
        for (model, key), (date, names) in rows.items()
        if is_watched(model) and key not in work.plan.deletions.get(model, {})
    ]
    if entries:
        ChangeLog.objects.using(remote.alias).bulk_create(entries, batch_size=500)
