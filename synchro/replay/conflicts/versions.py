"""Rivals: both sides' rows of objects that both changed; of a whole model, when the first is asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.db.models import JSONField, Model

from synchro.keys import AnyField, Key, column_field
from synchro.registry import Table
from synchro.relations import generic_keys, points_at_rows, same_key_parents
from synchro.replay.conflicts.history import History
from synchro.replay.identity.identities import Identities, Identity
from synchro.replay.log.changes import Changes
from synchro.replay.rows import Rows

Row = Sequence[Any]


def version_key(identity: Identity) -> Key | None:
    """The key by which REMOTE's log may speak of the object."""
    return identity.remote if identity.exists or identity.gone is None else identity.gone


class Versions:
    def __init__(
        self,
        changes: Changes,
        theirs: Changes,
        identities: Identities,
        here: Rows,
        there: Rows,
        records: History,
    ) -> None:
        self._changes, self._theirs, self._identities = changes, theirs, identities
        self._here, self._there, self._records = here, there, records
        self._translated: dict[type[Model], dict[AnyField, dict[Any, Any]]] = {}
        self._recorded: set[type[Model]] = set()

    def records(self, model: type[Model]) -> History:
        if model not in self._recorded:
            self._recorded.add(model)
            self._records.load(model, list(self._pairs(model)))
        return self._records

    def rows(self, model: type[Model], key: Key) -> tuple[Row | None, Row | None]:
        """LOCAL's row and REMOTE's; None for one that is not there."""
        self._gather(model)
        remote = version_key(self._identities.of(model, key))
        return self._here.load(model, [key]).get(key), self._there.load(model, [remote]).get(remote)

    def equal_fields(self, model: type[Model], key: Key) -> set[str]:
        """Names of the fields that have the same value on both sides."""
        here, there = self.rows(model, key)
        if here is None or there is None:
            return set()
        unknown = {each.fk_field for each in generic_keys(model)}
        unknown |= {field.name for field in self._here.unreadable_fields(model, key)}
        return {
            field.name
            for field, ours, theirs in zip(Table(model).fields, here, there, strict=True)
            if field.name not in unknown and self._is_equal(model, field, ours, theirs)
        }

    def _is_equal(self, model: type[Model], field: AnyField, ours: Any, theirs: Any) -> bool:
        translated = self._translated[model].get(field)
        if translated is not None:
            return (ours is None and theirs is None) or (ours is not None and translated[ours] == theirs)
        if isinstance(column_field(field), JSONField) and isinstance(ours, str) and isinstance(theirs, str):
            return bool(json.loads(ours) == json.loads(theirs))
        return bool(ours == theirs)

    def _gather(self, model: type[Model]) -> None:
        if model in self._translated:
            return
        pairs = self._pairs(model)
        here = self._here.load(model, list(pairs))
        self._there.load(model, [remote for remote in pairs.values() if remote is not None])
        self._translated[model] = {
            field: self._identities.translate(field, {row[place] for row in here.values()})
            for place, field in enumerate(Table(model).fields)
            if points_at_rows(field)
        }

    def _pairs(self, model: type[Model]) -> dict[Key, Key]:
        """LOCAL's and REMOTE's keys of the objects that both changed."""
        lines = (model, *same_key_parents(model))
        pairs = {}
        for place in self._changes.rows:
            if place[0] is model:
                remote = version_key(self._identities.of(*place))
                if any((line, remote) in self._theirs.rows for line in lines):
                    pairs[place[1]] = remote
        return pairs
