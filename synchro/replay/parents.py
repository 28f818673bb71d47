"""Parents: what a row points at and REMOTE lacks is written first, watched or not."""

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
from synchro.replay.plan import Prerequisites
from synchro.replay.rows import Rows, as_key, as_values, generic_places, generic_targets, select
from synchro.replay.work import BatchWork


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


def add_parents(work: BatchWork) -> None:
    """
    Extend the plan until every row in it finds what it points at.

    Raises `Vanished` where LOCAL itself does not have it.
    """
    plan, rows, identities = work.plan, work.local_rows, work.identities
    frontier: dict[type[Model], Collection[Key]] = {model: list(keys) for model, keys in plan.writes.items()}
    for model, keys in frontier.items():
        identities.find(model, keys)
    while frontier:
        found: dict[type[Model], set[Key]] = {}
        for model, keys in frontier.items():
            for target, wanted, field in _targets(work, model, keys):
                known = identities.find(target, wanted)
                planned, in_bulk = plan.writes.get(target, {}), plan.bulk.get(target, ())
                missing = {key for key in wanted if not known[key].exists and key not in planned}
                if field is not None and target_of(field) is None:
                    _take_along_values(work, field, wanted)
                present = rows.load(target, missing)
                if len(present) < len(missing) and field is not None and must_exist(field):
                    raise Vanished(model, field, _pointing_at(work, model, field, missing - present.keys()))
                found.setdefault(target, set()).update(key for key in present if key not in in_bulk)
        frontier = {model: keys for model, keys in found.items() if keys}
        for model, keys in frontier.items():
            for key in keys:
                plan.write(model, key)


def _pointing_at(work: BatchWork, model: type[Model], field: AnyField, keys: set[Key]) -> list[Key]:
    position = Table(model).fields.index(field)
    loaded = work.local_rows.load(model, work.plan.writes[model])
    return [key for key, row in loaded.items() if row[position] in keys]


def _targets(
    work: BatchWork, model: type[Model], keys: Collection[Key]
) -> Iterator[tuple[type[Model], set[Key], AnyField | None]]:
    """Yield what the columns to write of these rows point at: by which foreign key, or None for a generic one."""
    table = Table(model)
    if not generic_keys(model) and not any(map(points_at_rows, table.fields)):
        return
    loaded = work.local_rows.load(model, keys)
    planned = work.plan.writes[model]
    for position, field in enumerate(table.fields):
        if not points_at_rows(field):
            continue
        values = {row[position] for key, row in loaded.items() if _includes(planned[key], field)}
        values.discard(None)
        if values:
            yield *_targets_of(work, field, values), field
    for generic in generic_keys(model):
        for target, pairs in generic_targets(work.session, model, generic, loaded.values()).items():
            yield target, set(pairs.values()), None


def _take_along_values(work: BatchWork, field: AnyField, keys: Collection[Key]) -> None:
    """
    Raise `Prerequisites` where REMOTE gets a value that rows point at only by a later batch.

    `field` points at another column than the key, of the objects with these keys.
    """
    session, plan = work.session, work.plan
    target = field.related_model._meta.concrete_model
    column, own, known = field.target_field, key_fields(target), work.identities.known(target)
    planned, kept = plan.writes.get(target, {}), set(plan.remote_wins.get(target, ()))
    late = [
        key
        for key in keys
        if known[key].exists and key not in kept and not (key in planned and _includes(planned[key], column))
    ]
    if not late or not is_watched(target):
        return
    local = select(session.local, target, [*own, column], own, [as_values(key) for key in late])
    remote = select(session.remote, target, [column], [column], [(value,) for *_pk, value in local])
    present = {value for (value,) in remote}
    found = {(target, as_key(pk)) for *pk, value in local if value not in present}
    if found:
        raise Prerequisites(found)


def _includes(names: frozenset[str] | None, field: AnyField) -> bool:
    return names is None or field.name in names


def _targets_of(work: BatchWork, field: AnyField, values: set[Any]) -> tuple[type[Model], set[Key]]:
    target = target_of(field)
    if target is not None:
        return target, values
    # A foreign key to another unique column: its value stays the same, but its row must be there.
    target = field.related_model._meta.concrete_model
    by = [field.target_field]
    found = select(work.session.local, target, key_fields(target), by, [(value,) for value in values])
    return target, {as_key(row) for row in found}


def pointing(
    work: BatchWork, model: type[Model], targets: Mapping[type[Model], Collection[Key]]
) -> Iterator[tuple[Key, AnyField | None, type[Model], Key]]:
    """
    Yield the keys of rows of `model` that the plan writes and that point at one of `targets`.

    Each comes with the foreign key (None for a generic one), and with the model and key of what it points at.
    """
    planned, rows = work.plan.writes[model], work.local_rows
    for position, field in enumerate(Table(model).fields):
        target = pointed_model(field)
        if target is not None and target in targets:
            values = _values(rows, target, field, targets[target])
            for key, row in rows.load(model, planned).items():
                if row[position] in values and _includes(planned[key], field):
                    yield key, field, target, values[row[position]]
    for generic in generic_keys(model):
        places = generic_places(model, generic)
        if places is None:
            continue
        loaded = rows.load(model, planned)
        found = generic_targets(work.session, model, generic, loaded.values())
        for key, row in loaded.items():
            kind = work.session.local.model_of(row[places[0]]) if row[places[0]] is not None else None
            if kind is not None and kind in targets:
                wanted = found.get(kind, {}).get(row[places[1]])
                if wanted in targets[kind]:
                    yield key, None, kind, wanted


def _values(rows: Rows, target: type[Model], field: AnyField, keys: Collection[Key]) -> dict[Key, Key]:
    """Return what a foreign key to these rows holds, by LOCAL, with their keys."""
    if target_of(field) is not None:
        return {key: key for key in keys}
    if field.target_field not in Table(target).fields:
        return {}
    position = Table(target).fields.index(field.target_field)
    return {row[position]: key for key, row in rows.load(target, keys).items()}
