"""
Moved models: an entry, a reference and whatever else names a content type outlive the model's name.

A model that is renamed keeps its content type, since Django renames that too. One that moves to another app gets a new
content type and leaves the old one behind. Its table stays, perhaps under another name. So `migrate` remembers which
table each content type stands for, and where another model has the table afterwards, all that synchro keeps goes over
to that model. Where the table does not tell, the setting ``SYNCHRO_MOVED`` does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any, Final

from django.apps import apps as installed
from django.apps.registry import Apps
from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Exists, Model, OuterRef

from synchro.backends import backend_for
from synchro.conf import conf
from synchro.exceptions import WrongSetting
from synchro.models import Baseline, ChangeLog, Conflict, ModelIdentity, NamedTable, Node, Reference, SetAside
from synchro.references import move
from synchro.registry import watched_models

#: An app and a model, as content types have them.
Name = tuple[str, str]

#: What is kept about a content type.
KEPT: Final[tuple[type[Model], ...]] = (Reference, Baseline, ModelIdentity, Conflict, SetAside, ChangeLog)

#: By database and content type: the models that the `migrate` which is at work there has found or made, with their
#: tables, under the names that those have by now.
_before: dict[str, dict[int, tuple[Name, str]]] = {}


# -- while migrate is at work --------------------------------------------------------------------------------------


def before_migrate(sender: Any, using: str, apps: Apps | None = None, **kwargs: Any) -> None:
    """Receive ``pre_migrate``, of synchro's own app, so once."""
    _before[using] = {}
    if _has_tables(using, ContentType):
        tables = list(_tables(apps or installed))
        if _is_ready(using):
            _name_sets(using, tables)
        types = _type_ids(using)
        for name, model in tables:
            if name in types:
                _before[using][types[name]] = (name, model._meta.db_table)
        if _is_ready(using):
            _set_apart_what_is_gone(using, {name for name, _model in tables})


def _name_sets(alias: str, tables: Iterable[tuple[Name, type[Model]]]) -> None:
    """Give automatic tables content types, which Django does not: one may become a model's table."""
    known, labels = _type_ids(alias), {model._meta.app_label for model in watched_models()}
    for name, model in tables:
        if model._meta.auto_created and name[0] in labels and name not in known:
            _type_of(alias, name)


def table_dropped(alias: str, model: type[Model]) -> None:
    """To be called when `migrate` drops a table: a model that gets its name later has nothing to do with its rows."""
    name = (model._meta.app_label, str(model._meta.model_name))
    type_id = _type_ids(alias).get(name) if _is_ready(alias) else None
    if type_id is not None and _is_kept(alias, type_id):
        _set_apart(alias, type_id, name)
        _before.get(alias, {}).pop(type_id, None)


