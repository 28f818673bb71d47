"""
Capture by Django's signals: one INSERT for a change, on the connection and in the transaction that makes it.

Only LOCAL's changes are captured. What `QuerySet.update`, `bulk_create` and raw SQL do sends no signal and is not
seen here; `SYNCHRO_CAPTURE = 'triggers'` is.

Django sends `post_save` after its own commit, so `save()` itself is captured a step earlier (`synchro.saving`). The
signal remains for what others send by hand, who leave out arguments, or send it for objects that are none. What cannot
be understood counts as a change of the whole object. It never raises in the application's own code; only what the
database says of the entry itself does.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from functools import cache
from typing import Any

from django.db import router
from django.db.models import ManyToManyField, Model, Q
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save

from synchro.before_write import ask_for_key, has_unknown_key, read_natural_key, what_was_read
from synchro.conf import LOCAL, conf
from synchro.describe import NO_KEY, far_keys, label_of, natural_key_of, text_of
from synchro.entries import NewEntry, write_entries
from synchro.historical import installed, is_historical, log_is_there, may_be_watched
from synchro.models import ADDITION, CHANGE, DELETION, M2M_CHANGE
from synchro.registry import is_watched, skipped_names, wrong_settings
from synchro.relations import set_field
from synchro.shared_tables import as_row_of, names_in, stands_for
from synchro.switch import is_capture_off

logger = logging.getLogger("synchro")

#: A model of which an entry is to be written, as it is installed, or as migrations know it; and what changed.
Part = tuple[type[Model], tuple[str, ...] | None]


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


def on_write_while_wrong(sender: Any, using: str | None = None, **kwargs: Any) -> None:
    """
    Without this the row would be written, and committed outside a transaction, before its capture fails.

    Raises `WrongSetting`.
    """
    if using in (LOCAL, None):
        for error in wrong_settings():
            raise error


def before_save(sender: Any, instance: Any = None, using: str | None = None, **kwargs: Any) -> None:
    if isinstance(instance, Model) and isinstance(sender, type) and issubclass(sender, Model):
        alias = using or ""
        if has_unknown_key(sender, instance) and captures(alias) and _watched_line(sender):
            ask_for_key(sender, instance, alias)


def before_delete(sender: Any, instance: Any = None, using: str | None = None, **kwargs: Any) -> None:
    if isinstance(instance, Model) and captures(using or "") and is_watched(type(instance)):
        concrete = type(instance)._meta.concrete_model
        read_natural_key(stands_for(concrete or type(instance)), instance, using or LOCAL)


# -- one row -------------------------------------------------------------------------------------------------


def on_save(
    sender: Any,
    instance: Any = None,
    created: bool = False,
    using: str | None = None,
    update_fields: Iterable[str] | None = None,
    **kwargs: Any,
) -> None:
    if not isinstance(instance, Model) or instance._state.__dict__.pop("synchro_is_captured", False):
        return
    if captures(using or _database_of(instance)):
        # Whoever sends it by hand need not have written anything: nothing is believed of what was added.
        is_django = "raw" in kwargs and using is not None
        log_save(instance, parts_of_save(type(instance), update_fields), created and is_django)


def on_delete(sender: Any, instance: Any = None, using: str | None = None, **kwargs: Any) -> None:
    if not isinstance(instance, Model) or not captures(using or _database_of(instance)):
        return
    is_model = isinstance(sender, type) and issubclass(sender, Model) and isinstance(instance, sender)
    for model in _watched_line(sender if is_model else type(instance), parents=False):
        owner, row = _in_owner(model, instance)
        _log(owner, row, DELETION, natural_key=natural_key_of(row, owner))


def captures(using: str) -> bool:
    return using == LOCAL and conf.capture == "signals" and not is_capture_off()


def parts_of_save(model: type[Model], update_fields: Iterable[str] | None) -> list[Part]:
    """What entries a save is to leave: of which tables, and with which names, where they are known."""
    names = _known(model, update_fields)
    line = [(each, None if names is None else _synchronized(each, names)) for each in _watched_line(model)]
    return [(each, fields) for each, fields in line if fields != ()]


def log_save(instance: Model, parts: Iterable[Part], created: bool, is_sure: bool = False) -> None:
    """Write the entries of a save; with `is_sure` of one that has taken place, so that none may be missing."""
    for model, fields in parts:
        action, names = (ADDITION, None) if created else (CHANGE, fields)
        _log(model, instance, action, names, is_sure=is_sure)


def _database_of(instance: Model) -> str:
    return instance._state.db or router.db_for_write(type(instance), instance=instance)


def _watched_line(model: type[Model], parents: bool = True) -> list[type[Model]]:
    """
    The watched models whose rows a save of `model` writes, less those that another of them stands for; without
    `parents` only its own.

    An entry of a child stands for its parents' rows too, of which Django sends no signal, as far as they have its
    key: a parent with a key of its own gets an entry of its own.
    """
    concrete = model._meta.concrete_model
    if concrete is None:
        return []
    own = installed(concrete)
    if is_historical(concrete) and not log_is_there():
        return []
    if own is None:
        return [concrete] if may_be_watched(concrete) else []
    if is_watched(own):
        links = own._meta.parents.items() if parents else ()
        return [own, *(parent for parent, link in links if link is not None and not link.primary_key)]
    return [found for parent in concrete._meta.parents for found in _watched_line(parent)] if parents else []


def _known(model: type[Model], names: Any) -> frozenset[str] | None:
    """These names of fields; None where that is not what they are, or the model has others by now."""
    if names is None or isinstance(names, str | bytes):
        return None
    own = installed(model._meta.concrete_model or model)
    if own is None:
        return None
    try:
        found = frozenset(names)
    except TypeError:
        return None
    return found if found <= _names_of(own) else None


@cache
def _names_of(model: type[Model]) -> frozenset[str]:
    fields = model._meta.concrete_fields
    return frozenset(name for field in fields for name in (field.name, field.attname))


def _synchronized(model: type[Model], wanted: Collection[str]) -> tuple[str, ...]:
    """Names among `wanted` (which may be column attributes, such as ``owner_id``) that are synchronized."""
    return tuple(
        sorted(
            field.name
            for field in model._meta.concrete_fields
            # An inherited column belongs to the parent's table, and the parent says whether it is skipped.
            if (field.name in wanted or field.attname in wanted)
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
    is_sure: bool = False,
) -> None:
    """Write an entry of the row that `instance` has in the table of `model`; none where it has no key."""
    owner, instance = _in_owner(model, instance)
    if owner is not model:
        fields = None if fields is None else names_in(owner, model, fields)
        model = owner
    try:
        text = text_of(model, instance)
    except NO_KEY:
        if is_sure:
            raise
        text = None
    if text is None:
        logger.warning("A signal about %s named no object: it is not logged.", model._meta.label)
        return
    names = None if fields is None else ",".join(fields)
    entry = NewEntry(text, action, names, natural_key, members)
    write_entries(label_of(model), [entry], create=not is_historical(model))


def _in_owner(model: type[Model], instance: Model) -> tuple[type[Model], Model]:
    """Return the model that stands for `model` where they have one table, and the row that `instance` is there."""
    owner = stands_for(model)
    if owner is model or not isinstance(instance, model):
        return model, instance
    return owner, as_row_of(owner, model, instance, what_was_read(instance))


# -- many-to-many --------------------------------------------------------------------------------------------


def on_m2m_changed(
    sender: Any,
    instance: Any = None,
    action: str = "",
    reverse: bool = False,
    using: str | None = None,
    pk_set: Collection[Any] | None = None,
    model: Any = None,
    **kwargs: Any,
) -> None:
    if action not in ("post_add", "post_remove", "post_clear") or not isinstance(instance, Model):
        return
    if not captures(using or _database_of(instance)) or (pk_set is not None and not pk_set):
        return
    if not isinstance(sender, type) or not issubclass(sender, Model):
        _log_whole(instance)
        return
    for through in _watched_line(sender, parents=False):
        if through._meta.auto_created:
            _log_set(through, instance, reverse, pk_set)
        elif action == "post_add" and pk_set:
            _log_through(through, sender, instance, reverse, pk_set)


def _log_whole(instance: Model) -> None:
    for model in _watched_line(type(instance)):
        _log(model, instance, CHANGE)


def _log_set(through: type[Model], instance: Model, reverse: bool, pk_set: Collection[Any] | None) -> None:
    """The set of an automatic many-to-many field changed: an entry of the object whose manager was used."""
    field = set_field(through)
    near: Any = field.related_model if reverse else field.model
    own = installed(near._meta.concrete_model) or near
    if not isinstance(instance, near._meta.concrete_model) and not is_historical(type(instance)):
        _log_whole(instance)  # it is not the field's: whoever sent this has another idea of it
        return
    name = f"{field.model._meta.label}.{field.name}" if reverse else field.name
    _log(own, instance, M2M_CHANGE, (name,), members=far_keys(through, reverse, pk_set))


def _log_through(
    model: type[Model], through: type[Model], instance: Model, reverse: bool, pk_set: Collection[Any]
) -> None:
    """
    Rows of a through model of the project's own were added by `bulk_create`, without a signal of their own.

    (Their removal sends `post_delete` for each.) What only looks like a many-to-many field saves its rows one by one.
    """
    field = _field_through(through, type(instance), reverse)
    if field is None:
        _log_whole(instance)
        return
    rows = through._base_manager.using(LOCAL).filter(_added(field, instance, reverse, pk_set))
    texts = (text_of(model, row) for row in rows.iterator())
    entries = [NewEntry(text, ADDITION) for text in texts if text is not None]
    write_entries(label_of(model), entries, create=not is_historical(model))
    if field.remote_field.symmetrical:
        # Django writes the mirrored rows after this signal and sends none about them.
        near = field.model
        _log(installed(near) or near, instance, M2M_CHANGE, (field.name,))


def _added(field: ManyToManyField[Any, Any], instance: Model, reverse: bool, pk_set: Collection[Any]) -> Q:
    near, far = field.m2m_field_name(), field.m2m_reverse_field_name()
    if reverse:
        near, far = far, near
    return Q(**{near: instance, f"{far}__in": pk_set})


def _field_through(
    through: type[Model], model: type[Model], reverse: bool
) -> ManyToManyField[Any, Any] | None:
    """
    Django's own many-to-many field of `model` that this is the through model of.

    (Fields of others that are no `ManyToManyField`, such as taggit's, are among the model's many-to-many fields too.)
    """
    for line in (model, *model._meta.all_parents):
        for field in line._meta.local_many_to_many:
            if not reverse and field.remote_field.through is through and isinstance(field, ManyToManyField):
                return field
        for relation in line._meta.related_objects:
            if reverse and relation.many_to_many and relation.through is through:  # type: ignore[attr-defined]
                return relation.remote_field  # type: ignore[return-value]
    return None
