"""
Put back columns that no entry of the batch names, and that code of others changed.

A model's `save()` writes all columns, shifts those of other rows, or fills some in. What is on REMOTE then would differ
from LOCAL for good, since no entry is about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import Model

from synchro.conf import conf
from synchro.keys import AnyField, Key, key_fields
from synchro.registry import Table
from synchro.replay.apply.statements import Group
from synchro.replay.apply.translate import Translator
from synchro.replay.identity.identities import Identities
from synchro.replay.plan import Plan
from synchro.replay.rows import as_key, as_values, select
from synchro.replay.session import Session


class Untouched:
    """REMOTE's rows of the batch of which only some columns are written, as they were before anything was."""

    def __init__(self, session: Session, plan: Plan, identities: Identities) -> None:
        self._session, self._identities = session, identities
        self._rows: dict[type[Model], dict[Key, Sequence[Any]]] = {}
        for model, planned in plan.writes.items():
            known = identities.known(model)
            partial = [key for key, names in planned.items() if names is not None and known[key].exists]
            if partial and not model._meta.auto_created:
                self._rows[model] = self._read(model, partial)

    def _read(self, model: type[Model], keys: Iterable[Key]) -> dict[Key, Sequence[Any]]:
        """REMOTE's rows as they are now, by LOCAL's keys."""
        fields, own = Table(model).fields, key_fields(model)
        local_keys = {self._identities.of(model, key).remote: key for key in keys}
        values = [as_values(remote) for remote in local_keys]
        rows = select(self._session.remote, model, [*own, *fields], own, values)
        return {local_keys[as_key(row[: len(own)])]: row[len(own) :] for row in rows}

    def changed(self, group: Group, translator: Translator) -> Group | None:
        """The rows of the group whose other columns were changed meanwhile, as they were; None where there are none."""
        before = self._rows.get(group.model, {})
        before = {key: row for key, row in before.items() if key in group.old}
        if not before:
            return None
        after = self._read(group.model, before)
        part = group.only([key for key in before if after.get(key, before[key]) != before[key]])
        if not part.old:
            return None
        wanted = translator.again(part).rows
        names = {key: self._names(part, key, before[key], after[key], wanted[key]) for key in part.old}
        rows = {key: list(before[key]) for key, several in names.items() if several}
        old: dict[Key, frozenset[str] | None] = {key: names[key] for key in rows}
        return Group(group.model, group.fields, rows, [], old, set())

    def _names(
        self, group: Group, key: Key, before: Sequence[Any], after: Sequence[Any], wanted: Sequence[Any]
    ) -> frozenset[str]:
        """
        The columns to put back. What differed from LOCAL before may be there by others on both sides, where signals
        capture nothing of it; triggers do.
        """
        own = key_fields(group.model)

        def is_to_be_put_back(place: int, field: AnyField) -> bool:
            return (
                field not in own
                and not group.is_written(key, field)
                and before[place] != after[place]
                and (conf.capture == "triggers" or before[place] == wanted[place])
            )

        fields = enumerate(group.fields)
        return frozenset(field.name for place, field in fields if is_to_be_put_back(place, field))
