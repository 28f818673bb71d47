"""Delete rows that point at each other in a circle, so that none of them can be the first to go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import PROTECT, RESTRICT, Model, ProtectedError, QuerySet, RestrictedError
from django.db.models.deletion import Collector

from synchro.keys import AnyField, Key, key_fields
from synchro.relations import relations
from synchro.replay.apply.blocking import Blocking
from synchro.replay.apply.deletions import attributes
from synchro.replay.apply.unique import UniqueValues
from synchro.replay.columns import Codec
from synchro.replay.dependent_rows import owners_of_values
from synchro.replay.plan import Plan
from synchro.replay.rows import as_key, as_values, select
from synchro.replay.session import Session

#: Deletes the rows with these keys of REMOTE, and returns how many there were.
Delete = Callable[[Sequence[Key]], int]

#: How many objects are read at once.
PART = 1000


def is_by_the_server(error: Exception) -> bool:
    """Whether REMOTE's server, and not Django, says that other rows need one that is to go."""
    return isinstance(error, IntegrityError) and not isinstance(error, ProtectedError | RestrictedError)


class Release:
    def __init__(self, session: Session, plan: Plan, blocking: Blocking, swaps: UniqueValues) -> None:
        self._session, self._plan, self._blocking, self._swaps = session, plan, blocking, swaps
        self._connection, self._backend = session.remote.connection, session.remote.backend

    def delete(self, model: type[Model], delete: Delete, keys: Sequence[Key]) -> int:
        """
        Delete these rows of `model`, which the plan removes, with `delete`.

        Raises `Prerequisites` where what stands in their way is in a later batch.
        """
        try:
            return self._try(delete, keys)
        except (ProtectedError, RestrictedError):
            protecting = self._protecting(model, keys)
            if not protecting:
                raise
        except IntegrityError:
            self._blocking.take_along_below(model, keys)
            if not any(self._pointing(model)):
                raise
            protecting = {}
        return self._delete_unordered(model, protecting, delete, keys)

    def _try(self, delete: Delete, keys: Sequence[Key]) -> int:
        with transaction.atomic(using=self._session.remote.alias):
            return delete(keys)

    def _delete_unordered(
        self, model: type[Model], first: dict[type[Model], set[Key]], delete: Delete, keys: Sequence[Key]
    ) -> int:
        """Delete the rows, the `first` ones before."""

        def both(keys: Sequence[Key]) -> int:
            self._empty_what_points_at(model)
            for child, rows in first.items():
                self._delete_alone(child, list(rows))
            return delete(keys)

        try:
            return self._try(both, keys)
        except IntegrityError as error:
            if not is_by_the_server(error) or not self._can_be_unchecked(model):
                raise
        for each in (model, *first):
            self._swaps.uproot(each, self._plan.deletions[each])  # looked at when all is written
        with self._backend.without_foreign_key_checks():
            return self._try(both, keys)

    def _pointing(self, model: type[Model]) -> Iterator[tuple[type[Model], AnyField, Any]]:
        """The foreign keys to `model` of models that have rows that are to go."""
        for child, column, rule in relations(model):
            if child in self._plan.deletions and not child._meta.auto_created:
                yield child, column, rule

    def _protecting(self, model: type[Model], keys: Sequence[Key]) -> dict[type[Model], set[Key]]:
        """Rows that are to go themselves, and that Django protects these for."""
        protecting: dict[type[Model], set[Key]] = {}
        for child, column, rule in self._pointing(model):
            if rule in (PROTECT, RESTRICT):
                owners = owners_of_values(self._session.remote, model, column, keys)
                values = [(value,) for value in owners]
                rows = select(self._session.remote, child, key_fields(child), [column], values)
                found = {as_key(row) for row in rows} & self._plan.deletions[child].keys()
                if found:
                    protecting.setdefault(child, set()).update(found)
        return protecting

    def _delete_alone(self, model: type[Model], keys: Sequence[Key]) -> None:
        """Delete these objects and nothing else; receivers are called."""
        alias = self._session.remote.alias
        collector = Collector(using=alias)
        rows: QuerySet[Model] = QuerySet(model, using=alias)
        for start in range(0, len(keys), PART):
            collector.add(rows.filter(pk__in=attributes(self._session, model, keys[start : start + PART])))
        collector.delete()

    def _can_be_unchecked(self, model: type[Model]) -> bool:
        """Whether rows that go point at `model` by columns that cannot be empty, and the server touches no others."""
        holds = any(not column.null for _child, column, _rule in self._pointing(model))
        return holds and not self._backend.is_cascading(model._meta.db_table)

    def _empty_what_points_at(self, model: type[Model]) -> None:
        """Empty the foreign keys to `model` of rows that are to go, where they may be empty."""
        for child, column, _rule in self._pointing(model):
            own = key_fields(child)
            if column.null and column not in own:
                rows = [(*as_values(key), None) for key in self._plan.deletions[child]]
                fields = [*own, column]
                names = [field.column for field in fields]
                encoded = Codec(fields, self._connection).encode_all(rows)
                table = child._meta.db_table
                self._backend.update(table, names, names[: len(own)], encoded)
