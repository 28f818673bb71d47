"""Checks of the databases: REMOTE's settings, the engines, routers, and LOCAL's tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.db import connections, router
from django.db.models import Model

from synchro.backends import check_vendor
from synchro.checks.guard import when_settings_are_right
from synchro.conf import LOCAL, conf
from synchro.exceptions import SynchroError
from synchro.registry import watched_models

#: Models of Django that describe one database, or one server, by the labels of their apps: what comes of watching them.
OF_ONE_SERVER = {
    "sessions": "each request would be a change, and whoever is logged in here would be on REMOTE",
    "contenttypes": "each database numbers them as its migrations happen to run; synchro knows them by their names",
}


@when_settings_are_right
def check_databases(**_kwargs: Any) -> list[CheckMessage]:
    return [*_absent_remote(), *_engines(), *_routers(), *_of_one_server()]


def _absent_remote() -> Iterator[CheckMessage]:
    if not hasattr(settings, "SYNCHRO_REMOTE"):
        yield Warning(
            "SYNCHRO_REMOTE is not set: changes are captured, but nothing can be synchronized.",
            hint="Set it to an alias of DATABASES, or to None to say that this is meant.",
            id="synchro.W050",
        )


def _engines() -> Iterator[CheckMessage]:
    for alias in (LOCAL, *conf.remotes):
        try:
            check_vendor(connections[alias])
        except SynchroError as error:
            yield Error(str(error), id="synchro.E050")


def _routers() -> Iterator[CheckMessage]:
    """Only LOCAL's changes are captured, so what a router writes elsewhere goes nowhere."""
    elsewhere = [model for model in watched_models() if _writes_to(model) != LOCAL]
    if elsewhere:
        names = ", ".join(f"{model._meta.label} to {_writes_to(model)!r}" for model in elsewhere[:5])
        more = f" and {len(elsewhere) - 5} more" if len(elsewhere) > 5 else ""
        yield Warning(
            f"DATABASE_ROUTERS write watched models to another database than {LOCAL!r}, whose changes alone are "
            f"captured: {names}{more}.",
            hint="Take these models out of SYNCHRO_MODELS, or have the router leave them to the default database.",
            id="synchro.W051",
        )


def _writes_to(model: type[Model]) -> str:
    return str(router.db_for_write(model))


def _of_one_server() -> Iterator[CheckMessage]:
    for model in watched_models():
        why = OF_ONE_SERVER.get(model._meta.app_label)
        if why:
            yield Warning(
                f"It is watched, but belongs to one server: {why}.",
                hint=f"Take {model._meta.app_label!r} out of SYNCHRO_MODELS.",
                obj=model,
                id="synchro.W052",
            )


def check_tables(
    app_configs: Sequence[AppConfig] | None, databases: Iterable[str] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    if LOCAL not in (databases or ()):
        return []
    connection = connections[LOCAL]
    with connection.cursor() as cursor:
        present = set(connection.introspection.table_names(cursor))
    ours = {model._meta.db_table for model in apps.get_app_config("synchro").get_models()}
    missing = ours - present
    if not missing or not present:  # an empty database is about to be migrated
        return []
    names = "has none of synchro's tables" if missing == ours else f"lacks {', '.join(sorted(missing))}"
    # No error: it would keep `migrate`, which makes them, from running.
    return [
        Warning(
            f"The database {LOCAL!r} {names}: no change can be captured.",
            hint="Run `manage.py migrate synchro`. While `migrate` runs for the first time, this is as it should be.",
            id="synchro.W003",
        )
    ]
