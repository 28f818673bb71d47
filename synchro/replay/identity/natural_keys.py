"""Natural keys that consist of the model's own columns: all rows of a batch are found by one statement."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeAlias

from django.contrib.contenttypes.fields import GenericForeignKey
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet

from synchro.keys import AnyField, Key, key_fields, key_of, normalize, value_from_text
from synchro.model_options import model_option
from synchro.natural import NaturalManager, natural_fields, natural_names
from synchro.natural_rows import is_made_by_methods
from synchro.registry import Table
from synchro.relations import target_of
from synchro.replay.columns import spelt_alike, to_attribute
from synchro.replay.identity.gone_objects import UnnamedRows
from synchro.replay.log.changes import RowId, by_model
from synchro.replay.rows import Rows, as_key, as_values, select
from synchro.replay.session import Database, Session

#: The natural keys of deleted objects, as their entries hold them.
LoggedKeys: TypeAlias = Mapping[RowId, str]
Values = tuple[Any, ...]


class Translates(Protocol):
    """What the search by natural keys needs to know of identities."""

    def translate(self, field: AnyField, values: Iterable[Any], lock: bool = False) -> dict[Any, Any]:
        """Return what the values of a column are on REMOTE."""

    def remote_keys(self, model: type[Model], keys: Collection[Key], lock: bool = False) -> dict[Key, Key]:
        """Return REMOTE's keys of those of these objects of LOCAL that REMOTE has."""

    def owners(self, model: type[Model], remote: Collection[Key]) -> dict[Key, Key]:
        """Return LOCAL's keys of the objects that these rows of REMOTE are."""


def allows_many(model: type[Model]) -> bool:
    """Return whether several rows may have one natural key, of which the first counts."""
    return any(manager.allow_many for manager in model._meta.managers if isinstance(manager, NaturalManager))


def finder(model: type[Model]) -> Any:
    """Return the manager that finds by a natural key which is not made of own columns; None where there is none."""
    if not is_made_by_methods(model):
        return None
    if model_option(model, "NATURAL_KEY"):
        return _manager(model, natural_names(model))
    for manager in (model._default_manager, *model._meta.managers):
        if hasattr(manager, "get_by_natural_key"):
            return manager
    return None


def _manager(model: type[Model], names: Sequence[str]) -> Any:
    """Return a manager that finds every row by these names, whatever managers the model has."""
    manager = NaturalManager(*names)
    manager.model, manager.name = model, "natural"
    return manager


def has_natural_key(model: type[Model]) -> bool:
    """Return whether rows of `model` have a natural key, of columns or by methods."""
    return natural_fields(model) is not None or finder(model) is not None


def values_from_entry(model: type[Model], text: str) -> Values | None:
    """Return the values of `natural_fields` in a deletion's entry; None where they do not fit the model of today."""
    fields = natural_fields(model)
    values = json.loads(text, strict=False)  # triggers leave a NUL character as it is
    if (
        isinstance(values, dict)
        and fields is not None
        and {field.attname for field in fields} <= values.keys()
    ):
        values = [values[field.attname] for field in fields]  # methods made the key then
    if fields is None or not isinstance(values, list) or len(values) != len(fields):
        return None
    if any(isinstance(value, list | dict) for value in values):
        return None
    return tuple(
        None if value is None else value if isinstance(value, bool) else value_from_text(field, str(value))
        for field, value in zip(fields, values, strict=True)
    )


