"""Made: pairs of keys that a run has made and that LOCAL does not remember yet."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeAlias

from django.db.models import Model

from synchro.keys import Key

#: LOCAL's keys to REMOTE's.
Pairs: TypeAlias = Mapping[type[Model], Mapping[Key, Key]]


class Made:
    def __init__(self) -> None:
        self._there: dict[type[Model], dict[Key, Key]] = {}
        self._here: dict[type[Model], dict[Key, Key]] = {}

    def add(self, pairs: Pairs) -> None:
        for model, found in pairs.items():
            self._there.setdefault(model, {}).update(found)
            self._here.setdefault(model, {}).update({there: here for here, there in found.items()})

    def remote_keys(self, model: type[Model], here: Collection[Key]) -> dict[Key, Key]:
        """REMOTE's keys, by LOCAL's, of those objects that have one."""
        known = self._there.get(model, {})
        return {key: known[key] for key in here if key in known}

    def local_keys(self, model: type[Model], there: Collection[Key]) -> dict[Key, Key]:
        """LOCAL's keys, by REMOTE's."""
        known = self._here.get(model, {})
        return {key: known[key] for key in there if key in known}
