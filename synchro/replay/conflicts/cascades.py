"""
Spare: what REMOTE has added to an object that LOCAL deleted keeps the object there, or goes with it on record.

LOCAL has never seen those rows. Django, or the database, would have them go along with the object, without a trace.
What stays is sent back: REMOTE's log gets entries for it, since LOCAL has lost it all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import PROTECT, RESTRICT, Model

from synchro.keys import AnyField, Key, key_fields, to_text
from synchro.models import CHANGE, DELETION, ChangeLog, Conflict
from synchro.registry import is_watched
from synchro.relations import CASCADES, same_key_parents
from synchro.replay.conflicts.history import History
from synchro.replay.conflicts.members import changed_at, ends_of, names_here
from synchro.replay.conflicts.policy import policy_for
from synchro.replay.conflicts.remote_changes import MOMENT
from synchro.replay.conflicts.remote_log import RemoteLog, family_of
from synchro.replay.dependent_rows import dependents_below
from synchro.replay.identity.identities import Identities, existing_here
from synchro.replay.log.changes import Change, Changes
from synchro.replay.plan import Decision, Loss, MemberConflict, Plan
from synchro.replay.prerequisites import known_here, pending_entries
from synchro.replay.rows import Rows
from synchro.replay.session import Session

Row = tuple[type[Model], Key]


class Below(NamedTuple):
    """A row that depends on objects, by REMOTE's keys, and the column by which it does."""

    model: type[Model]
    key: Key
    column: AnyField
    rule: Any
    #: The objects that it would go with.
    roots: frozenset[Key]


@dataclass
class _Found:
    """What depends on some objects of REMOTE."""

    #: The objects that stay, with the change that they stay for.
    kept: dict[Key, datetime] = field(default_factory=dict)
    #: What REMOTE changed itself, and when.
    theirs: list[tuple[Below, datetime]] = field(default_factory=list)
    #: All rows that depend on the objects.
    rows: list[Below] = field(default_factory=list)


def resolve_cascades(
    session: Session,
    log: RemoteLog,
    changes: Changes,
    plan: Plan,
    rows: Rows,
    identities: Identities,
    records: History,
) -> None:
    """Take the deletions out of `plan` that would take along what is newer than they are."""
    dates = [change.date for change in changes.rows.values()]
    if session.peer_on_remote is None or not dates or not (plan.removals or plan.stays):
        return
    if not (log.has_news(min(dates)) or log.may_have_lost(min(dates))):
        return
    #: What stays: the objects, and what depends on them.
    objects: dict[Row, tuple[datetime, tuple[str, ...] | None]] = {}
    entries: dict[Row, tuple[datetime, tuple[str, ...] | None]] = {}
    for model in [*plan.removals, *(each for each in plan.stays if each not in plan.removals)]:
        going = {
            remote: changes.rows[model, local]
            for remote, local in plan.removals.get(model, {}).items()
            if local is not None and (model, local) in changes.rows
        }
        stays = plan.stays.get(model, {})
        if model._meta.auto_created or not (going or stays):
            continue
        found = _Search(session, log, plan, rows, model, going, stays).run()
        records.load(model, [going[remote].key for remote in found.kept if remote in going])
        for remote, date in found.kept.items():
            if remote in going:
                for table in _keep(records, plan, going[remote], remote, date):
                    objects[table, remote] = date, None
        _note_losses(identities, records, plan, going, found)
        for below, _date in found.theirs:
            plan.decided.setdefault(below.model, set()).add(below.key)
        for below in found.rows:
            if stay := below.roots & found.kept.keys():
                date = max(found.kept[root] for root in stay)
                entries.setdefault((below.model, below.key), (date, (below.column.name,)))
    below_what_stays = {row for row in entries if row not in objects}
    deleted = _deleted_later(session, changes, plan, identities, below_what_stays)
    # Children were deleted before their parents, and are to come back after them.
    _send_back(
        session,
        plan,
        {
            **dict(reversed(objects.items())),
            **{row: entries[row] for row in entries if row in below_what_stays - deleted},
        },
    )


