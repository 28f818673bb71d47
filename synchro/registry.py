"""Which models and tables are watched."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Final

from django.apps import AppConfig, apps
from django.db.models import Model

from synchro.conf import conf, did_you_mean, wrong_values
from synchro.exceptions import WrongSetting
from synchro.keys import AnyField, key_fields
from synchro.model_options import forget_options, model_option, wrong_options
from synchro.natural import forget_natural_keys
from synchro.natural_parts import forget_natural_parts
from synchro.relations import forget_named_models, m2m_fields, same_key_parents
from synchro.shared_tables import forget_shared_tables, set_watched_of, stands_for

#: What an entry of ``SYNCHRO_MODELS`` begins with that leaves a model out.
LEFT_OUT: Final = "-"


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


def skipped_names(model: type[Model]) -> frozenset[str]:
    names: str | Iterable[str] = model_option(model, "SKIP", ())
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
        if str(error) not in map(str, found):
            found.append(error)
    found.extend(wrong_options())
    return found


def watched_tables() -> tuple[Table, ...]:
    return tuple(Table(model) for model in watched_models())


def standing_tables() -> tuple[Table, ...]:
    """Those of `watched_tables` whose models stand for their tables: each table once."""
    return tuple(table for table in watched_tables() if stands_for(table.model) is table.model)


def watched_of(models: Iterable[type[Model]]) -> list[type[Model]]:
    """Of models that have one table, return those that are watched; first the one that stands for them."""
    sharing = set(models)
    return sorted((model for model in watched_models() if model in sharing), key=knowledge)


def knowledge(model: type[Model]) -> tuple[bool, int, bool]:
    """Sort models of one table: declared ones first, then by their columns, then those that migrations make."""
    meta = model._meta
    return bool(meta.auto_created), -len(Table(model).fields), not meta.managed


set_watched_of(watched_of)


def is_watched(model: type[Model]) -> bool:
    return model._meta.concrete_model in _watched_set(_hashable(conf.models))


def same_key_children(model: type[Model]) -> list[type[Model]]:
    """Return the watched models that inherit from `model` and share its key: their entries stand for its rows too."""
    return [child for child in watched_models() if model in same_key_parents(child)]


def same_object_models(model: type[Model]) -> list[type[Model]]:
    """Return the models whose rows are one object with a row of `model`, by multi-table inheritance; `model` first."""
    return [model, *same_key_children(model), *same_key_parents(model)]


def may_become_watched(model: type[Model]) -> bool:
    """Whether a model of a migration, which may get another name in a later one, stands for a watched one."""
    meta = model._meta
    if any(meta.label_lower == found._meta.label_lower for found in watched_models()):
        return True
    if any(meta.db_table == table.name for table in watched_tables()):
        return True
    setting = _hashable(conf.models)
    if any(name.lower() == f"{LEFT_OUT}{meta.label_lower}" for name, *_names in setting):
        return False
    if meta.app_label not in {_app(name).label for name, *_names in setting if not name.startswith(LEFT_OUT)}:
        return False
    own = apps.all_models[meta.app_label].get(str(meta.model_name))
    return own is None or own._meta.db_table != meta.db_table


def is_optional(model: type[Model]) -> bool:
    """Whether nobody asked for this very model, and migrations do not make its table: it may have none, or a view."""
    return not model._meta.managed and model not in _named(_hashable(conf.models))


@lru_cache(maxsize=8)
def _named(setting: tuple[tuple[str, ...], ...]) -> frozenset[type[Model] | None]:
    """The models that are watched by their own names."""
    return frozenset(
        model._meta.concrete_model for entry in setting if len(entry) > 1 for model in _models_of(entry)
    )


@lru_cache(maxsize=8)
def _watched(setting: tuple[tuple[str, ...], ...]) -> tuple[type[Model], ...]:
    found: dict[type[Model], None] = {}
    left_out = {_left_out(name) for name, *_models in setting if name.startswith(LEFT_OUT)}
    for entry in setting:
        for model in () if entry[0].startswith(LEFT_OUT) else _models_of(entry):
            if model._meta.concrete_model not in left_out:
                _add(model, found, left_out)
            elif len(entry) > 1:
                raise WrongSetting(
                    f"SYNCHRO_MODELS names {model._meta.label}, and leaves it out too. Take one of both away."
                )
    return tuple(found)


@lru_cache(maxsize=8)
def _watched_set(setting: tuple[tuple[str, ...], ...]) -> frozenset[type[Model]]:
    return frozenset(_watched(setting))


def forget_cached() -> None:
    """To be called where the set of installed models itself, or what the settings say of them, has changed."""
    _watched.cache_clear()
    _watched_set.cache_clear()
    _named.cache_clear()
    _synchronized.cache_clear()
    forget_options()
    forget_natural_keys()
    forget_shared_tables()
    forget_natural_parts()
    forget_named_models()


def on_setting_changed(setting: str, **_kwargs: Any) -> None:
    """Forget what followed from another value, as tests give it."""
    if setting == "SYNCHRO_MODEL_OPTIONS":
        forget_cached()


def _add(
    model: type[Model] | None, found: dict[type[Model], None], left_out: Collection[type[Model]]
) -> None:
    concrete = model._meta.concrete_model if model else None
    if concrete is None or concrete in found:
        return
    for parent in concrete._meta.all_parents:
        if parent in left_out:
            raise WrongSetting(
                f"SYNCHRO_MODELS leaves {parent._meta.label} out and watches {concrete._meta.label}, which inherits "
                f"from it: its rows cannot travel without those of {parent._meta.label}. Leave out both, or none."
            )
    if concrete._meta.app_label == "synchro":
        raise WrongSetting("SYNCHRO_MODELS names synchro itself, whose tables are never synchronized.")
    for parent in concrete._meta.parents:
        _add(parent, found, left_out)
    found[concrete] = None
    for field in m2m_fields(concrete):
        if field.name not in skipped_names(concrete) and field.remote_field.through not in left_out:
            _add(field.remote_field.through, found, left_out)


def _models_of(entry: tuple[str, ...]) -> Iterable[type[Model]]:
    app, *names = entry
    config = _app(app)
    return [_model(config, name) for name in names] if names else config.get_models()


def _left_out(name: str) -> type[Model]:
    """The model that an entry such as ``"-shop.Log"`` leaves out."""
    app, dot, own = name.removeprefix(LEFT_OUT).rpartition(".")
    if not dot:
        raise WrongSetting(
            f"SYNCHRO_MODELS holds {name!r}; a model is left out by the names of its app and its own, "
            "such as '-shop.Log'."
        )
    model: Any = _model(_app(app), own)
    if model._meta.auto_created:
        raise WrongSetting(
            f"SYNCHRO_MODELS holds {name!r}, the table of a many-to-many field. Name the field in SYNCHRO_SKIP of "
            f"{model._meta.auto_created._meta.label}."
        )
    if model._meta.proxy:
        raise WrongSetting(
            f"SYNCHRO_MODELS holds {name!r}, a proxy. Name {model._meta.concrete_model._meta.label}, "
            "whose rows it shows."
        )
    return model  # type: ignore[no-any-return]


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
        f"{_cure(name, configs)}"
    )


def _cure(name: str, configs: Sequence[AppConfig]) -> str:
    """Say what may have been meant by the name of an app that is none."""
    app, _dot, model = name.rpartition(".")
    owners = [
        (config.label, found._meta.object_name)
        for config in configs
        for found in config.get_models()
        if found._meta.model_name == model.lower()
        and app.lower() in ("", config.label.lower(), config.name.lower())
    ]
    if owners:
        return f" A model is named by a tuple in the list: SYNCHRO_MODELS = [{owners[0]!r}]."
    return did_you_mean(name, [config.label for config in configs])


def _model(config: AppConfig, name: str) -> type[Model]:
    try:
        return config.get_model(name)
    except LookupError:
        raise WrongSetting(
            f"SYNCHRO_MODELS names the model {name!r}, which the app {config.label!r} does not have."
            f"{did_you_mean(name, [str(model._meta.object_name) for model in config.get_models()])}"
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
    if len(parts) > 1 and any(part.startswith(LEFT_OUT) for part in parts):
        raise WrongSetting(
            f"SYNCHRO_MODELS holds {entry!r}; a model is left out by an entry of its own, such as '-shop.Log'."
        )
    return parts
