"""Row conflicts: an object of a batch that both sides changed, with both rows and the time of each change."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from django.db.models import JSONField, Model

from synchro.keys import AnyField, Key, column_field, key_fields
from synchro.registry import Table
from synchro.relations import generic_keys, points_at_rows, same_key_parents
from synchro.replay.conflicts.history import History
from synchro.replay.identity.identities import Identity
from synchro.replay.log.changes import Change, Changes
from synchro.replay.plan import Decision, MemberConflict, Plan
from synchro.replay.session import Session
from synchro.replay.work import BatchWork

#: When LOCAL and REMOTE changed a field.
Dates: TypeAlias = tuple[datetime, datetime]
Row: TypeAlias = Sequence[Any]


@dataclass(frozen=True)
class RowConflict:
    """An object that both sides changed."""

    #: LOCAL's change, and REMOTE's of the same row.
    change: Change
    remote_change: Change
    identity: Identity
    _all: RowConflicts

    @property
    def session(self) -> Session:
        return self._all.work.session

    @property
    def plan(self) -> Plan:
        return self._all.work.plan

    @property
    def model(self) -> type[Model]:
        return self.change.model

    @property
    def key(self) -> Key:
        """LOCAL's key."""
        return self.change.key

    @property
    def is_presumed(self) -> bool:
        """Whether REMOTE's log does not reach back so far, and the change is only taken to have happened."""
        return self.remote_change.is_presumed

    @property
    def history(self) -> History:
        """What was decided about the model's objects before."""
        return self._all.history_of(self.model)

    def rows(self) -> tuple[Row | None, Row | None]:
        """Return LOCAL's row and REMOTE's; None for one that is not there."""
        return self._all.rows(self.model, self.key)

    def equal_fields(self) -> set[str]:
        """Return the names of the fields that have the same value on both sides."""
        return self._all.equal_fields(self.model, self.key)

    def different(self, dates: Mapping[str, Dates]) -> dict[str, Dates]:
        """Return those of these fields that are not the key's and have different values on both sides."""
        if not dates:
            return {}
        equal = self.equal_fields() | {field.name for field in key_fields(self.model)}
        return {name: at for name, at in dates.items() if name not in equal}

    def decision(
        self, names: tuple[str, ...] | None, local_date: datetime, remote_date: datetime, winner: str
    ) -> Decision:
        """Return what was decided about these fields, or with None about the whole row, as it is put on record."""
        remote_key = self.identity.logged_key
        return Decision(self.model, self.key, remote_key, names, local_date, remote_date, winner)

    def note(
        self, names: tuple[str, ...] | None, local_date: datetime, remote_date: datetime, winner: str
    ) -> None:
        """Add to the plan what was decided about these fields, or with None about the whole row."""
        if self.model._meta.auto_created:
            remote: Any = self.identity.remote
            is_local_member = not self.identity.exists
            member = MemberConflict(self.key, remote, is_local_member, local_date, remote_date, winner)
            self.plan.note_member(self.model, member)
        else:
            self.plan.conflicts.append(self.decision(names, local_date, remote_date, winner))


class RowConflicts:
    """
    The objects of a batch that both sides changed.

    Their rows, and what was decided about them before, are read for a whole model when the first is asked for.
    """

    def __init__(self, work: BatchWork, remote_changes: Changes) -> None:
        self.work, self._remote_changes = work, remote_changes
        self._history = History(work.session, work.batch)
        self._loaded: set[type[Model]] = set()
        self._translated: dict[type[Model], dict[AnyField, dict[Any, Any]]] = {}

    def of(
        self, change: Change, identity: Identity, models: Iterable[type[Model]] | None = None
    ) -> RowConflict | None:
        """
        Return the conflict about an object; None where REMOTE has not changed it.

        Where its rows in several tables share its fate, `models` are these: then REMOTE's latest change counts.
        """
        rows, key = self._remote_changes.rows, identity.logged_key
        if not rows:
            return None
        found = [rows[model, key] for model in models or (change.model,) if (model, key) in rows]
        if not found:
            return None
        return RowConflict(change, max(found, key=lambda each: each.date), identity, self)

    def history_of(self, model: type[Model]) -> History:
        """Return what was decided before, about all objects of `model` that both sides changed."""
        if model not in self._loaded:
            self._loaded.add(model)
            self._history.load(model, self._pairs(model))
        return self._history

    def rows(self, model: type[Model], key: Key) -> tuple[Row | None, Row | None]:
        """Return LOCAL's row of an object and REMOTE's; None for one that is not there."""
        self._read(model)
        work, remote_key = self.work, self.work.identities.of(model, key).logged_key
        return (
            work.local_rows.load(model, [key]).get(key),
            work.remote_rows.load(model, [remote_key]).get(remote_key),
        )

    def equal_fields(self, model: type[Model], key: Key) -> set[str]:
        """Return the names of the fields in which both rows of an object are equal."""
        local, remote = self.rows(model, key)
        if local is None or remote is None:
            return set()
        unknown = {each.fk_field for each in generic_keys(model)}
        unknown |= {field.name for field in self.work.local_rows.unreadable_fields(model, key)}
        return {
            field.name
            for field, own, other in zip(Table(model).fields, local, remote, strict=True)
            if field.name not in unknown and self._is_equal(model, field, own, other)
        }

    def _is_equal(self, model: type[Model], field: AnyField, local: Any, remote: Any) -> bool:
        translated = self._translated[model].get(field)
        if translated is not None:
            return (local is None and remote is None) or (local is not None and translated[local] == remote)
        if isinstance(column_field(field), JSONField) and isinstance(local, str) and isinstance(remote, str):
            return bool(json.loads(local) == json.loads(remote))
        return bool(local == remote)

    def _read(self, model: type[Model]) -> None:
        if model in self._translated:
            return
        pairs = self._pairs(model)
        local = self.work.local_rows.load(model, list(pairs))
        self.work.remote_rows.load(model, [remote for remote in pairs.values() if remote is not None])
        self._translated[model] = {
            field: self.work.identities.translate(field, {row[position] for row in local.values()})
            for position, field in enumerate(Table(model).fields)
            if points_at_rows(field)
        }

    def _pairs(self, model: type[Model]) -> dict[Key, Key]:
        """Return LOCAL's and REMOTE's keys of the objects of `model` that both sides changed."""
        tables = (model, *same_key_parents(model))
        pairs = {}
        for row_id in self.work.changes.rows:
            if row_id[0] is model:
                remote = self.work.identities.of(*row_id).logged_key
                if any((table, remote) in self._remote_changes.rows for table in tables):
                    pairs[row_id[1]] = remote
        return pairs


def by_dates(dates: Mapping[str, Dates]) -> Iterable[tuple[tuple[str, ...], Dates]]:
    """Group the names of fields that were changed at the same two moments, and so are decided together."""
    groups: dict[Dates, list[str]] = {}
    for name, at in dates.items():
        groups.setdefault(at, []).append(name)
    return [(tuple(sorted(names)), at) for at, names in groups.items()]