def _set_apart_what_is_gone(alias: str, present: set[Name]) -> None:
    """Set apart what is kept about models whose tables went in another way than by `table_dropped`."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        tables = {*connection.introspection.table_names(cursor)}
    for gone in NamedTable.objects.using(alias).filter(successor=None).exclude(db_table=""):
        name = (gone.app_label, gone.model)
        if name not in present and gone.db_table not in tables and _is_kept(alias, gone.content_type):
            _set_apart(alias, gone.content_type, name)


def _set_apart(alias: str, type_id: int, name: Name) -> None:
    """
    Keep what is about a model that is gone with its table under a content type of its own.

    Else a reference to one of its rows would lead to a row of a model that gets its name.
    """
    names = (f"{name[1][:90]}-{number}" for number in count(1))
    other = _type_of(alias, (name[0], next(n for n in names if not _types(alias).filter(model=n).exists())))
    _note(alias, other, name, "")  # so that SYNCHRO_MOVED finds it
    carry_over(alias, type_id, other)


def _is_kept(alias: str, type_id: int) -> bool:
    """Return whether anything is kept about this content type."""
    return any(model._base_manager.using(alias).filter(content_type_id=type_id).exists() for model in KEPT)


def table_made(alias: str, type_id: int, model: type[Model]) -> None:
    """To be called when `migrate` has made a table whose changes are logged under this content type."""
    name = (model._meta.app_label, str(model._meta.model_name))
    _before.setdefault(alias, {})[type_id] = (name, model._meta.db_table)


def table_renamed(alias: str, old: str, new: str) -> None:
    """To be called when `migrate` gives a table another name."""
    for type_id, (name, table) in _before.get(alias, {}).items():
        if table == old:
            _before[alias][type_id] = (name, new)
    if _has_tables(alias, NamedTable):
        NamedTable.objects.using(alias).filter(db_table=old).update(db_table=new)


def after_migrate(sender: Any, using: str, apps: Apps | None = None, **kwargs: Any) -> None:
    """Receive ``post_migrate``, of synchro's own app, so once."""
    known = _before.pop(using, {})
    if not _is_ready(using):
        return
    for row in NamedTable.objects.using(using).all():
        known.setdefault(row.content_type, ((row.app_label, row.model), row.db_table))
    present = dict(_tables(apps or installed))
    is_now = {pk: name for name, pk in _type_ids(using).items()}
    for type_id, (name, table) in known.items():
        if is_now.get(type_id, name) in present:
            continue  # it is there, perhaps under another name, with its content type
        _note(using, type_id, name, table)
        found = [other for other, model in present.items() if model._meta.db_table == table]
        found = found or [*_models_of_sets(name, present)]
        if len(found) == 1:
            carry_over(using, type_id, _type_of(using, found[0]))
    _note_watched(using, present)


def _models_of_sets(name: Name, present: dict[Name, type[Model]]) -> Iterator[Name]:
    """Yield the model that a set has now whose automatic table had this name, and was renamed past Django."""
    for (app, owner), model in present.items():
        for field in model._meta.local_many_to_many:
            through: Any = field.remote_field.through
            if (app, f"{owner}_{field.name}".lower()) == name and not through._meta.auto_created:
                yield through._meta.app_label, str(through._meta.model_name)


def _tables(apps: Apps) -> Iterator[tuple[Name, type[Model]]]:
    for model in apps.get_models(include_auto_created=True):
        if model._meta.managed and not model._meta.proxy:
            yield (model._meta.app_label, str(model._meta.model_name)), model


def _note_watched(alias: str, present: dict[Name, type[Model]]) -> None:
    """Note for a later `migrate` which tables the content types of the watched models stand for."""
    names = _type_ids(alias)
    for watched in watched_models():
        name = (watched._meta.app_label, str(watched._meta.model_name))
        model, type_id = present.get(name), names.get(name)
        if model is not None and type_id is not None:
            _note(alias, type_id, name, model._meta.db_table)


def _note(alias: str, type_id: int, name: Name, table: str) -> None:
    what = {"app_label": name[0], "model": name[1], "db_table": table, "successor": None}
    rows = NamedTable.objects.using(alias)
    if not rows.filter(content_type=type_id, **what).exists():
        rows.update_or_create(content_type=type_id, defaults=what)


# -- by the setting ------------------------------------------------------------------------------------------------


def follow_setting(
    sender: Any, local: BaseDatabaseWrapper, remote: BaseDatabaseWrapper, **kwargs: Any
) -> None:
    """Receive `synchro.replay.signals.starting`: carry over what ``SYNCHRO_MOVED`` says has moved."""
    moved = conf.moved
    if not moved:
        return
    for alias in (local.alias, remote.alias):
        if _is_ready(alias):
            for old, new in moved.items():
                _follow(alias, old, new)


def _follow(alias: str, old: str, new: str) -> None:
    try:
        model = installed.get_model(new)
    except (LookupError, ValueError) as error:
        raise WrongSetting(f"SYNCHRO_MOVED names the model {new!r}, which does not exist.") from error
    app, _, name = old.lower().partition(".")
    wanted = {"app_label__iexact": app, "model": name}
    successor = _type_of(alias, (model._meta.app_label, str(model._meta.model_name)))
    noted = NamedTable.objects.using(alias).filter(**wanted)
    types = {
        *_types(alias).filter(**wanted).values_list("pk", flat=True),
        *noted.values_list("content_type", flat=True),
    }
    done = noted.filter(successor=successor).values_list("content_type", flat=True)
    for type_id in types - {*done, successor}:
        _note(alias, type_id, (app, name), "")
        carry_over(alias, type_id, successor)


