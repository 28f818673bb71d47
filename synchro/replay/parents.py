"""Parents: what a row points at and REMOTE lacks is created first, watched or not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.exceptions import Culprit
from synchro.keys import AnyField, Key, key_fields
from synchro.registry import Table, is_watched
from synchro.relations import (
    generic_keys,
    must_exist,
    pointed_model,
    points_at_rows,
    target_of,
)
from synchro.replay.identity.identities import Identities
from synchro.replay.plan import Plan
from synchro.replay.prerequisites import Prerequisites
from synchro.replay.rows import Rows, as_key, as_values, generic_places, generic_targets, select
from synchro.replay.session import Session


class Vanished(Exception):
    """Rows point at others that LOCAL does not have (any more)."""

    def __init__(self, model: type[Model], field: AnyField, keys: Iterable[Key]) -> None:
        super().__init__(
            f"A row of {model._meta.label} points by {field.name} at a row that LOCAL does not have."
        )
        cause = _("column %(fields)s: it points at a row of %(target)s that LOCAL does not have")
        target: Any = pointed_model(field)
        names = {"fields": field.name, "target": target._meta.label}
        self.culprits = [Culprit(model, key, cause % names) for key in keys]


def add_parents(session: Session, plan: Plan, rows: Rows, identities: Identities) -> None:
    """
    Extend `plan` until every row in it finds what it points at.

    Raises `Vanished` where LOCAL itself does not have it.
    """
    frontier: dict[type[Model], Collection[Key]] = {model: list(keys) for model, keys in plan.puts.items()}
    for model, keys in frontier.items():
        identities.find(model, keys)
    while frontier:
        found: dict[type[Model], set[Key]] = {}
        for model, keys in frontier.items():
            for target, wanted, field in _targets(session, plan, rows, model, keys):
                known = identities.find(target, wanted)
                planned, in_bulk = plan.puts.get(target, {}), plan.bulk.get(target, ())
                lacking = {key for key in wanted if not known[key].exists and key not in planned}
                if field is not None and target_of(field) is None:
                    _take_along_values(session, plan, field, wanted, identities)
                here = rows.load(target, lacking)
                if len(here) < len(lacking) and field is not None and must_exist(field):
                    raise Vanished(
                        model, field, _pointing_at(rows, plan, model, field, lacking - here.keys())
                    )
                found.setdefault(target, set()).update(key for key in here if key not in in_bulk)
        frontier = {model: keys for model, keys in found.items() if keys}
        for model, keys in frontier.items():
            for key in keys:
                plan.put(model, key)


def _pointing_at(rows: Rows, plan: Plan, model: type[Model], field: AnyField, keys: set[Key]) -> list[Key]:
    place = Table(model).fields.index(field)
    loaded = rows.load(model, plan.puts[model])
    return [key for key, row in loaded.items() if row[place] in keys]


def _targets(
    session: Session, plan: Plan, rows: Rows, model: type[Model], keys: Collection[Key]
) -> Iterator[tuple[type[Model], set[Key], AnyField | None]]:
    """What the columns that will be written of these rows point at: by which foreign key, or None for a generic one."""
    table = Table(model)
    if not generic_keys(model) and not any(map(points_at_rows, table.fields)):
        return
    loaded = rows.load(model, keys)
    planned = plan.puts[model]
    for place, field in enumerate(table.fields):
        if not points_at_rows(field):
            continue
        values = {row[place] for key, row in loaded.items() if _includes(planned[key], field)}
        values.discard(None)
        if values:
            yield *_targets_of(session, field, values), field
    for generic in generic_keys(model):
        for target, pairs in generic_targets(session, model, generic, loaded.values()).items():
            yield target, set(pairs.values()), None


def _take_along_values(
    session: Session, plan: Plan, field: AnyField, keys: Collection[Key], identities: Identities
) -> None:
    """
    Raise `Prerequisites` where rows are to point, by another column than the key, at a value that REMOTE's row gets
    only later. `keys` are those of the objects that they point at.
    """
    target = field.related_model._meta.concrete_model
    column, own, known = field.target_field, key_fields(target), identities.known(target)
    planned, kept = plan.puts.get(target, {}), set(plan.kept.get(target, ()))
    late = [
        key
        for key in keys
        if known[key].exists and key not in kept and not (key in planned and _includes(planned[key], column))
    ]
    if not late or not is_watched(target):
        return
    here = select(session.local, target, [*own, column], own, [as_values(key) for key in late])
    there = select(session.remote, target, [column], [column], [(value,) for *_pk, value in here])
    present = {value for (value,) in there}
    found = {(target, as_key(pk)) for *pk, value in here if value not in present}
    if found:
        raise Prerequisites(found)


def _includes(names: frozenset[str] | None, field: AnyField) -> bool:
    return names is None or field.name in names


def _targets_of(session: Session, field: AnyField, values: set[Any]) -> tuple[type[Model], set[Key]]:
    target = target_of(field)
    if target is not None:
        return target, values
    # A foreign key to another unique column: its value stays the same, but its row must be there.
    target = field.related_model._meta.concrete_model
    by = [field.target_field]
    found = select(session.local, target, key_fields(target), by, [(value,) for value in values])
    return target, {as_key(row) for row in found}


def pointing(
    session: Session,
    plan: Plan,
    rows: Rows,
    model: type[Model],
    missing: Mapping[type[Model], Collection[Key]],
) -> Iterator[tuple[Key, AnyField | None, type[Model], Key]]:
    """
    Keys of rows of `model` that are to point at one of `missing`, with the foreign key (None for a generic one) and
    what it points at.
    """
    planned = plan.puts[model]
    for place, field in enumerate(Table(model).fields):
        target = pointed_model(field)
        if target is not None and target in missing:
            values = _values(rows, target, field, missing[target])
            for key, row in rows.load(model, planned).items():
                names = planned[key]
                if row[place] in values and (names is None or field.name in names):
                    yield key, field, target, values[row[place]]
    for generic in generic_keys(model):
        places = generic_places(model, generic)
        if places is None:
            continue
        loaded = rows.load(model, planned)
        targets = generic_targets(session, model, generic, loaded.values())
        for key, row in loaded.items():
            kind = session.local.model_of(row[places[0]]) if row[places[0]] is not None else None
            if kind is not None and kind in missing:
                wanted = targets.get(kind, {}).get(row[places[1]])
                if wanted in missing[kind]:
                    yield key, None, kind, wanted


def _values(rows: Rows, target: type[Model], field: AnyField, keys: Collection[Key]) -> dict[Key, Key]:
    """What a foreign key to these rows holds, by LOCAL, with their keys."""
    if target_of(field) is not None:
        return {key: key for key in keys}
    if field.target_field not in Table(target).fields:
        return {}
    place = Table(target).fields.index(field.target_field)
    return {row[place]: key for key, row in rows.load(target, keys).items()}
