"""
The models of data migrations, which are not the project's own.

Django makes a class of each model for each state that the migrations go through. Its rows are those of the installed
model of the same name, or of the same table. A model that has no such name any more, or not yet, is known by its
content type alone, which moves with it when it is renamed.

In a database whose log is not there yet when `migrate` begins, nothing of this is captured: it is being made, and what
its migrations write is written by those of every other database too.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import connections
from django.db.models import Model

from synchro.conf import LOCAL
from synchro.models import ChangeLog
from synchro.registry import watched_models

#: Whether LOCAL has the log; None where that has not been asked.
_has_log: bool | None = None


def is_historical(model: type[Model]) -> bool:
    return model._meta.apps is not apps


def installed(model: type[Model]) -> type[Model] | None:
    """The installed model whose rows those of `model` are; None where there is none."""
    if not is_historical(model):
        return model
    meta = model._meta
    try:
        return apps.get_model(meta.app_label, str(meta.model_name))
    except LookupError:
        return next((found for found in watched_models() if found._meta.db_table == meta.db_table), None)


def may_be_watched(model: type[Model]) -> bool:
    """Whether a model without an installed one belongs to an app of which something is watched."""
    label = model._meta.app_label
    return any(watched._meta.app_label == label for watched in watched_models())


def log_is_there() -> bool:
    """Whether changes of such models are captured."""
    global _has_log
    if _has_log is None:
        _has_log = _find_log()
    return _has_log


def _find_log() -> bool:
    connection = connections[LOCAL]
    with connection.cursor() as cursor:
        return ChangeLog._meta.db_table in connection.introspection.table_names(cursor)


def on_migrate_begins(using: str, **kwargs: Any) -> None:  # noqa: ARG001  a receiver takes them
    global _has_log
    if using == LOCAL:
        _has_log = _find_log()


def on_migrate_ends(using: str, **kwargs: Any) -> None:  # noqa: ARG001  a receiver takes them
    global _has_log
    if using == LOCAL:
        _has_log = None
