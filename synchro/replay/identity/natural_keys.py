"""Natural keys of the model's own columns: all rows of a batch are looked for by one statement."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from django.contrib.contenttypes.fields import GenericForeignKey
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _

from synchro.exceptions import Ambiguous, Culprit
from synchro.keys import AnyField, Key, key_fields, key_of, normalize, to_text, value_from_text
from synchro.model_options import model_option
from synchro.natural import NaturalManager, natural_fields, natural_names
from synchro.natural_rows import is_made_by_methods
from synchro.registry import Table
from synchro.relations import target_of
from synchro.replay.columns import spelt_alike, to_attribute
from synchro.replay.identity.unnamed import UnnamedRows
from synchro.replay.rows import Rows, as_key, as_values, select
from synchro.replay.session import Database, Session

#: The natural keys of deleted objects, as their entries hold them.
Naturals = Mapping[tuple[type[Model], Key], str]
Values = tuple[Any, ...]


class Translates(Protocol):
    """What natural keys need to know of identities."""

    def translate(self, field: AnyField, values: Iterable[Any], lock: bool = False) -> dict[Any, Any]:
        """What the values of a column are on REMOTE."""

    def remote_keys(self, model: type[Model], keys: Collection[Key], lock: bool = False) -> dict[Key, Key]:
        """REMOTE's keys of those of these objects of LOCAL that REMOTE has."""


def allows_many(model: type[Model]) -> bool:
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
    """One that sees every row, by these names, whatever managers the model has."""
    manager = NaturalManager(*names)
    manager.model, manager.name = model, "natural"
    return manager


def has_natural_key(model: type[Model]) -> bool:
    return natural_fields(model) is not None or finder(model) is not None


def values_from_entry(model: type[Model], text: str) -> Values | None:
    """The values of `natural_fields` in an entry of a deletion; None where they do not fit the model of today."""
    fields = natural_fields(model)
    values = json.loads(text, strict=False)  # triggers leave a NUL character as it is
    if (
        isinstance(values, dict)
        and fields is not None
        and {field.attname for field in fields} <= values.keys()
    ):
        values = [values[field.attname] for field in fields]  # it was made by methods then
    if fields is None or not isinstance(values, list) or len(values) != len(fields):
        return None
    if any(isinstance(value, list | dict) for value in values):
        return None
    return tuple(
        None if value is None else value if isinstance(value, bool) else value_from_text(field, str(value))
        for field, value in zip(fields, values, strict=True)
    )


def ambiguous(model: type[Model], keys: Collection[Key], problem: str) -> Ambiguous:
    """Return the error that names these objects of LOCAL, and what can be done."""
    names = natural_names(model)
    fields = f" ({', '.join(names)})" if names else ""
    label = model._meta.label
    text = _(
        "%(model)s %(keys)s: its natural key%(fields)s %(problem)s, and none is taken by chance. Make the natural key "
        "unique on both sides, or name one that is in SYNCHRO_MODEL_OPTIONS['%(model)s']['NATURAL_KEY'] (() for "
        "none: then a row without a reference is a new one)."
    )
    named = ", ".join(to_text(model, key) for key in keys)
    return Ambiguous(
        text % {"model": label, "keys": named, "fields": fields, "problem": problem},
        [Culprit(model, key, _("its natural key %s") % problem) for key in keys],
    )