class ByColumns:
    """Finds the rows of REMOTE that have the natural keys of objects of LOCAL."""

    def __init__(
        self,
        session: Session,
        rows: Rows,
        logged_keys: LoggedKeys,
        unnamed: UnnamedRows,
        identities: Translates,
    ) -> None:
        self._session, self._rows, self._logged_keys, self._identities = (
            session,
            rows,
            logged_keys,
            identities,
        )
        self._unnamed = unnamed

    def find(self, model: type[Model], keys: Sequence[Key], lock: bool) -> dict[Key, list[Key]]:
        """Return REMOTE's keys of the rows that have the natural keys of these objects, by LOCAL's keys."""
        fields = natural_fields(model) or ()
        local = self._local_values(model, keys)
        present = self._rows.load(model, keys)
        for key in keys:
            if key not in local and key not in present:
                self._unnamed.note((model, key))
        wanted = self._remote_values(model, fields, local, lock)
        matching = self._keys_by_values(self._session.remote, model, fields, wanted.values(), lock)
        # REMOTE's collation may equate two spellings; NULL equals nothing in a list of values.
        are_equated = not matching.keys() <= set(wanted.values())
        found = {}
        for key, values in wanted.items():
            matches = matching.get(values, [])
            if not matches and (are_equated or None in values):
                matches = self._one_by_one(self._session.remote, model, fields, values)
            if matches:
                found[key] = sorted(matches)
        return self._without_successors(model, found)

    @staticmethod
    def _keys_by_values(
        database: Database,
        model: type[Model],
        fields: Sequence[AnyField],
        wanted: Iterable[Values],
        lock: bool = False,
    ) -> dict[Values, list[Key]]:
        """Return the keys of the rows that have these natural keys, by one statement; not of those with a NULL."""
        pk, whole = key_fields(model), [values for values in dict.fromkeys(wanted) if None not in values]
        found: dict[Values, list[Key]] = {}
        for row in select(database, model, [*pk, *fields], fields, whole, lock):
            found.setdefault(tuple(row[len(pk) :]), []).append(as_key(row[: len(pk)]))
        return found

    def _local_values(self, model: type[Model], keys: Sequence[Key]) -> dict[Key, Values]:
        """
        Return the natural keys of these objects, from LOCAL's rows or from the entries of their deletions.

        A row of which a part of the natural key cannot be read has none.
        """
        fields = natural_fields(model) or ()
        found = self._rows.peek(model, keys, fields)
        if found is not None:
            rows: Mapping[Key, object] = dict(found)
        else:
            loaded = rows = self._rows.load(model, keys)
            known = {key for key in rows if self._rows.unreadable_fields(model, key).isdisjoint(fields)}
            found = self._stored(model, fields, {key: loaded[key] for key in known})
        for key in keys:
            if key not in rows and (text := self._logged_keys.get((model, key))):
                values = values_from_entry(model, text)
                if values is not None:
                    found[key] = values
        return found

    def _stored(
        self, model: type[Model], fields: Sequence[AnyField], rows: Mapping[Key, Sequence[Any]]
    ) -> dict[Key, Values]:
        synchronized = Table(model).fields
        if all(field in synchronized for field in fields):
            positions = [synchronized.index(field) for field in fields]
            return {key: tuple(row[position] for position in positions) for key, row in rows.items()}
        # What is skipped, or computed by the database, is not read with a row.
        pk = key_fields(model)
        found = select(self._session.local, model, [*pk, *fields], pk, [as_values(key) for key in rows])
        return {as_key(row[: len(pk)]): tuple(row[len(pk) :]) for row in found}

    def _remote_values(
        self, model: type[Model], fields: Sequence[AnyField], local: dict[Key, Values], lock: bool
    ) -> dict[Key, Values]:
        """Return these natural keys as REMOTE has them, without those that name a row which REMOTE lacks."""
        for generic in model._meta.private_fields:
            if isinstance(generic, GenericForeignKey) and any(f.name == generic.fk_field for f in fields):
                local = self._with_generic(fields, generic, local, lock)
        for position, field in enumerate(fields):
            if (target := target_of(field)) is not None:
                parts = self._identities.translate(
                    field, {values[position] for values in local.values()}, lock
                )
                for key, values in local.items():
                    if values[position] is not None and parts[values[position]] is None:
                        self._unnamed.note_by((model, key), {(target, values[position])})
                local = {
                    key: _with_part(values, position, parts[values[position]])
                    for key, values in local.items()
                    if values[position] is None or parts[values[position]] is not None
                }
        return local

    def _with_generic(
        self, fields: Sequence[AnyField], generic: GenericForeignKey, local: dict[Key, Values], lock: bool
    ) -> dict[Key, Values]:
        """Return these natural keys with REMOTE's keys of what they point at generically."""
        names = [field.name for field in fields]
        kind, position = names.index(generic.ct_field), names.index(generic.fk_field)
        targets: dict[Key, RowId] = {}
        for key, values in local.items():
            target = self._session.local.model_of(values[kind]) if values[kind] is not None else None
            if target is None or values[position] is None or len(key_fields(target)) != 1:
                continue
            with suppress(ValidationError, ValueError, TypeError, ArithmeticError):
                targets[key] = target, normalize(key_fields(target)[0], values[position])
        remote = {
            target: self._identities.remote_keys(target, keys, lock)
            for target, keys in by_model(targets.values()).items()
        }
        found = {key: values for key, values in local.items() if key not in targets}
        for key, (target, named) in targets.items():
            if named in remote[target]:
                stored = local[key][position]
                connection = self._session.remote.connection
                part = spelt_alike(fields[position], target, remote[target][named], stored, connection)
                found[key] = _with_part(local[key], position, part)
        return found

    def owners(self, model: type[Model], remote: Collection[Key]) -> dict[Key, Key]:
        """Return LOCAL's keys of the rows that have the natural keys of these rows of REMOTE."""
        fields, pk = natural_fields(model) or (), key_fields(model)
        wanted = {
            row[0]: tuple(row[1:])
            for row in select(self._session.remote, model, [*pk, *fields], pk, [(key,) for key in remote])
        }
        for position, field in enumerate(fields):
            if (target := target_of(field)) is not None:
                parts = self._identities.owners(target, {values[position] for values in wanted.values()})
                wanted = {
                    key: _with_part(values, position, parts[values[position]])
                    for key, values in wanted.items()
                    if values[position] in parts
                }
        local = self._keys_by_values(self._session.local, model, fields, wanted.values())
        return {key: local[values][-1] for key, values in wanted.items() if values in local}

    def made_again(self, model: type[Model], gone: Collection[Key]) -> dict[Key, Key]:
        """Return the keys of the rows that LOCAL made again, by their natural keys, with those of the deleted ones."""
        fields = natural_fields(model)
        if fields is None:
            return {}
        wanted = self._logged_values(model, gone)
        present = self._keys_by_values(self._session.local, model, fields, wanted.values())
        return {key: present[values][-1] for key, values in wanted.items() if values in present}

    def _without_successors(self, model: type[Model], found: dict[Key, list[Key]]) -> dict[Key, list[Key]]:
        """Leave out deleted objects whose natural key a row of LOCAL has now: REMOTE's row belongs to that one."""
        logged = [key for key in found if (model, key) in self._logged_keys]
        gone = self._logged_values(model, [key for key in logged if not self._rows.present(model, [key])])
        fields = natural_fields(model) or ()
        present = self._keys_by_values(self._session.local, model, fields, gone.values())
        return {key: matches for key, matches in found.items() if gone.get(key) not in present}

    def _logged_values(self, model: type[Model], keys: Collection[Key]) -> dict[Key, Values]:
        """Return the natural keys of these deleted objects, by their entries, where they have no NULL."""
        found: dict[Key, Values] = {}
        for key in keys:
            text = self._logged_keys.get((model, key))
            values = values_from_entry(model, text) if text else None
            if values is not None and None not in values:
                found[key] = values
        return found

    @staticmethod
    def _one_by_one(
        database: Database, model: type[Model], fields: Sequence[AnyField], values: Values
    ) -> list[Key]:
        """Return the keys of the rows that have this natural key, by the database's own comparison."""
        if not database.backend.findable([values]):
            return []
        lookup = {
            field.attname: to_attribute(field, value, database.connection)
            for field, value in zip(fields, values, strict=True)
        }
        found: QuerySet[Model] = QuerySet(model, using=database.alias).filter(**lookup)
        return [key_of(instance, model) for instance in found]

    def doubles(self, model: type[Model], keys: Sequence[Key]) -> dict[Key, list[Key]]:
        """Return other rows of LOCAL that have the natural key of one of these objects, which LOCAL has."""
        fields = natural_fields(model) or ()
        if is_unique(model, fields):
            return {}
        local, database = self._local_values(model, keys), self._session.local
        by_values = self._keys_by_values(database, model, fields, local.values())
        for values in {values for values in local.values() if None in values}:
            by_values[values] = self._one_by_one(database, model, fields, values)
        return {
            key: others
            for key, values in local.items()
            if (others := [other for other in by_values.get(values, ()) if other != key])
        }


def _with_part(values: Values, position: int, part: Any) -> Values:
    return (*values[:position], part, *values[position + 1 :])


def is_unique(model: type[Model], fields: Sequence[AnyField]) -> bool:
    """Return whether the model itself ensures that no two rows have the same values in these fields."""
    names = {field.name for field in fields}
    sets: list[Collection[str]] = [(field.name,) for field in fields if field.unique]
    sets += [constraint.fields for constraint in model._meta.total_unique_constraints]
    sets += list(model._meta.unique_together)
    return any(set(several) <= names for several in sets)
