"""Dependent rows: those that point at others by foreign keys, or by generic ones that Django follows in a deletion."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from django.contrib.contenttypes.fields import GenericRelation
from django.db import models
from django.db.models import CASCADE, Model, QuerySet

from synchro.keys import AnyField, Key, key_fields, key_of
from synchro.relations import dependents, is_done_by_the_database, pointing_at, relations, target_of
from synchro.replay.columns import to_attribute
from synchro.replay.rows import as_key, as_values, select
from synchro.replay.session import Database, Session


def rows_along(
    database: Database, model: type[Model], keys: Collection[Key]
) -> Iterator[tuple[type[Model], list[Key]]]:
    """Yield, by model, the rows that the database itself deletes or empties with these rows, and with those."""
    seen = {(model, key) for key in keys}
    waiting = [(model, list(keys))]
    while waiting:
        parent, several = waiting.pop()
        for column, is_deleted in _pointing_at(parent):
            found = _pointing(database, column, parent, several)
            new = [key for key in found if (column.model, key) not in seen]
            seen.update((column.model, key) for key in new)
            if new:
                yield column.model, new
            if new and is_deleted:
                waiting.append((column.model, new))


def _pointing_at(model: type[Model]) -> Iterator[tuple[AnyField, bool]]:
    for relation in model._meta.get_fields(include_hidden=True):
        rule = getattr(relation, "on_delete", None)
        if relation.auto_created and not relation.concrete and is_done_by_the_database(rule):
            yield relation.field, rule is getattr(models, "DB_CASCADE", None)  # type: ignore[union-attr]


def _pointing(database: Database, column: AnyField, model: type[Model], keys: Collection[Key]) -> list[Key]:
    """Return the keys of the rows that point by this column at these rows of `model`."""
    values = [
        tuple(row)
        for row in select(
            database, model, [column.target_field], key_fields(model), list(map(as_values, keys))
        )
    ]
    return [as_key(row) for row in select(database, column.model, key_fields(column.model), [column], values)]


#: Of how many rows Django is asked at once what is generically related to them.
PART = 1000


class Dependents(NamedTuple):
    """Rows of one model that depend on some others by one column, each with those that it depends on."""

    model: type[Model]
    #: The foreign key; of a generic one, the column of the key.
    column: AnyField
    #: What becomes of them with what they depend on.
    rule: Any
    rows: dict[Key, set[Key]]


def dependents_below(
    database: Database, parent: type[Model], keys: Mapping[Key, Collection[Key]]
) -> Iterator[Dependents]:
    """Yield the rows that depend on these rows of `parent`, each with what `keys` says of those that it depends on."""
    for child, column, rule in relations(parent):
        yield Dependents(child, column, rule, rows_below(database, parent, child, column, keys))
    for relation in generic_relations(parent):
        child = concrete(relation)
        found: dict[Key, set[Key]] = {}
        for key, owner in generically_below(database, parent, relation, list(keys)):
            found.setdefault(key, set()).update(keys[owner])
        yield Dependents(child, key_column(relation), CASCADE, found)


def rows_below(
    database: Database,
    parent: type[Model],
    child: type[Model],
    column: AnyField,
    keys: Mapping[Key, Collection[Key]],
) -> dict[Key, set[Key]]:
    """Return the rows of `child` that point at these of `parent`, with what `keys` says of those they point at."""
    owners = owners_of_values(database, parent, column, keys)
    found: dict[Key, set[Key]] = {}
    values = [(value,) for value in owners]
    for *pk, value in select(database, child, [*key_fields(child), column], [column], values):
        if value in owners:
            found.setdefault(as_key(pk), set()).update(keys[owners[value]])
    return found


def owners_of_values(
    database: Database, parent: type[Model], column: AnyField, keys: Collection[Key]
) -> dict[Any, Key]:
    """Return the values of a foreign key that point at these rows, with the rows' keys."""
    if target_of(column) is parent:
        return {key: key for key in keys}
    target = getattr(column, "target_field", None)
    if target not in parent._meta.local_concrete_fields:
        return {}
    own = key_fields(parent)
    rows = select(database, parent, [*own, target], own, [as_values(key) for key in keys])
    return {value: as_key(pk) for *pk, value in rows if value is not None}


# -- generic relations -----------------------------------------------------------------------------------------


def generic_relations(parent: type[Model]) -> list[GenericRelation]:
    """Return the generic relations of `parent`: Django deletes their rows together with its own."""
    return [field for field in parent._meta.private_fields if isinstance(field, GenericRelation)]


def is_generic_part(parent: type[Model], child: type[Model]) -> bool:
    """Return whether rows of `child` that point generically at one of `parent` are deleted with it."""
    return any(concrete(relation) is child for relation in generic_relations(parent))


def concrete(relation: GenericRelation) -> type[Model]:
    """Return the model whose rows the relation is about."""
    model: Any = relation.related_model
    found: type[Model] = model._meta.concrete_model
    return found


def key_column(relation: GenericRelation) -> AnyField:
    """Return the column that holds the keys."""
    return concrete(relation)._meta.get_field(relation.object_id_field_name)


def generically_below(
    database: Database, parent: type[Model], relation: GenericRelation, keys: Collection[Key]
) -> Iterator[tuple[Key, Key]]:
    """Yield the keys of the rows that point at these of `parent`, as Django finds them, with the keys of those."""
    rows: QuerySet[Model] = QuerySet(parent, using=database.alias)
    (own, *more), several = key_fields(parent), list(keys)
    if more:
        return
    for start in range(0, len(several), PART):
        attributes = [to_attribute(own, key, database.connection) for key in several[start : start + PART]]
        objects = {row.pk: row for row in rows.filter(pk__in=attributes)}
        found: Any = relation.bulk_related_objects(list(objects.values()), using=database.alias)
        for row in found:
            value = parent._meta.pk.to_python(getattr(row, relation.object_id_field_name))
            if value in objects:
                yield key_of(row, concrete(relation)), key_of(objects[value], parent)


def is_depended_on(session: Session, model: type[Model], keys: Collection[Key]) -> bool:
    """Return whether REMOTE may have rows that point at one of these."""
    if any(hasattr(field, "bulk_related_objects") for field in model._meta.private_fields):
        return True
    columns = {column for _child, column, _rule in dependents(model)}
    columns |= {column for column, _rule in pointing_at(model)}
    return any(
        target_of(column) is not model
        or select(session.remote, column.model, [column], [column], [(key,) for key in keys])
        for column in columns
    )
