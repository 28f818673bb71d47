"""
Capture by Django's signals: one INSERT for a change, on the connection and in the transaction that makes it.

Only LOCAL's changes are captured. What `QuerySet.update`, `bulk_create` and raw SQL do sends no signal and is not
seen here; `SYNCHRO_CAPTURE = 'triggers'` is.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.db.models import ManyToManyField, Model, Q, QuerySet
from django.db.models.expressions import DatabaseDefault
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save

from synchro.conf import LOCAL, conf
from synchro.expressions import value_of
from synchro.keys import AnyField, is_expression, key_fields, key_of, normalize, to_text, value_to_text
from synchro.model_options import model_option
from synchro.models import ADDITION, CHANGE, DELETION, M2M_CHANGE, ChangeLog
from synchro.natural import natural_fields, natural_names
from synchro.natural_parts import natural_parts, to_json
from synchro.registry import is_watched, set_field, skipped_names, wrong_settings
from synchro.switch import is_capture_off

logger = logging.getLogger(__name__)

#: Where an object keeps, between the signals before and after its deletion, what was read of its row.
_READ = "_synchro_read"


def connect() -> None:
    pre_save.connect(before_save, dispatch_uid="synchro_before_save")
    pre_delete.connect(before_delete, dispatch_uid="synchro_before_delete")
    post_save.connect(on_save, dispatch_uid="synchro_save")
    post_delete.connect(on_delete, dispatch_uid="synchro_delete")
    m2m_changed.connect(on_m2m_changed, dispatch_uid="synchro_m2m")


def refuse_to_write() -> None:
    """From now on, nothing is saved or deleted on LOCAL while a setting is wrong."""
    for signal in (pre_save, pre_delete, m2m_changed):
        signal.connect(on_write_while_wrong, dispatch_uid="synchro_wrong_setting")


def on_write_while_wrong(sender: type[Model], using: str, **kwargs: Any) -> None:
    """
    Without this the row would be written, and committed outside a transaction, before its capture fails.

    Raises `WrongSetting`.
    """
    if using == LOCAL:
        for error in wrong_settings():
            raise error


def before_save(sender: type[Model], instance: Model, using: str, **kwargs: Any) -> None:
    """
    Ask the database for a key that it would make by itself and not tell: the row could not be named afterwards.

    Raises `Uncaptured` for a key that is an expression and cannot be asked for, before the row is written.
    """
    held = instance.__dict__
    for field in _columns_of_keys(sender):
        value = held.get(field.attname)
        if type(value) is int or value is None or not is_expression(value):  # the usual cases first
            continue
        if _captures(using) and _watched_line(sender) and not _is_returned(value, using):
            setattr(instance, field.attname, value_of(field, value, using))


@cache
def _columns_of_keys(sender: type[Model]) -> tuple[AnyField, ...]:
    """The key's columns of a model and of those that it inherits from."""
    model = sender._meta.concrete_model or sender
    return tuple(field for line in (model, *model._meta.all_parents) for field in key_fields(line))


def _is_returned(value: Any, using: str) -> bool:
    """Whether Django learns what the database makes of it from the statement that inserts the row."""
    features = connections[using].features
    return isinstance(value, DatabaseDefault) and bool(features.can_return_columns_from_insert)


def before_delete(sender: type[Model], instance: Model, using: str, **kwargs: Any) -> None:
    """Read what the natural key is made of and the object does not hold, as long as the row is there."""
    model = sender._meta.concrete_model
    if model is None:
        return
    fields = [f for f in natural_fields(model) or () if not _is_known(instance, f)]
    if fields and _captures(using) and is_watched(model):
        rows: Any = QuerySet(model, using=using).filter(pk=instance.pk)
        values = rows.values_list(*(field.attname for field in fields)).first()
        if values is not None:
            read = dict(zip((field.attname for field in fields), values, strict=True))
            instance.__dict__[_READ] = read


def _is_known(instance: Model, field: AnyField) -> bool:
    """Whether the object holds the column's value."""
    return field.attname in instance.__dict__ and not is_expression(instance.__dict__[field.attname])


def on_save(
    sender: type[Model],
    instance: Model,
    created: bool,
    using: str,
    update_fields: Iterable[str] | None,
    **kwargs: Any,
) -> None:
    if not _captures(using):
        return
    for model in _watched_line(sender):
        fields = None if created or update_fields is None else _synchronized(model, update_fields)
        if fields != ():
            _log(model, instance, ADDITION if created else CHANGE, fields)


def on_delete(sender: type[Model], instance: Model, using: str, **kwargs: Any) -> None:
    model = sender._meta.concrete_model
    if model is not None and _captures(using) and is_watched(model):
        _log(model, instance, DELETION, None, _natural_key(instance))


def on_m2m_changed(
    sender: type[Model],
    instance: Model,
    action: str,
    reverse: bool,
    using: str,
    pk_set: set[Any] | None,
    **kwargs: Any,
) -> None:
    if not _captures(using) or not is_watched(sender):
        return
    if sender._meta.auto_created:
        if action in ("post_add", "post_remove", "post_clear") and pk_set != set():
            _log_m2m(sender, instance, reverse, pk_set)
    else:
        _log_through(sender, instance, action, reverse, using, pk_set)


def _captures(using: str) -> bool:
    return using == LOCAL and conf.capture == "signals" and not is_capture_off()


