"""
System checks: what a project should know before it goes into production. All are listed in docs/messages.md.

Where a setting is wrong that alone is told, since the other checks cannot be made without it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections
from django.db.models import NOT_PROVIDED, Field, Model

from synchro.check_guard import when_settings_are_right
from synchro.conf import IDENTITIES, LOCAL, NAMES, conf, unknown_names
from synchro.exceptions import WrongSetting
from synchro.identity_checks import (
    check_given_natural_key,
    check_guessed_keys,
    check_named_keys,
    check_natural_key,
    leads_to_a_field,
)
from synchro.keys import key_fields
from synchro.model_options import model_option
from synchro.natural import NaturalManager
from synchro.registry import skipped_names, watched_models, wrong_settings
from synchro.replay.conflicts.policy import POLICIES, policy_of

#: Names of one's own machine.
LOOPBACK = dict.fromkeys(("localhost", "127.0.0.1", "::1"), "localhost")


def connect() -> None:
    register(check_values, Tags.compatibility)
    register(check_settings, Tags.compatibility)
    register(check_models, Tags.models)
    register(check_tables, Tags.database)
    register(check_identity, Tags.database)


# -- settings ------------------------------------------------------------------------------------------------


def check_values(app_configs: Any = None, **_kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = [Error(str(error), id="synchro.E007") for error in wrong_settings()]
    for name in unknown_names():
        alike = get_close_matches(name, NAMES, n=1)
        found.append(
            Warning(
                f"There is no setting {name} of synchro.",
                hint=f"Did you mean {alike[0]}?" if alike else "They are listed in docs/settings.md.",
                id="synchro.W008",
            )
        )
    return found


@when_settings_are_right
def check_settings(app_configs: Any = None, **_kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    found.extend(_conflict("The setting", conf.conflict, None))
    found.extend(_same_database())
    if conf.remotes and not watched_models():
        found.append(
            Warning(
                "SYNCHRO_REMOTE is set, but nothing is watched.",
                hint="Name apps or models in SYNCHRO_MODELS.",
                id="synchro.W004",
            )
        )
    return found


def _conflict(whose: str, value: Any, obj: Any) -> Iterator[CheckMessage]:
    try:
        policy_of(value)
    except WrongSetting:
        yield Error(
            f"{whose} SYNCHRO_CONFLICT is {value!r}, which is nothing that can decide.",
            hint=f"Use {', '.join(map(repr, POLICIES))}, or a callable or the dotted path of one.",
            obj=obj,
            id="synchro.E006",
        )


def _same_database() -> Iterator[CheckMessage]:
    for alias in conf.remotes:
        if _place(alias) == _place(LOCAL):
            yield Warning(
                f"SYNCHRO_REMOTE names {alias!r}, which is the same database as {LOCAL!r}.",
                hint=f"Give DATABASES[{alias!r}] the name and the host of the other database.",
                id="synchro.W002",
            )


def _place(alias: str) -> tuple[str, ...]:
    """Where DATABASES says that it is, in one spelling."""
    entry = connections.settings[alias]  # without loading its engine
    engine, name, host, port = (str(entry.get(key) or "") for key in ("ENGINE", "NAME", "HOST", "PORT"))
    if engine.endswith(("sqlite3", "spatialite")) and not name.startswith(("file:", ":memory:")):
        name = os.path.realpath(name)
    return engine, name, LOOPBACK.get(host, host), port


# -- models --------------------------------------------------------------------------------------------------


@when_settings_are_right
def check_models(app_configs: Sequence[AppConfig] | None, **_kwargs: Any) -> list[CheckMessage]:
    def asked_for(model: type[Model]) -> bool:
        return app_configs is None or model._meta.app_config in app_configs

    found: list[CheckMessage] = []
    for model in filter(asked_for, watched_models()):
        if not model._meta.auto_created:
            for check in WATCHED:
                found.extend(check(model))
    for model in filter(asked_for, apps.get_models()):
        found.extend(_natural_managers(model))
    if app_configs is None:
        found.extend(check_guessed_keys())
    return found


def _skip(model: type[Model]) -> Iterator[CheckMessage]:
    names = model_option(model, "SKIP", ())
    if not isinstance(names, list | tuple | set | frozenset) or not all(
        isinstance(name, str) for name in names
    ):
        yield Error(
            f"SYNCHRO_SKIP is {names!r}.",
            hint=f"Use a tuple of names of fields, such as ({names!r},).",
            obj=model,
            id="synchro.E003",
        )
        return
    fields = {
        field.name: field for field in model._meta.get_fields() if not field.auto_created or field.concrete
    }
    for name in names:
        if name not in fields:
            yield Error(
                f"SYNCHRO_SKIP names {name!r}, which is no field of the model.",
                hint=f"Its fields are: {', '.join(sorted(fields))}.",
                obj=model,
                id="synchro.E001",
            )
        else:
            yield from _skipped(model, fields[name])


def _skipped(model: type[Model], field: Any) -> Iterator[CheckMessage]:
    if field in key_fields(model) or field.primary_key:
        yield Error(
            f"SYNCHRO_SKIP names {field.name!r}, which is the key.",
            hint="A row without its key cannot be synchronized: take the name out.",
            obj=model,
            id="synchro.E002",
        )
    elif field.model._meta.concrete_model is not model and field.name not in skipped_names(field.model):
        yield Error(
            f"SYNCHRO_SKIP names {field.name!r}, whose column belongs to {field.model._meta.label}.",
            hint=f"Name it in SYNCHRO_SKIP of {field.model._meta.label}.",
            obj=model,
            id="synchro.E004",
        )
    elif field.concrete and not field.many_to_many and field.model._meta.concrete_model is model:
        yield from _default_on_creation(model, field)


def _default_on_creation(model: type[Model], field: Field[Any, Any]) -> Iterator[CheckMessage]:
    """A skipped field of a new row gets its default on REMOTE, so there has to be one that fits."""
    if field.null or field.generated or field.db_default is not NOT_PROVIDED:
        return
    if field.has_default() and callable(field.default):
        return
    if field.get_default() is None:
        yield Warning(
            f"SYNCHRO_SKIP names {field.name!r}, without default or null: REMOTE will refuse new rows.",
            hint="Give the field a default.",
            obj=model,
            id="synchro.W006",
        )
    elif field.unique:
        yield Warning(
            f"SYNCHRO_SKIP names {field.name!r}, which is unique: REMOTE will refuse the second new row.",
            hint="Give the field a default that differs from row to row, or allow null.",
            obj=model,
            id="synchro.W007",
        )


def _identity(model: type[Model]) -> Iterator[CheckMessage]:
    value = model_option(model, "IDENTITY")
    if value is not None and value not in IDENTITIES:
        yield Error(
            f"SYNCHRO_IDENTITY is {value!r}.",
            hint=f"Use {' or '.join(map(repr, IDENTITIES))}.",
            obj=model,
            id="synchro.E005",
        )


def _model_conflict(model: type[Model]) -> Iterator[CheckMessage]:
    value = model_option(model, "CONFLICT")
    if value is not None:
        yield from _conflict("Its", value, model)


def _natural_key(model: type[Model]) -> Iterator[CheckMessage]:
    managers = (model._default_manager, getattr(model, "objects", None))
    if hasattr(model, "natural_key") and not any(
        hasattr(manager, "get_by_natural_key") for manager in managers
    ):
        yield Error(
            "It has natural_key(), but its manager has no get_by_natural_key().",
            hint="Use synchro.core.NaturalManager, or NaturalKeyModel.",
            obj=model,
            id="synchro.E008",
        )


def _unmanaged(model: type[Model]) -> Iterator[CheckMessage]:
    if not model._meta.managed:
        yield Warning(
            "It is watched, but migrations do not manage its table.",
            hint="See that REMOTE has the same table. Where LOCAL has none, or a view, the model is left out unless "
            "SYNCHRO_MODELS names it.",
            obj=model,
            id="synchro.W001",
        )


WATCHED: tuple[Callable[[type[Model]], Iterable[CheckMessage]], ...] = (
    _skip,
    _identity,
    _model_conflict,
    _natural_key,
    check_named_keys,
    check_given_natural_key,
    check_natural_key,
    _unmanaged,
)


def _natural_managers(model: type[Model]) -> Iterator[CheckMessage]:
    for manager in model._meta.managers:
        if isinstance(manager, NaturalManager):
            for path in manager.fields:
                if not leads_to_a_field(model, path):
                    yield Error(
                        f"Its natural key names {path!r}, which is no field.",
                        hint="Name fields of the model, or fields behind a foreign key such as 'city__name'.",
                        obj=model,
                        id="synchro.E009",
                    )


# -- databases -----------------------------------------------------------------------------------------------


def check_tables(
    app_configs: Sequence[AppConfig] | None, databases: Iterable[str] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    if LOCAL not in (databases or ()):
        return []
    connection = connections[LOCAL]
    with connection.cursor() as cursor:
        present = set(connection.introspection.table_names(cursor))
    missing = {model._meta.db_table for model in apps.get_app_config("synchro").get_models()} - present
    if not missing or not present:  # an empty database is about to be migrated
        return []
    # No error: it would keep `migrate`, which makes them, from running.
    return [
        Warning(
            f"The database {LOCAL!r} lacks {', '.join(sorted(missing))}: no change can be captured.",
            hint="Run `manage.py migrate synchro`.",
            id="synchro.W003",
        )
    ]


@when_settings_are_right
def check_identity(
    app_configs: Sequence[AppConfig] | None, databases: Iterable[str] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """A changed ``SYNCHRO_IDENTITY`` doubles or overwrites rows."""
    from synchro.models import ModelIdentity
    from synchro.replay.identity.setting import differences

    if LOCAL not in (databases or ()):
        return []
    connection = connections[LOCAL]
    with connection.cursor() as cursor:
        if ModelIdentity._meta.db_table not in connection.introspection.table_names(cursor):
            return []
    return [Error(str(difference), obj=difference.model, id="synchro.E010") for difference in differences()]
