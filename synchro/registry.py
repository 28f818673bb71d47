"""Which models and tables are watched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from django.apps import AppConfig, apps
from django.contrib.contenttypes.fields import GenericForeignKey
from django.db.models import ManyToManyField, Model

from synchro.conf import conf, wrong_values
from synchro.exceptions import WrongSetting
from synchro.keys import AnyField, key_fields


@dataclass(frozen=True)
class Table:
    """One watched table. Of multi-table inheritance each model's table stands alone, with its own columns."""

    model: type[Model]

    @property
    def name(self) -> str:
        return self.model._meta.db_table

    @property
    def is_automatic(self) -> bool:
        """Whether this is the table of a many-to-many field that Django made by itself."""
        return bool(self.model._meta.auto_created)

    @property
    def key_fields(self) -> tuple[AnyField, ...]:
        return key_fields(self.model)

    @property
    def fields(self) -> tuple[AnyField, ...]:
        """The synchronized columns, key included: neither skipped nor computed by the database."""
        return _synchronized(self.model)

    @property
    def skipped(self) -> tuple[AnyField, ...]:
        names = skipped_names(self.model)
        return tuple(f for f in self.model._meta.local_concrete_fields if f.name in names and not f.generated)


def set_field(through: type[Model]) -> ManyToManyField[Any, Any]:
    """The many-to-many field that an automatic table belongs to."""
    source: Any = through._meta.auto_created
    return next(f for f in source._meta.local_many_to_many if f.remote_field.through is through)


def skipped_names(model: type[Model]) -> frozenset[str]:
    names: str | Iterable[str] = getattr(model, "SYNCHRO_SKIP", ())
    return frozenset((names,) if isinstance(names, str) else names)


@cache
def _synchronized(model: type[Model]) -> tuple[AnyField, ...]:
    keys = key_fields(model)
    if model._meta.auto_created:
        return keys
    skipped = skipped_names(model)
    return tuple(
        field
        for field in model._meta.local_concrete_fields
        if field in keys or (field.name not in skipped and not field.generated)
    )


def watched_models() -> tuple[type[Model], ...]:
    """
    The concrete models named by ``SYNCHRO_MODELS``, those they inherit from, and the through models of their
    many-to-many fields.

    Raises `WrongSetting` for an app or a model that does not exist.
    """
    return _watched(_hashable(conf.models))


def wrong_settings() -> list[WrongSetting]:
    """What is wrong with the settings, names of apps and models included: one error each."""
    found = list(wrong_values())
    try:
        watched_models()
    except WrongSetting as error:
        found.append(error)
    return found


def watched_tables() -> tuple[Table, ...]:
    return tuple(Table(model) for model in watched_models())


def is_watched(model: type[Model]) -> bool:
    return model._meta.concrete_model in _watched_set(_hashable(conf.models))


def may_become_watched(model: type[Model]) -> bool:
    """Whether a model of a migration, which may get another name in a later one, stands for a watched one."""
    meta = model._meta
    if any(meta.label_lower == found._meta.label_lower for found in watched_models()):
        return True
    if any(meta.db_table == table.name for table in watched_tables()):
        return True
    return any(not names and _app(app).label == meta.app_label for app, *names in _hashable(conf.models))


def is_optional(model: type[Model]) -> bool:
    """Whether nobody asked for this very model, and migrations do not make its table: it may have none, or a view."""
    return not model._meta.managed and model not in _named(_hashable(conf.models))


@lru_cache(maxsize=8)
def _named(setting: tuple[tuple[str, ...], ...]) -> frozenset[type[Model] | None]:
    """The models that are watched by their own names."""
    return frozenset(
        model._meta.concrete_model for entry in setting if len(entry) > 1 for model in _models_of(entry)
    )


def m2m_fields(model: type[Model]) -> Iterator[ManyToManyField[Any, Any]]:
    """The many-to-many fields that `model` itself declares."""
    yield from model._meta.local_many_to_many


def generic_keys(model: type[Model]) -> list[GenericForeignKey]:
    """The generic foreign keys that `model` has."""
    return [field for field in model._meta.private_fields if isinstance(field, GenericForeignKey)]


@lru_cache(maxsize=8)
def _watched(setting: tuple[tuple[str, ...], ...]) -> tuple[type[Model], ...]:
    found: dict[type[Model], None] = {}
    for entry in setting:
        for model in _models_of(entry):
            _add(model, found)
    return tuple(found)


@lru_cache(maxsize=8)
def _watched_set(setting: tuple[tuple[str, ...], ...]) -> frozenset[type[Model]]:
    return frozenset(_watched(setting))


def forget_cached() -> None:
    """To be called where the set of installed models itself has changed."""
    _watched.cache_clear()
    _watched_set.cache_clear()
    _named.cache_clear()
    _synchronized.cache_clear()


def _add(model: type[Model] | None, found: dict[type[Model], None]) -> None:
    concrete = model._meta.concrete_model if model else None
    if concrete is None or concrete in found:
        return
    if concrete._meta.app_label == "synchro":
        raise WrongSetting("SYNCHRO_MODELS names synchro itself, whose tables are never synchronized.")
    for parent in concrete._meta.parents:
        _add(parent, found)
    found[concrete] = None
    for field in m2m_fields(concrete):
        if field.name not in skipped_names(concrete):
            _add(field.remote_field.through, found)


def _models_of(entry: tuple[str, ...]) -> Iterable[type[Model]]:
    app, *names = entry
    config = _app(app)
    return [_model(config, name) for name in names] if names else config.get_models()


def _app(name: str) -> AppConfig:
    configs = list(apps.get_app_configs())
    for config in configs:
        if name in (config.label, config.name):
            return config
    for config in configs:
        if name.lower() in (config.label.lower(), config.name.lower()):
            return config
    raise WrongSetting(
        f"SYNCHRO_MODELS names the app {name!r}, which is neither the label nor the path of an installed app."
    )


def _model(config: AppConfig, name: str) -> type[Model]:
    try:
        return config.get_model(name)
    except LookupError:
        raise WrongSetting(
            f"SYNCHRO_MODELS names the model {name!r}, which the app {config.label!r} does not have."
        ) from None


def _hashable(setting: Any) -> tuple[tuple[str, ...], ...]:
    if not isinstance(setting, list | tuple | set | frozenset):
        raise WrongSetting(f"SYNCHRO_MODELS is {setting!r}; it must be a list, such as [{setting!r}].")
    return tuple(map(_entry, setting))


def _entry(entry: Any) -> tuple[str, ...]:
    """An app, and the names of its models, if any."""
    parts = (entry,) if isinstance(entry, str) else tuple(entry) if isinstance(entry, list | tuple) else ()
    if not parts or not all(isinstance(part, str) for part in parts):
        raise WrongSetting(
            f"SYNCHRO_MODELS holds {entry!r}, neither an app nor a tuple of an app and names of its models."
        )
    return parts