def _deleted_later(
    session: Session, changes: Changes, plan: Plan, identities: Identities, rows: Collection[Row]
) -> set[Row]:
    """Those of these rows of REMOTE that a later batch deletes: it will see by itself whether they stay."""
    found: set[Row] = set()
    by_model: dict[type[Model], set[Key]] = {}
    for model, key in rows:
        if is_watched(model) and key not in plan.removals.get(model, {}):
            by_model.setdefault(model, set()).add(key)
    for model, keys in by_model.items():
        known = {
            there: here
            for there, here in known_here(session, identities, model, keys).items()
            if (model, here) not in changes.rows
        }
        gone = set(known.values()) - existing_here(session, model, list(known.values()))
        if gone:
            entries = pending_entries(session, [(model, key) for key in gone])
            deleted = {entry.key for entry in entries if entry.action == DELETION}
            found |= {(model, there) for there, here in known.items() if here in deleted}
    return found


class _Search:
    """Looks for what depends on objects of one model that LOCAL has deleted."""

    def __init__(
        self,
        session: Session,
        log: RemoteLog,
        plan: Plan,
        rows: Rows,
        model: type[Model],
        going: Mapping[Key, Change],
        stays: Mapping[Key, datetime],
    ) -> None:
        self._session, self._log, self._plan, self._rows = session, log, plan, rows
        self._model, self._going = model, going
        self._since = min([*(change.date for change in going.values()), *stays.values()])
        self._policy = policy_for(model)
        self._found = _Found(kept=dict(stays))

    def run(self) -> _Found:
        roots = {*self._going, *self._found.kept}
        frontier = {model: {key: {key} for key in keys} for model, keys in self._tables(roots).items()}
        seen: dict[Row, set[Key]] = {(model, key): {key} for model, keys in frontier.items() for key in keys}
        while frontier:
            below: dict[type[Model], dict[Key, set[Key]]] = {}
            for parent, keys in frontier.items():
                for child, column, rule, found in dependents_below(self._session.remote, parent, keys):
                    # A row may stand below several objects, and by ways of different length.
                    new = {key: over - seen.get((child, key), set()) for key, over in found.items()}
                    self._note(child, column, rule, {key: over for key, over in new.items() if over})
                    for key, over in new.items():
                        if over and rule in CASCADES and not child._meta.auto_created:
                            seen.setdefault((child, key), set()).update(over)
                            below.setdefault(child, {}).setdefault(key, set()).update(over)
            frontier = below
        return self._found

    def _tables(self, roots: Collection[Key]) -> dict[type[Model], Collection[Key]]:
        """The objects' rows: also those of the models that they inherit from, where LOCAL has lost these too."""
        found: dict[type[Model], Collection[Key]] = {self._model: roots}
        for parent in same_key_parents(self._model):
            locals_gone = {remote: change.key for remote, change in self._going.items()}
            there = self._rows.present(parent, list(locals_gone.values()))
            found[parent] = [remote for remote, key in locals_gone.items() if key not in there]
        return found

    def _note(
        self, child: type[Model], column: AnyField, rule: Any, rows: Mapping[Key, Collection[Key]]
    ) -> None:
        removals = self._plan.removals.get(child, {})
        rows = {key: over for key, over in rows.items() if key not in removals}
        if not rows:
            return
        dates = {**self._presumed(child, rule, rows), **self._dates(child, rows)}
        for key, over in rows.items():
            below = Below(child, key, column, rule, frozenset(over))
            self._found.rows.append(below)
            if (date := dates.get(key)) is not None:
                self._found.theirs.append((below, date))
                for root in over:
                    if root in self._going and self._wins(child, rule, date, self._going[root]):
                        self._found.kept[root] = max(date, self._found.kept.get(root, date))

    def _dates(self, child: type[Model], keys: Collection[Key]) -> Mapping[Key, datetime]:
        """When REMOTE itself changed these rows, and LOCAL has not heard of it."""
        if child._meta.auto_created:
            said = self._log.changes(self._since, {child: keys, **ends_of(child, keys)})
            found = {key: changed_at(said, child, key) for key in keys}
            return {key: date for key, date in found.items() if date is not None}
        said = self._log.changes(self._since, {child: keys})
        return {key: change.date for (model, key), change in said.rows.items() if model is child}

    def _presumed(
        self, child: type[Model], rule: Any, rows: Mapping[Key, Collection[Key]]
    ) -> dict[Key, datetime]:
        """The same where REMOTE's log does not reach back so far: LOCAL's deletion says nothing of these rows."""
        if child._meta.auto_created or rule not in CASCADES:
            return {}
        found = {}
        for key, over in rows.items():
            dates = [self._going[root].date for root in over if root in self._going]
            if dates and self._log.may_have_lost(max(dates)):
                found[key] = min(dates) + self._session.offset - MOMENT
        return found

    def _wins(self, child: type[Model], rule: Any, theirs: datetime, ours: Change) -> bool:
        if child._meta.auto_created:  # a member goes with either end of its pair
            return False
        # A row that forbids the deletion was given to the object by whoever did not know of it.
        return rule in (PROTECT, RESTRICT) or not self._policy.local_wins(self._session, ours.date, theirs)


