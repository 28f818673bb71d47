"""Rows of REMOTE that would stop a deletion, or would go along with it, though LOCAL has changed them since."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from django.db.models import DO_NOTHING, PROTECT, RESTRICT, Model

from synchro.keys import AnyField, Key, key_fields
from synchro.registry import is_watched
from synchro.relations import CASCADES, relations, target_of
from synchro.replay.dependent_rows import (
    concrete,
    generic_relations,
    generically_below,
    key_column,
    owners_of_values,
)
from synchro.replay.identity.identities import Identities, existing_keys
from synchro.replay.identity.owners import known_owners
from synchro.replay.log.changes import RowId
from synchro.replay.plan import Plan, Prerequisites
from synchro.replay.rows import as_key, as_values, select
from synchro.replay.session import Session


class Blocking:
    def __init__(self, session: Session, plan: Plan, identities: Identities) -> None:
        self._session, self._plan, self._identities = session, plan, identities

    def take_along_below(self, model: type[Model], keys: Collection[Key]) -> None:
        """Raise `Prerequisites` where what is below these rows of REMOTE has to be part of the batch first."""
        self._raise(self._below({model: set(keys)}))

    def take_along(self, model: type[Model], keys: Collection[Key]) -> None:
        """The same for rows that would point at nothing: they themselves, and what is below those that LOCAL lacks."""
        found: set[RowId] = set()
        gone = self._note(model, set(keys), True, found)
        self._raise(found | self._below({model: gone}))

    @staticmethod
    def _raise(found: Collection[RowId]) -> None:
        if found:
            raise Prerequisites(found)

    def _below(self, frontier: dict[type[Model], set[Key]]) -> set[RowId]:
        """Objects of LOCAL, level by level."""
        found: set[RowId] = set()
        seen: dict[type[Model], set[Key]] = {model: set(keys) for model, keys in frontier.items()}
        while frontier:
            below: dict[type[Model], set[Key]] = {}
            for parent, keys in frontier.items():
                for child, column, rows, blocks in self._rows_below(parent, keys):
                    new = rows - seen.setdefault(child, set())
                    self._complete(parent, child, column, new)
                    gone = self._note(child, new, blocks, found)
                    seen[child] |= gone
                    if gone:
                        below.setdefault(child, set()).update(gone)
            frontier = below
        return found

    def _note(self, model: type[Model], keys: set[Key], blocks: bool, found: set[RowId]) -> set[Key]:
        """
        Add those of these rows of REMOTE to `found` that have to be part of the batch; return those that LOCAL has
        deleted, and that are not part of it.
        """
        keys = keys - self._plan.deletions.get(model, {}).keys()
        if not keys or not is_watched(model):
            return set() if blocks else keys
        known = known_owners(self._session, self._identities, model, keys)
        asked = self._plan.objects(model)
        known = {remote_key: local_key for remote_key, local_key in known.items() if local_key not in asked}
        own = key_fields(model)
        values = [as_values(local_key) for local_key in known.values()]
        present = {as_key(row) for row in select(self._session.local, model, own, own, values)}
        wanted = known.items() if blocks else self._undecided(model, known, present)
        found |= {(model, local_key) for _remote_key, local_key in wanted}
        return {remote_key for remote_key, key in known.items() if key not in present}

    def _complete(self, parent: type[Model], model: type[Model], column: AnyField, keys: set[Key]) -> None:
        """
        Raise `Prerequisites` for those of these rows of REMOTE, which still point at rows of `parent` that go, that
        point at another one on LOCAL and of which the batch writes other columns only: no entry names this one.
        """
        if target_of(column) is not parent or not is_watched(model):
            return
        keys = keys - self._plan.deletions.get(model, {}).keys()
        keys -= self._plan.decided_dependents.get(model, set())
        writes, own = self._plan.writes.get(model, {}), key_fields(model)
        partly = [
            local_key
            for local_key in known_owners(self._session, self._identities, model, keys).values()
            if (names := writes.get(local_key, frozenset())) is not None
            and column.name not in names
            and self._plan.is_written(model, local_key)
        ]
        local = self._session.local
        rows = select(local, model, [*own, column], own, [as_values(local_key) for local_key in partly])
        present = existing_keys(local, parent, {value for *_pk, value in rows if value is not None})
        row_ids = [(model, as_key(pk)) for *pk, value in rows if value is None or value in present]
        if row_ids:
            raise Prerequisites(row_ids, dict.fromkeys(row_ids, column.name))

    def _undecided(
        self, model: type[Model], known: Mapping[Key, Key], present: Collection[Key]
    ) -> list[tuple[Key, Key]]:
        """Those of these rows that LOCAL has, and that are below the object without REMOTE's own log saying so."""
        decided = self._plan.decided_dependents.get(model, ())
        return [
            (remote_key, local_key)
            for remote_key, local_key in known.items()
            if local_key in present and remote_key not in decided
        ]

    def _rows_below(
        self, parent: type[Model], keys: Collection[Key]
    ) -> Iterator[tuple[type[Model], AnyField, set[Key], bool]]:
        """Rows of REMOTE that point at these, by model and column, and whether they keep them from going."""
        for child, column, rule in relations(parent):
            blocks = _blocks(column, rule)
            if child._meta.auto_created or not (blocks or rule in CASCADES):
                continue
            owners = owners_of_values(self._session.remote, parent, column, keys)
            rows = select(
                self._session.remote, child, key_fields(child), [column], [(value,) for value in owners]
            )
            if rows:
                yield child, column, {as_key(row) for row in rows}, blocks
        for relation in generic_relations(parent):
            found = {key for key, _owner in generically_below(self._session.remote, parent, relation, keys)}
            if found:
                yield concrete(relation), key_column(relation), found, False


def _blocks(column: AnyField, rule: Any) -> bool:
    """Whether a row that points at another keeps it from being deleted, by Django's rules or the server's."""
    return rule in (PROTECT, RESTRICT) or (rule is DO_NOTHING and column.db_constraint)
