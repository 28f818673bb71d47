"""
Gone objects: what LOCAL has deleted, made again from what its entry says, so that the model's methods can be called.

What such an object points at may be deleted as well. Then it is made in the same way, as far as entries tell.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet

from synchro.keys import AnyField, Key, key_fields, value_from_text
from synchro.natural import natural_fields
from synchro.natural_rows import columns_in_entry
from synchro.relations import target_of
from synchro.replay.columns import to_attribute
from synchro.replay.log.changes import RowId
from synchro.replay.session import Database

#: What values raise that the model of today does not have.
NO_VALUE = (ValidationError, ValueError, TypeError, ArithmeticError)


class GoneObjects:
    """Makes objects of LOCAL from the natural keys that `entries` hold."""

    def __init__(self, local: Database, entries: Mapping[RowId, str]) -> None:
        self._local, self._entries = local, entries

    def make(self, model: type[Model], key: Key) -> Model | None:
        """Return the object with the columns that are known; None where no entry names them."""
        text = self._entries.get((model, key))
        try:
            columns = _columns(model, text) if text else None
            return None if columns is None else self._make(model, key, columns)
        except NO_VALUE:
            return None

    def complete(self, instance: Model) -> set[RowId]:
        """
        Have `instance` point at objects where LOCAL lacks them.

        Return those of which no entry says what they were.
        """
        unknown: set[RowId] = set()
        for field in type(instance)._meta.concrete_fields:
            target = target_of(field) if field.is_relation else None
            value = instance.__dict__.get(field.attname)
            if target is None or value is None or field.is_cached(instance):  # type: ignore[attr-defined]
                continue
            if QuerySet(target, using=self._local.alias).filter(pk=value).exists():
                continue
            other = self.make(target, value)
            if other is None:
                unknown.add((target, value))
                other = self._make(target, value, {})
            else:
                unknown |= self.complete(other)
            field.set_cached_value(instance, other)  # type: ignore[attr-defined]
        return unknown

    def _make(self, model: type[Model], key: Key, columns: Mapping[str, Any]) -> Model:
        """Defer the columns that are not known: to read one raises ``DoesNotExist``, as the row is gone."""
        (own,) = key_fields(model)
        known = {own.attname: key}
        for field in model._meta.local_concrete_fields:
            if field.attname in columns and field is not own:
                known[field.attname] = _value(field, columns[field.attname])
        fields = [field for field in model._meta.concrete_fields if field.attname in known]
        connection = self._local.connection
        values = [to_attribute(field, known[field.attname], connection) for field in fields]
        return model.from_db(self._local.alias, [field.attname for field in fields], values)


def _columns(model: type[Model], text: str) -> Mapping[str, Any] | None:
    """Return what an entry says of columns: by their names, or as a natural key that is made of columns."""
    named = columns_in_entry(text)
    if named is not None:
        return named
    fields, values = natural_fields(model), json.loads(text, strict=False)
    if fields is None or not isinstance(values, list) or len(values) != len(fields):
        return None
    return {field.attname: value for field, value in zip(fields, values, strict=True)}


def _value(field: AnyField, value: Any) -> Any:
    return value if value is None or isinstance(value, bool) else value_from_text(field, str(value))


@dataclass(frozen=True)
class Unnamed:
    """Why the natural key of an object that LOCAL deleted is not known."""

    #: Empty where its entry holds none, or one that the model of today does not have.
    cause: str = ""
    #: Objects that it points at, that are deleted too, and of which no entry of the batch says what they were.
    missing: frozenset[RowId] = frozenset()


class UnnamedRows(dict[RowId, Unnamed]):
    """Objects that LOCAL deleted and whose natural keys are not known, as far as identities were looked for."""

    def note(self, row_id: RowId, cause: str = "", missing: Collection[RowId] = ()) -> None:
        self[row_id] = Unnamed(cause, frozenset(missing))

    def note_by(self, row_id: RowId, parts: Collection[RowId]) -> None:
        """Note an object whose natural key names these rows, if one of them is unnamed itself."""
        missing = parts & self.keys()
        if missing:
            self.note(row_id, missing=missing)