class ByColumns:
    """Finds the rows of REMOTE that have the natural keys of objects of LOCAL."""

    def __init__(
        self, session: Session, rows: Rows, naturals: Naturals, unnamed: UnnamedRows, identities: Translates
    ) -> None:
        self._session, self._rows, self._naturals, self._identities = session, rows, naturals, identities
        self._unnamed = unnamed

    def find(self, model: type[Model], keys: Sequence[Key], lock: bool) -> dict[Key, list[Key]]:
        """LOCAL's keys to REMOTE's, by one question for all."""
        fields = natural_fields(model) or ()
        here = self.values_here(model, keys)
        for key in keys:
            if key not in here and key not in self._rows.load(model, keys):
                self._unnamed.note((model, key))
        wanted = self._there(model, fields, here, lock)
        whole = [values for values in wanted.values() if None not in values]
        pk = key_fields(model)
        there: dict[Values, list[Key]] = {}
        rows = select(self._session.remote, model, [*pk, *fields], fields, list(dict.fromkeys(whole)), lock)
        for row in rows:
            there.setdefault(tuple(row[len(pk) :]), []).append(as_key(row[: len(pk)]))
        # REMOTE's collation may take two spellings for the same; NULL is equal to nothing in a list of values.
        strays = there.keys() - set(wanted.values())
        found = {}
        for key, values in wanted.items():
            matches = there.get(values, [])
            if not matches and (strays or None in values):
                matches = self._one_by_one(self._session.remote, model, fields, values)
            if matches:
                found[key] = sorted(matches)
        return self._without_successors(model, found)

    def values_here(self, model: type[Model], keys: Sequence[Key]) -> dict[Key, Values]:
        """
        The natural keys of these objects on LOCAL, from their rows or their deletions' entries; none of a row of which
        a part of it cannot be read.
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
            if key not in rows and (text := self._naturals.get((model, key))):
                values = values_from_entry(model, text)
                if values is not None:
                    found[key] = values
        return found

    def _stored(
        self, model: type[Model], fields: Sequence[AnyField], rows: Mapping[Key, Sequence[Any]]
    ) -> dict[Key, Values]:
        synchronized = Table(model).fields
        if all(field in synchronized for field in fields):
            places = [synchronized.index(field) for field in fields]
            return {key: tuple(row[place] for place in places) for key, row in rows.items()}
        # What is skipped, or computed by the database, is not among what is read of a row.
        pk = key_fields(model)
        there = select(self._session.local, model, [*pk, *fields], pk, [as_values(key) for key in rows])
        return {as_key(row[: len(pk)]): tuple(row[len(pk) :]) for row in there}

    def _there(
        self, model: type[Model], fields: Sequence[AnyField], here: dict[Key, Values], lock: bool
    ) -> dict[Key, Values]:
        """The same as REMOTE would have them; without those that name a row which REMOTE lacks."""
        for generic in model._meta.private_fields:
            if isinstance(generic, GenericForeignKey) and any(f.name == generic.fk_field for f in fields):
                here = self._with_generic(fields, generic, here, lock)
        for place, field in enumerate(fields):
            if (target := target_of(field)) is not None:
                parts = self._identities.translate(field, {values[place] for values in here.values()}, lock)
                for key, values in here.items():
                    if values[place] is not None and parts[values[place]] is None:
                        self._unnamed.note_by((model, key), {(target, values[place])})
                here = {
                    key: (*values[:place], parts[values[place]], *values[place + 1 :])
                    for key, values in here.items()
                    if values[place] is None or parts[values[place]] is not None
                }
        return here

    def _with_generic(
        self, fields: Sequence[AnyField], generic: GenericForeignKey, here: dict[Key, Values], lock: bool
    ) -> dict[Key, Values]:
        names = [field.name for field in fields]
        kind, place = names.index(generic.ct_field), names.index(generic.fk_field)
        targets: dict[Key, tuple[type[Model], Key]] = {}
        wanted: dict[type[Model], set[Key]] = {}
        for key, values in here.items():
            target = self._session.local.model_of(values[kind]) if values[kind] is not None else None
            if target is None or values[place] is None or len(key_fields(target)) != 1:
                continue
            try:
                targets[key] = target, normalize(key_fields(target)[0], values[place])
            except (ValidationError, ValueError, TypeError, ArithmeticError):
                continue
            wanted.setdefault(target, set()).add(targets[key][1])
        there = {target: self._identities.remote_keys(target, keys, lock) for target, keys in wanted.items()}
        found = {key: values for key, values in here.items() if key not in targets}
        for key, (target, named) in targets.items():
            if named in there[target]:
                values = here[key]
                own = spelt_alike(
                    fields[place],
                    target,
                    there[target][named],
                    values[place],
                    self._session.remote.connection,
                )
                found[key] = (*values[:place], own, *values[place + 1 :])
        return found

    def made_again(self, model: type[Model], gone: Collection[Key]) -> dict[Key, Key]:
        """Of rows that LOCAL deleted, those that it has made again, by their natural keys, with the new rows' keys."""
        fields, pk = natural_fields(model), key_fields(model)
        if fields is None:
            return {}
        wanted: dict[Key, Values] = {}
        for key in gone:
            text = self._naturals.get((model, key))
            values = values_from_entry(model, text) if text else None
            if values is not None and None not in values:
                wanted[key] = values
        rows = select(
            self._session.local, model, [*pk, *fields], fields, list(dict.fromkeys(wanted.values()))
        )
        here = {tuple(row[len(pk) :]): as_key(row[: len(pk)]) for row in rows}
        return {key: here[values] for key, values in wanted.items() if values in here}

    def _without_successors(self, model: type[Model], found: dict[Key, list[Key]]) -> dict[Key, list[Key]]:
        """A deleted object's natural key may be that of one that LOCAL has now; REMOTE's row is that one's."""
        fields = natural_fields(model) or ()
        gone = {
            key: values
            for key in found
            if (text := self._naturals.get((model, key))) and not self._rows.present(model, [key])
            if (values := values_from_entry(model, text)) is not None and None not in values
        }
        if not gone:
            return found
        rows = select(self._session.local, model, fields, fields, list(dict.fromkeys(gone.values())))
        present = {tuple(row) for row in rows}
        return {key: matches for key, matches in found.items() if gone.get(key) not in present}

    @staticmethod
    def _one_by_one(
        side: Database, model: type[Model], fields: Sequence[AnyField], values: Values
    ) -> list[Key]:
        """By the database's own comparison."""
        if not side.backend.findable([values]):
            return []
        lookup = {
            field.attname: to_attribute(field, value, side.connection)
            for field, value in zip(fields, values, strict=True)
        }
        found: QuerySet[Model] = QuerySet(model, using=side.alias).filter(**lookup)
        return [key_of(instance, model) for instance in found]

    def doubles(self, model: type[Model], keys: Sequence[Key]) -> dict[Key, list[Key]]:
        """Other rows of LOCAL that have the natural key of one of these present objects."""
        fields = natural_fields(model) or ()
        if is_unique(model, fields):
            return {}
        here = self.values_here(model, keys)
        pk = key_fields(model)
        whole = [values for values in here.values() if None not in values]
        rows = select(self._session.local, model, [*pk, *fields], fields, list(dict.fromkeys(whole)))
        by_values: dict[Values, list[Key]] = {}
        for row in rows:
            by_values.setdefault(tuple(row[len(pk) :]), []).append(as_key(row[: len(pk)]))
        for values in {values for values in here.values() if None in values}:
            by_values[values] = self._one_by_one(self._session.local, model, fields, values)
        return {
            key: others
            for key, values in here.items()
            if (others := [other for other in by_values.get(values, ()) if other != key])
        }


def is_unique(model: type[Model], fields: Sequence[AnyField]) -> bool:
    """Whether the model itself sees to it that no two rows have the same values in these fields."""
    names = {field.name for field in fields}
    sets: list[Collection[str]] = [(field.name,) for field in fields if field.unique]
    sets += [constraint.fields for constraint in model._meta.total_unique_constraints]
    sets += list(model._meta.unique_together)
    return any(set(several) <= names for several in sets)