def _keep(records: History, plan: Plan, ours: Change, remote: Key, date: datetime) -> Iterator[type[Model]]:
    """Take a deletion out of `plan`, with all tables of the object, which are returned."""
    for model in family_of(ours.model):
        if model is ours.model or remote in plan.removals.get(model, {}):
            yield model
        plan.removals.get(model, {}).pop(remote, None)
        # It will come back under the same key: who it is, is not forgotten.
        plan.forgotten[model] = [key for key in plan.forgotten.get(model, ()) if key != ours.key]
    plan.keep(ours.model, ours.key)
    if not records.has(ours.model, ours.key, None, ours.date, date, Conflict.REMOTE):
        plan.conflicts.append(Decision(ours.model, ours.key, remote, None, ours.date, date, Conflict.REMOTE))


def _note_losses(
    identities: Identities, records: History, plan: Plan, going: Mapping[Key, Change], found: _Found
) -> None:
    """Put on record what REMOTE changed itself and what goes with an object all the same."""
    lost: dict[type[Model], dict[Key, tuple[Below, datetime, Change]]] = {}
    for below, date in found.theirs:
        roots = [going[root] for root in below.roots if root in going and root not in found.kept]
        if roots and (below.rule in CASCADES):
            lost.setdefault(below.model, {})[below.key] = below, date, roots[0]
    for model, several in lost.items():
        if model._meta.auto_created:
            names = names_here(identities, model, list(several))
            for remote, (_below, date, ours) in several.items():
                member_conflict = MemberConflict(
                    names[remote], remote, False, ours.date, date, Conflict.LOCAL
                )
                plan.member_conflicts.setdefault(model, []).append(member_conflict)
            continue
        is_named = not any(f.remote_field is not None for f in key_fields(model))
        owners = identities.owners(model, list(several)) if is_named else {}
        records.load(model, list(owners.values()))
        for remote, (below, date, ours) in several.items():
            key = owners.get(remote)
            if key is None:
                plan.losses.append(Loss(ours.model, ours.key, model, remote, below.column, ours.date, date))
            elif not records.has(model, key, None, ours.date, date, Conflict.LOCAL):
                plan.conflicts.append(Decision(model, key, remote, None, ours.date, date, Conflict.LOCAL))


def _send_back(
    session: Session, plan: Plan, rows: Mapping[Row, tuple[datetime, Iterable[str] | None]]
) -> None:
    """Have REMOTE's log say that LOCAL lacks these of its rows."""
    side = session.remote
    # To nodes that have heard of the deletion, what stays is news.
    now = side.backend.now() if session.forwards else None
    entries = [
        ChangeLog(
            content_type_id=side.content_type_id(model),
            object_id=to_text(model, key),
            action=CHANGE,
            date=now or date,
            fields=names,  # type: ignore[misc]
        )
        for (model, key), (date, names) in rows.items()
        if is_watched(model) and key not in plan.removals.get(model, {})
    ]
    if entries:
        ChangeLog.objects.using(side.alias).bulk_create(entries, batch_size=500)
