"""Checks of the watched models: their attributes and options, their managers and their tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Error, Warning
from django.db.models import NOT_PROVIDED, Field, Model

from synchro.checks.guard import when_settings_are_right
from synchro.checks.identity import (
    check_given_natural_key,
    check_guessed_keys,
    check_named_keys,
    check_natural_key,
    leads_to_a_field,
)
from synchro.checks.settings import check_conflict
from synchro.conf import IDENTITIES
from synchro.keys import key_fields
from synchro.model_options import model_option
from synchro.natural import NaturalManager
from synchro.registry import skipped_names, watched_models
from synchro.sharing import faults_of_sharing


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
    for model, why in faults_of_sharing():
        if asked_for(model):
            found.append(Error(why, obj=model, id="synchro.E032"))
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
    """Check that a skipped field has a default that fits: a new row gets it on REMOTE."""
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
        yield from check_conflict("Its", value, model)


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
