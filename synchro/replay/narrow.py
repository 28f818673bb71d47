"""Columns that hold less than the model says; they are looked for once in a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from weakref import WeakKeyDictionary

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from synchro.engines import Convert
from synchro.engines.narrow import check_of
from synchro.keys import column_field
from synchro.registry import Table
from synchro.replay.columns import is_plain
from synchro.replay.link import Side

Checks = Mapping[str, Convert]

_known: WeakKeyDictionary[BaseDatabaseWrapper, dict[type[Model], Checks]] = WeakKeyDictionary()


def narrow_columns(side: Side, model: type[Model]) -> Checks:
    """Return, by column, what raises `Unfit` for a value that the table of `side` would change without a word."""
    look_at_columns(side, [model])
    return _known[side.connection][model]


def look_at_columns(side: Side, models: Iterable[type[Model]]) -> None:
    """Find out by one statement what `narrow_columns` will be asked of these models."""
    known = _known.setdefault(side.connection, {})
    new = [model for model in models if model not in known]
    if not new:
        return
    described = side.engine.describe(side.connection, [model._meta.db_table for model in new])
    for model in new:
        columns = described.get(model._meta.db_table, {})
        checks = {
            field.column: check_of(column_field(field), columns[field.column])
            for field in Table(model).fields
            if field.column in columns and is_plain(field)
        }
        known[model] = {column: check for column, check in checks.items() if check is not None}


def spells_all(local: Side, remote: Side, model: type[Model]) -> bool:
    """Whether a row of LOCAL, as its server spells it, is the same row on REMOTE."""
    return not narrow_columns(remote, model) and not _spells_singles(local, model)


def _spells_singles(side: Side, model: type[Model]) -> bool:
    """A number of single precision is spelled with few digits, by which another column holds another number."""
    singles = [
        field.column
        for field in Table(model).fields
        if column_field(field).get_internal_type() == "FloatField"
    ]
    return bool(singles) and not narrow_columns(side, model).keys().isdisjoint(singles)


def forget_columns(side: Side) -> None:
    """Look again: the table may have been altered since."""
    _known.pop(side.connection, None)


__all__ = ["forget_columns", "look_at_columns", "narrow_columns", "spells_all"]
