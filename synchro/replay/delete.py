"""Delete rows of REMOTE: by one statement where nothing depends on them, by Django's rules where something does."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from django.db.models import DO_NOTHING, Model
from django.db.models.deletion import Collector

from synchro.keys import AnyField, Key, key_fields
from synchro.replay.columns import to_attribute
from synchro.replay.identify import target_of
from synchro.replay.link import Link
from synchro.replay.listeners import hears_deletes
from synchro.replay.read import encode_keys, key_columns, select


def delete_rows(link: Link, model: type[Model], keys: Collection[Key]) -> int:
    """Delete these rows and nothing else, and return how many there were."""
    side = link.remote
    encoded = encode_keys(model, keys, side)
    return side.engine.delete(side.connection, model._meta.db_table, key_columns(model), encoded)


def delete_objects(link: Link, model: type[Model], keys: Sequence[Key], with_parents: Collection[Key]) -> int:
    """
    Delete these objects as Django would, with what depends on them, and return how many there were.

    Of a child in multi-table inheritance the parents' rows go along only for the keys in `with_parents`.
    """
    if hears_deletes(model):
        return sum(_delete_one(link, model, key, key in with_parents) for key in keys)
    free, depended = _split_by_dependents(link, model, keys)
    for part in _parts(depended):
        found = model._base_manager.using(link.remote.alias).filter(pk__in=_attributes(link, model, part))
        collector = Collector(using=link.remote.alias, origin=found)
        collector.collect(found, keep_parents=True)
        collector.delete()
    return len(depended) + delete_rows(link, model, free)


def _delete_one(link: Link, model: type[Model], key: Key, with_parents: bool) -> int:
    alias = link.remote.alias
    (attribute,) = _attributes(link, model, [key])
    instance = model._base_manager.using(alias).filter(pk=attribute).first()
    if instance is None:
        return 0
    if model._meta.parents and not with_parents:
        instance.delete(using=alias, keep_parents=True)
    else:
        instance.delete(using=alias)
    return 1


def _split_by_dependents(link: Link, model: type[Model], keys: Sequence[Key]) -> tuple[list[Key], list[Key]]:
    """Keys of rows that nothing points at, and the others. Rows of automatic m2m tables go at once."""
    if any(hasattr(field, "bulk_related_objects") for field in model._meta.private_fields):
        return [], list(keys)  # generic relations: Django knows which rows go along
    depended: set[Key] = set()
    for child, column in _dependents(model):
        if target_of(column) is not model:
            return [], list(keys)
        values = [(key,) for key in keys]
        if child._meta.auto_created:
            side = link.remote
            encoded = encode_keys(model, keys, side)
            side.engine.delete(side.connection, child._meta.db_table, [column.column], encoded)
        else:
            depended |= {row[0] for row in select(link.remote, child, [column], [column], values)}
    return [key for key in keys if key not in depended], [key for key in keys if key in depended]


def _dependents(model: type[Model]) -> Iterator[tuple[type[Model], AnyField]]:
    """Foreign keys to `model` whose rows Django, not the database, takes care of."""
    for relation in model._meta.get_fields(include_hidden=True):
        if relation.auto_created and not relation.concrete and (relation.one_to_one or relation.one_to_many):
            rule = relation.on_delete  # type: ignore[union-attr]
            if rule is not DO_NOTHING and not is_done_by_the_database(rule):
                yield relation.related_model, relation.field  # type: ignore[union-attr,misc]


def is_done_by_the_database(rule: Any) -> bool:
    """Whether an `on_delete` is one of Django 6.1's that the database carries out."""
    return type(rule).__name__ == "DatabaseOnDelete"


def _attributes(link: Link, model: type[Model], keys: Sequence[Key]) -> list[Any]:
    fields = key_fields(model)
    if len(fields) == 1:
        return [to_attribute(fields[0], key, link.remote.connection) for key in keys]
    return [
        tuple(to_attribute(f, part, link.remote.connection) for f, part in zip(fields, key, strict=True))
        for key in keys
    ]


def _parts(keys: Sequence[Key], size: int = 1000) -> Iterator[Sequence[Key]]:
    for start in range(0, len(keys), size):
        yield keys[start : start + size]
