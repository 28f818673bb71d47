"""Delete rows of REMOTE: by one statement where nothing depends on them, by Django's rules where something does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from django.db.models import DO_NOTHING, Model, QuerySet
from django.db.models.deletion import Collector
from django.utils.translation import gettext as _

from synchro.exceptions import Culprit, Refused
from synchro.keys import TEXTS, AnyField, Key, column_field, key_fields, key_of, to_text
from synchro.receivers import method
from synchro.relations import dependents, pointing_at, target_of
from synchro.replay.apply.receivers import has_receivers_of_deletes, on_remote
from synchro.replay.columns import to_attribute
from synchro.replay.identity.identities import existing_keys
from synchro.replay.rows import as_key, encode_keys, key_columns, select
from synchro.replay.session import Session

#: Is called with rows of REMOTE that others depend on. It raises an error where these have to be looked at first.
Look: TypeAlias = Callable[[type[Model], Collection[Key]], None]


def delete_rows(session: Session, model: type[Model], keys: Collection[Key]) -> int:
    """Delete these rows and nothing else, and return how many there were."""
    remote = session.remote
    encoded = encode_keys(model, keys, remote)
    return remote.backend.delete(model._meta.db_table, key_columns(model), encoded)


def park(session: Session, model: type[Model], keys: Sequence[Key]) -> dict[Key, Model]:
    """The objects, as they are, of rows that have to give way before their deletion is due."""
    if model._meta.auto_created:
        return {}
    found: dict[Key, Model] = {}
    for part in _parts(keys):
        rows: QuerySet[Model] = QuerySet(model, using=session.remote.alias)
        found.update(
            {key_of(row, model): row for row in rows.filter(pk__in=attributes(session, model, part))}
        )
    return found


def delete_objects(
    session: Session,
    model: type[Model],
    keys: Sequence[Key],
    with_parents: Collection[Key],
    parked: Mapping[Key, Model],
    names: Mapping[Key, Key | None],
    look: Look,
) -> int:
    """
    Delete these objects as Django would, with what depends on them, and return how many there were.

    Of a child in multi-table inheritance the parents' rows go along only for the keys in `with_parents`. The rows
    of `parked` objects are gone already, what depends on them is not. `names` has LOCAL's keys, as far as known.
    """
    parked = {key: parked[key] for key in keys if key in parked and not _has_successor(session, parked[key])}
    if any(column_field(field).get_internal_type() in TEXTS for field in key_fields(model)):
        # What REMOTE's collation takes for the same key may be another row, which was written a moment ago.
        present = existing_keys(session.remote, model, keys)
        keys = [key for key in keys if key in present or key in parked]
    if has_receivers_of_deletes(model):
        look(model, keys)
        for several in _leaves_first(session, model, keys):
            for key in several:
                _delete_one(session, model, key, key in with_parents, parked.get(key), names.get(key))
        # A method of the model's own may have done something else instead.
        left = existing_keys(session.remote, model, keys) if keys else set()
        _delete_all(session, model, [key for key in keys if key in left], {}, look)
        return len(keys)
    for several in _leaves_first(session, model, keys):
        _delete_all(session, model, several, parked, look)
    return len(keys)


def _has_successor(session: Session, instance: Model) -> bool:
    """
    Whether REMOTE takes another row for this one, which is gone: what depends on it depends on that one now.

    Values that are not the key are taken from `instance` where they have passed to another row.
    """
    rows: QuerySet[Model] = QuerySet(type(instance), using=session.remote.alias)
    for relation in type(instance)._meta.related_objects:
        target = getattr(relation.field, "target_field", None)
        if target is not None and not target.primary_key:
            value = getattr(instance, target.attname)
            if value is not None and rows.filter(**{target.attname: value}).exists():
                setattr(instance, target.attname, None)
    return rows.filter(pk=instance.pk).exists()


def _delete_all(
    session: Session,
    model: type[Model],
    keys: Sequence[Key],
    parked: Mapping[Key, Model],
    look: Look,
) -> None:
    """By statements, where nothing depends on the row, and by Django's collector."""
    free, depended = _split_by_dependents(session, model, keys)
    if depended:
        look(model, depended)
    for part in _parts(depended):
        _collect(session, model, part, parked)
    delete_rows(session, model, free)


def _collect(session: Session, model: type[Model], keys: Sequence[Key], parked: Mapping[Key, Model]) -> None:
    """Delete these objects by Django's collector."""
    rows: QuerySet[Model] = QuerySet(model, using=session.remote.alias)
    found = [*rows.filter(pk__in=attributes(session, model, keys)), *(parked[k] for k in keys if k in parked)]
    if found:
        with on_remote(session, model, None, "delete") as work:
            work.instance = found[0]
            collector = Collector(using=session.remote.alias, origin=found[0])
            collector.collect(found, keep_parents=True)
            collector.delete()


