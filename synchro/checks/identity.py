"""Checks of the identity of rows: keys and natural keys of watched models, and the setting that decides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import FieldDoesNotExist
from django.db import connections
from django.db.models import Model

from synchro.checks.gone_rows import needs_more_than_columns
from synchro.checks.guard import when_settings_are_right
from synchro.conf import LOCAL, conf
from synchro.exceptions import WrongSetting
from synchro.keys import AnyField, is_integer
from synchro.model_options import model_option, names_option
from synchro.models import ModelIdentity
from synchro.natural import lacks_content_type, natural_fields, natural_names
from synchro.natural_parts import is_left_unused
from synchro.registry import Table, watched_models
from synchro.relations import generic_keys, named_models
from synchro.replay.identity.models import is_known_by_nature, keeps_references
from synchro.replay.identity.natural_errors import name_of
from synchro.replay.identity.natural_keys import allows_many, finder, is_unique
from synchro.replay.identity.natural_methods import is_forgetful
from synchro.replay.identity.setting import differences

INSTEAD = "name fields in SYNCHRO_MODEL_OPTIONS['{label}']['NATURAL_KEY'] (() for none)"


def check_named_keys(model: type[Model]) -> Iterator[CheckMessage]:
    try:
        named_models(model)
    except WrongSetting as error:
        yield Error(
            str(error),
            hint="Name plain columns of the model, each with the model whose keys it holds, or None for no model's.",
            obj=model,
            id="synchro.E030",
        )


def check_given_natural_key(model: type[Model]) -> Iterator[CheckMessage]:
    names = model_option(model, "NATURAL_KEY")
    if names is None:
        return
    where = names_option(model, "NATURAL_KEY")
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        yield Error(
            f"{where} is {names!r}.",
            hint=f"Use a tuple of names of fields, such as ({names!r},).",
            obj=model,
            id="synchro.E031",
        )
        return
    for name in names:
        if not leads_to_a_field(model, name):
            yield Error(
                f"{where} names {name!r}, which is no field.",
                hint="Name fields of the model, or fields behind a foreign key such as 'city__name'.",
                obj=model,
                id="synchro.E031",
            )


def leads_to_a_field(model: Any, path: str) -> bool:
    for name in path.split("__"):
        if model is None:
            return False
        try:
            field = model._meta.pk if name == "pk" else model._meta.get_field(name)
        except FieldDoesNotExist:
            return False
        model = field.related_model
    return True


def check_natural_key(model: type[Model]) -> Iterator[CheckMessage]:
    """Check the natural key of a model whose rows may have to be found by it."""
    if not keeps_references(model) or is_known_by_nature(model) or any(check_given_natural_key(model)):
        return
    own = [field for field in model._meta.local_concrete_fields if field.name in natural_names(model)]
    if lacks_content_type(model, own) or (not natural_names(model) and is_left_unused(model)):
        yield Warning(
            "Its natural key has the key of a generic foreign key without its content type, so it is not used.",
            hint=_hint("Add the content type to the natural key, or {instead}.", model),
            obj=model,
            id="synchro.W031",
        )
        return
    fields = natural_fields(model)
    if fields is not None:
        yield from _not_unique(model, fields)
    elif finder(model) is not None:
        yield from _forgetful(model)
        yield from _unknown_when_gone(model)


def _not_unique(model: type[Model], fields: tuple[AnyField, ...]) -> Iterator[CheckMessage]:
    if not is_unique(model, fields) and not allows_many(model):
        names = ", ".join(field.name for field in fields)
        yield Warning(
            f"Its natural key ({names}) is not unique: no constraint of the model says so. A run stops where several "
            "rows fit.",
            hint=_hint("Add a UniqueConstraint, or {instead}.", model),
            obj=model,
            id="synchro.W032",
        )


def _forgetful(model: type[Model]) -> Iterator[CheckMessage]:
    for alias in conf.remotes:
        manager = finder(model).db_manager(alias)
        if is_forgetful(manager, alias):
            yield Warning(
                f"Its manager {name_of(manager)} looks for natural keys in another database than it is asked to.",
                hint=_hint("Have its get_queryset() pass on using=self._db, or {instead}.", model),
                obj=model,
                id="synchro.W030",
            )
            return


def _unknown_when_gone(model: type[Model]) -> Iterator[CheckMessage]:
    if conf.capture == "triggers" and needs_more_than_columns(model):
        yield Warning(
            "Its natural_key() asks the database for more than the columns that triggers write down of a deleted row. "
            "The deletion of a row that no reference connects with one of REMOTE is refused.",
            hint=_hint(
                "Have it use columns of the row and of what that points at, or {instead}.",
                model,
            ),
            obj=model,
            id="synchro.W034",
        )


def _hint(text: str, model: type[Model]) -> str:
    return text.format(instead=INSTEAD.format(label=model._meta.label))


def check_guessed_keys() -> Iterator[CheckMessage]:
    """Give one warning for all columns that look as if they held keys."""
    models = [model for model in watched_models() if not model._meta.auto_created]
    if not any(keeps_references(model) and not is_known_by_nature(model) for model in models):
        return
    found = [f"{model._meta.label}.{name}" for model in models for name in _looks_like_keys(model)]
    if found:
        yield Warning(
            "Columns look as if they held keys of rows, which are others on REMOTE: "
            f"{', '.join(found[:10])}{' ...' if len(found) > 10 else ''}.",
            hint="Say what they name, such as SYNCHRO_KEYS = {'offer_id': 'offer.Offer'} in the class or 'KEYS' in "
            "SYNCHRO_MODEL_OPTIONS (None for no model's keys); or have equal keys, by SYNCHRO_IDENTITY = 'pk'.",
            id="synchro.W033",
        )


def _looks_like_keys(model: type[Model]) -> Iterator[str]:
    said = model_option(model, "KEYS", {})
    generic = {each.fk_field for each in generic_keys(model)}
    tracked = getattr(model, "instance_type", None)  # of django-simple-history
    tracked_key = (
        tracked._meta.pk.attname if isinstance(tracked, type) and issubclass(tracked, Model) else None
    )
    for field in Table(model).fields:
        if field.remote_field is not None or field.primary_key or not is_integer(field):
            continue
        if field.name in generic or field.name in said:
            continue
        if field.name.endswith("_id") or field.attname == tracked_key:
            yield field.name


@when_settings_are_right
def check_identity(
    app_configs: Sequence[AppConfig] | None, databases: Iterable[str] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """Check whether ``SYNCHRO_IDENTITY`` was changed, which doubles or overwrites rows."""
    if LOCAL not in (databases or ()):
        return []
    connection = connections[LOCAL]
    with connection.cursor() as cursor:
        if ModelIdentity._meta.db_table not in connection.introspection.table_names(cursor):
            return []
    return [Error(str(difference), obj=difference.model, id="synchro.E010") for difference in differences()]