def _watched_line(sender: type[Model]) -> list[type[Model]]:
    """
    The watched models whose rows a save of `sender` writes, less those that another of them stands for.

    An entry of a child stands for its parents' rows too, of which Django sends no signal, as far as they have its
    key: a parent with a key of its own gets an entry of its own.
    """
    model = sender._meta.concrete_model
    if model is None:
        return []
    if is_watched(model):
        links = model._meta.parents.items()
        return [model, *(parent for parent, link in links if link is not None and not link.primary_key)]
    return [found for parent in model._meta.parents for found in _watched_line(parent)]


def _synchronized(model: type[Model], names: Iterable[str]) -> tuple[str, ...]:
    """Names among `names` (which may be column attributes, such as ``owner_id``) that are synchronized."""
    wanted = set(names)
    return tuple(
        sorted(
            field.name
            for field in model._meta.concrete_fields
            # An inherited column belongs to the parent's table, and the parent says whether it is skipped.
            if not wanted.isdisjoint((field.name, field.attname))
            and field.name not in skipped_names(field.model)
        )
    )


def _log(
    model: type[Model],
    instance: Model,
    action: int,
    fields: tuple[str, ...] | None = None,
    natural_key: str | None = None,
    members: str | None = None,
) -> None:
    ChangeLog.objects.using(LOCAL).create(
        content_type=_content_type(model),
        object_id=to_text(model, key_of(instance, model)),
        action=action,
        fields=fields,  # type: ignore[misc]
        natural_key=natural_key,
        members=members,
    )


def _content_type(model: type[Model]) -> ContentType:
    return ContentType.objects.db_manager(LOCAL).get_for_model(model, for_concrete_model=True)


def _natural_key(instance: Model) -> str | None:
    """
    The natural key's values as a JSON list: those of its columns where it is made of such (as triggers write them).

    None for an object that has none, or none any more since an object that it names is missing, or whose method
    raises: the deletion itself must not fail for that.
    """
    fields = natural_fields(type(instance)._meta.concrete_model)
    read = instance.__dict__.pop(_READ, {})
    try:
        if fields is not None:
            return to_json([normalize(field, _held(instance, field.attname, read)) for field in fields])
        given = model_option(type(instance), "NATURAL_KEY")
        if (given is not None and not given) or (
            not hasattr(instance, "natural_key") and not natural_names(type(instance))
        ):
            return None
        return to_json(natural_parts(instance, _model_of))
    except Exception as error:  # noqa: BLE001  code of others, or a value that is none
        name = type(instance)._meta.label
        logger.warning("The natural key of a deleted %s is not known (%s).", name, type(error).__name__)
        return None


def _held(instance: Model, name: str, read: Mapping[str, Any]) -> Any:
    return read[name] if name in read else getattr(instance, name)


def _model_of(content_type_id: int) -> type[Model] | None:
    return ContentType.objects.db_manager(LOCAL).get_for_id(content_type_id).model_class()


def _log_m2m(through: type[Model], instance: Model, reverse: bool, pk_set: set[Any] | None) -> None:
    """The set of an automatic many-to-many field changed: an entry of the object whose manager was used."""
    field = set_field(through)
    model: Any = field.related_model if reverse else field.model
    name = f"{field.model._meta.label}.{field.name}" if reverse else field.name
    far = key_fields(through)[0 if reverse else 1]
    members = (
        None if pk_set is None else json.dumps(sorted(value_to_text(normalize(far, pk)) for pk in pk_set))
    )
    _log(model._meta.concrete_model, instance, M2M_CHANGE, (name,), members=members)


def _log_through(
    through: type[Model], instance: Model, action: str, reverse: bool, using: str, pk_set: set[Any] | None
) -> None:
    """
    Rows of a through model of the project's own were added by `bulk_create`, without a signal of their own.

    (Their removal sends `post_delete` for each.)
    """
    if action != "post_add" or not pk_set:
        return
    field = _field_through(through, type(instance), reverse)
    rows = through._base_manager.using(using).filter(_added(field, instance, reverse, pk_set))
    content_type = _content_type(through)
    entries = (
        ChangeLog(content_type=content_type, object_id=to_text(through, key_of(row)), action=ADDITION)
        for row in rows.iterator()
    )
    ChangeLog.objects.using(LOCAL).bulk_create(entries, batch_size=1000)
    if field.remote_field.symmetrical:
        # Django writes the mirrored rows after this signal and sends none about them.
        _log(field.model, instance, M2M_CHANGE, (field.name,))


def _added(field: ManyToManyField[Any, Any], instance: Model, reverse: bool, pk_set: set[Any]) -> Q:
    near, far = field.m2m_field_name(), field.m2m_reverse_field_name()
    if reverse:
        near, far = far, near
    return Q(**{near: instance, f"{far}__in": pk_set})


def _field_through(through: type[Model], model: type[Model], reverse: bool) -> ManyToManyField[Any, Any]:
    for line in (model, *model._meta.all_parents):
        for field in line._meta.local_many_to_many:
            if not reverse and field.remote_field.through is through:
                return field
        for relation in line._meta.related_objects:
            if reverse and relation.many_to_many and relation.through is through:  # type: ignore[attr-defined]
                return relation.remote_field  # type: ignore[return-value]
    raise LookupError(f"{through._meta.label} belongs to no many-to-many field of {model._meta.label}.")