def _leaves_first(session: Session, model: type[Model], keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
    """The keys in parts, so that no row goes before those of the same model that point at it."""
    waiting = dict.fromkeys(keys)
    pointing: dict[Key, set[Key]] = {}
    own = key_fields(model)
    for child, column, _rule in dependents(model):
        if child is model and target_of(column) is model:
            for *pk, target in select(
                session.remote, model, [*own, column], [column], [(key,) for key in keys]
            ):
                if as_key(pk) in waiting and as_key(pk) != target:
                    pointing.setdefault(target, set()).add(as_key(pk))
    while waiting:
        leaves = [key for key in waiting if waiting.keys().isdisjoint(pointing.get(key, ()))] or list(waiting)
        yield leaves
        for key in leaves:
            del waiting[key]


def _delete_one(
    session: Session,
    model: type[Model],
    key: Key,
    with_parents: bool,
    parked: Model | None,
    local: Key | None,
) -> None:
    alias = session.remote.alias
    (attribute,) = attributes(session, model, [key])
    rows: QuerySet[Model] = QuerySet(model, using=alias)
    instance = rows.filter(pk=attribute).first() or parked
    if instance is None:
        return
    options = {"keep_parents": True} if model._meta.parents and not with_parents else {}
    with on_remote(session, model, key if local is None else local, "delete") as work:
        work.instance = instance
        if method(model, "delete") is not None:
            instance.delete(using=alias, **options)
        else:
            Model.delete(instance, using=alias, **options)


def _split_by_dependents(
    session: Session, model: type[Model], keys: Sequence[Key]
) -> tuple[list[Key], list[Key]]:
    """Keys of rows that nothing points at, and the others. Rows of automatic m2m tables go at once."""
    if any(hasattr(field, "bulk_related_objects") for field in model._meta.private_fields):
        return [], list(keys)  # generic relations: Django knows which rows go along
    depended: set[Key] = set()
    for child, column, _rule in dependents(model):
        if target_of(column) is not model:
            return [], list(keys)
        values = [(key,) for key in keys]
        if child._meta.auto_created:
            remote = session.remote
            encoded = encode_keys(model, keys, remote)
            remote.backend.delete(child._meta.db_table, [column.column], encoded)
        else:
            depended |= {row[0] for row in select(session.remote, child, [column], [column], values)}
    return [key for key in keys if key not in depended], [key for key in keys if key in depended]


def attributes(session: Session, model: type[Model], keys: Sequence[Key]) -> list[Any]:
    fields = key_fields(model)
    if len(fields) == 1:
        return [to_attribute(fields[0], key, session.remote.connection) for key in keys]
    return [
        tuple(to_attribute(f, part, session.remote.connection) for f, part in zip(fields, key, strict=True))
        for key in keys
    ]


def _parts(keys: Sequence[Key], size: int = 1000) -> Iterator[Sequence[Key]]:
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def refuse_dangling(
    session: Session,
    model: type[Model],
    values: Mapping[AnyField, Mapping[Any, Key | None]],
    look: Look,
    still_exists: bool = False,
) -> None:
    """
    Raise `Refused` where a row of REMOTE points at one of `model` that is gone, or cannot go for that. Before, `look`
    is called with such rows.

    `values` are those of columns that are pointed at, from before, with LOCAL's keys of the rows that had them; a
    server that checked nothing meanwhile does not look again.
    """
    for column, rule in pointing_at(model):
        target = column.target_field
        owners = values.get(target, {})
        asked = [(value,) for value in owners]
        if still_exists:
            lost = asked if rule is DO_NOTHING else []
        else:
            present = {row[0] for row in select(session.remote, model, [target], [target], asked)}
            lost = [value for value in asked if value[0] not in present]
        found = [
            (as_key(pk), value)
            for *pk, value in select(
                session.remote, column.model, [*key_fields(column.model), column], [column], lost
            )
            # By REMOTE's own comparison there may be one that is spelt otherwise.
            if still_exists or not select(session.remote, model, [target], [target], [(value,)])
        ]
        if found:
            look(column.model, [key for key, _value in found])
            raise _dangling(model, column, found, owners)


def _dangling(
    model: type[Model],
    column: AnyField,
    found: Sequence[tuple[Key, Any]],
    owners: Mapping[Any, Key | None],
) -> Refused:
    """Return the error for rows of REMOTE, with their values, that point by `column` at rows of `model` that go."""
    names = {
        "child": column.model._meta.label,
        "key": to_text(column.model, found[0][0]),
        "column": column.name,
        "model": model._meta.label,
    }
    cause = _("REMOTE's %(child)s %(key)s points at it by %(column)s")
    culprits = {owners.get(value): key for key, value in found}
    return Refused(
        _(
            "REMOTE's %(child)s %(key)s points by %(column)s at a row of %(model)s that LOCAL has deleted or "
            "given another value. The batch was rolled back. Let %(child)s %(key)s point at another row on "
            "REMOTE, and synchronize again."
        )
        % names,
        [
            Culprit(model, local, cause % {**names, "key": to_text(column.model, key)})
            for local, key in culprits.items()
            if local is not None
        ],
    )
