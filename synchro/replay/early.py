"""
Early: rows that are written before those that they point at, since these point back at them.

A server that looks at foreign keys at once refuses them. So they are written with such columns empty first; where a
column cannot be empty, they are written unchecked, and looked at when all is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db.models import Model

from synchro.keys import AnyField, Key
from synchro.registry import Table
from synchro.relations import target_of
from synchro.replay.identify import Identities
from synchro.replay.link import Link
from synchro.replay.read import select
from synchro.replay.resolve import Plan


class Early:
    """What is early among rows of `model`, given as LOCAL has them."""

    def __init__(
        self,
        link: Link,
        plan: Plan,
        identities: Identities,
        model: type[Model],
        rows: Mapping[Key, Sequence[Any]],
    ) -> None:
        self._link, self._plan, self._identities, self._model = link, plan, identities, model
        own = [
            place
            for place, field in enumerate(Table(model).fields)
            if field.remote_field is not None and target_of(field) is model
        ]
        pointing = {key: {row[place] for place in own} - {key} for key, row in rows.items()}
        #: The rows, as far as possible each after those that it points at.
        self.order = _targets_first(pointing)
        self._places = {key: place for place, key in enumerate(self.order)}

    def keys(self, column: AnyField, values: Mapping[Key, Any]) -> set[Key]:
        """Those of the rows, given with their values of a foreign key, that point at what is written after them."""
        target = target_of(column)
        if target is None:
            return self._by_value(column, values)
        planned, known = self._plan.puts.get(target, {}), self._identities.known(target)
        return {
            key
            for key, value in values.items()
            if value in planned
            and not known[value].exists
            and not (target is self._model and self._is_before(value, key))
        }

    def _is_before(self, target: Key, key: Key) -> bool:
        """Whether a new row is written before another one of its model, or is that."""
        is_new = not self._identities.of(self._model, key).exists
        return is_new and self._places[target] <= self._places[key]

    def _by_value(self, column: AnyField, values: Mapping[Key, Any]) -> set[Key]:
        """Of a foreign key to another column than the key, whose values are the same on both sides."""
        target = column.related_model._meta.concrete_model
        if target not in self._plan.puts:
            return set()
        by = [column.target_field]
        wanted = [(value,) for value in set(values.values())]
        there = {value for (value,) in select(self._link.remote, target, by, by, wanted)}
        return {key for key, value in values.items() if value not in there}


def _targets_first(pointing: Mapping[Key, Iterable[Key]]) -> list[Key]:
    """The keys, each after those that it points at; in a circle one of them has to be the first."""
    done: dict[Key, None] = {}
    entered: set[Key] = set()
    for first in pointing:
        stack = [(first, False)]
        while stack:
            key, is_ready = stack.pop()
            if is_ready:
                done[key] = None
            elif key not in entered:
                entered.add(key)
                stack.append((key, True))
                stack += [(target, False) for target in pointing[key] if target in pointing]
    return list(done)
