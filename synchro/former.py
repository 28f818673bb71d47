"""
Former models: the code of this process is older, or newer, than the migrations of a database.

After a model was renamed or moved, what synchro keeps about it is under its new name. A process that knows it by the
former one, whose table is still there, would find no references, and every row that it brings would be doubled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps as installed
from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, OuterRef, Subquery
from django.utils.translation import gettext as _

from synchro.exceptions import NotReady
from synchro.models import NamedTable
from synchro.registry import watched_models


def refuse_former_models(local: BaseDatabaseWrapper, remote: BaseDatabaseWrapper, **_more: Any) -> None:
    """
    Receive `synchro.replay.signals.starting`.

    Raises `NotReady` where a database knows the table of a watched model by another one, which this process lacks.
    """
    for alias in (local.alias, remote.alias):
        for model, name in _former_models(alias):
            raise NotReady(
                _(
                    "In the database “%(alias)s” the table %(table)s is that of the model %(name)s, which this process "
                    "does not have; here it is that of %(model)s. Nothing was written, since rows could be doubled. "
                    "Synchronize by a process with the code that the database was migrated with, or run “migrate "
                    "--database %(alias)s” with this code."
                )
                % {
                    "alias": alias,
                    "table": model._meta.db_table,
                    "name": name,
                    "model": model._meta.label,
                }
            )


def _former_models(alias: str) -> Iterator[tuple[type[Model], str]]:
    """Yield watched models whose tables are another model's by what `migrate` has noted, with that one's label."""
    now = _names_of_tables(alias)
    for model in watched_models():
        names = now.get(model._meta.db_table, set())
        if names and model._meta.label_lower not in names and not any(map(_is_installed, names)):
            yield model, min(names)


def _names_of_tables(alias: str) -> dict[str, set[str]]:
    """Return by table the labels of its models, under the names which their content types have by now."""
    types = ContentType.objects.db_manager(alias).order_by().filter(pk=OuterRef("content_type"))
    noted = (
        NamedTable.objects.using(alias)
        .filter(successor=None)
        .annotate(app_now=Subquery(types.values("app_label")), model_now=Subquery(types.values("model")))
    )
    try:
        with transaction.atomic(using=alias):
            rows = list(noted.values_list("db_table", "app_now", "model_now"))
    except DatabaseError:
        return {}  # its tables of synchro are older, which the handshake says
    found: dict[str, set[str]] = {}
    for table, app, model in rows:
        if app is not None:  # else the content type is gone
            found.setdefault(table, set()).add(f"{app}.{model}".lower())
    return found


def _is_installed(label: str) -> bool:
    try:
        installed.get_model(label)
    except LookupError:
        return False
    return True


__all__ = ["refuse_former_models"]