# -- carrying over -------------------------------------------------------------------------------------------------


def carry_over(alias: str, old: int, new: int) -> None:
    """Make all that this database keeps about one content type be about another."""
    with transaction.atomic(using=alias):
        backend_for(connections[alias]).begin_writing()
        # A run that forms a batch waits, and so sees the log and what the node knows of it change together.
        node = Node.objects.using(alias).select_for_update().filter(pk=1).first()
        move(alias, old, new)
        _drop_known(Baseline, alias, old, new, ("node",))
        _drop_known(ModelIdentity, alias, old, new, ("peer_id",))
        for model in KEPT:
            model._base_manager.using(alias).filter(content_type_id=old).update(content_type_id=new)
        if node is not None:
            _rename_in_node(node, old, new)
            node.save(using=alias, update_fields=["newest", "unread"])
        rows = NamedTable.objects.using(alias)
        rows.filter(successor=old).update(successor=new)
        rows.filter(content_type=old).update(successor=new)
        rows.filter(content_type=new).update(successor=None)


def _rename_in_node(node: Node, old: int, new: int) -> None:
    if node.newest is not None:
        type_id, *more = json.loads(node.newest)
        node.newest = json.dumps([new if type_id == old else type_id, *more])
    spans = json.loads(node.unread)  # see `synchro.replay.log.unread`
    if str(old) in spans:
        first, last, count = spans.pop(str(old))
        other = spans.get(str(new), (first, last, 0))
        spans[str(new)] = [min(first, other[0]), max(last, other[1]), count + other[2]]
        node.unread = json.dumps(spans)


def _drop_known(model: type[Model], alias: str, old: int, new: int, key: Iterable[str]) -> None:
    """Drop what is known under the old content type where the new one has it too."""
    rows = model._base_manager.using(alias)
    same = rows.filter(content_type_id=new, **{name: OuterRef(name) for name in key})
    rows.filter(Exists(same), content_type_id=old).delete()


def successor_of(alias: str, type_id: int) -> type[Model] | None:
    """
    Return the model that an entry of a model that is gone is about, as entries that were written after all had been
    carried over: by processes that still had the model.
    """
    try:
        with transaction.atomic(using=alias):
            rows = NamedTable.objects.using(alias).filter(content_type=type_id)
            successor = rows.values_list("successor", flat=True).first()
            name = _types(alias).filter(pk=successor).values_list("app_label", "model").first()
    except DatabaseError:
        return None  # a REMOTE whose tables of synchro are older
    try:
        return installed.get_model(*name) if name is not None else None
    except LookupError:
        return None


def _types(alias: str) -> Any:
    return ContentType.objects.db_manager(alias).order_by()


def _type_of(alias: str, name: Name) -> int:
    manager = ContentType.objects.db_manager(alias)
    return int(manager.get_or_create(app_label=name[0], model=name[1])[0].pk)


def _type_ids(alias: str) -> dict[Name, int]:
    return {(app, model): pk for app, model, pk in _types(alias).values_list("app_label", "model", "pk")}


def _is_ready(alias: str) -> bool:
    """Return whether the database has the tables for this, as they are in this release."""
    tables = (
        NamedTable,
        ModelIdentity,
        ChangeLog,
        Node,
        Reference,
        Baseline,
        Conflict,
        SetAside,
        ContentType,
    )
    if not _has_tables(alias, *tables):
        return False
    connection = connections[alias]
    with connection.cursor() as cursor:
        columns = connection.introspection.get_table_description(cursor, Reference._meta.db_table)
    return "block" in {column.name for column in columns}


def _has_tables(alias: str, *models: type[Model]) -> bool:
    connection = connections[alias]
    with connection.cursor() as cursor:
        present = connection.introspection.table_names(cursor)
    return {model._meta.db_table for model in models} <= {*present}


__all__ = [
    "after_migrate",
    "before_migrate",
    "carry_over",
    "follow_setting",
    "successor_of",
    "table_made",
    "table_renamed",
]
