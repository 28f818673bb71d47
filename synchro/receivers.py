"""
Receivers: whose code runs for REMOTE's objects.

``SYNCHRO_RECEIVERS``, and the attribute of the same name of a model, choose among the receivers of signals and the
overridden `save()` and `delete()` methods of the watched models.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from django.apps import AppConfig, apps
from django.db.models import Model
from django.db.models.signals import ModelSignal, m2m_changed, post_delete, post_save, pre_delete, pre_save

from synchro.conf import RECEIVERS, conf, is_choice_of_receivers
from synchro.exceptions import WrongSetting
from synchro.model_options import model_option, names_option

SIGNALS: Final = (pre_save, post_save, pre_delete, post_delete, m2m_changed)

#: What a model may override, by the verb that it is for.
METHODS: Final = {"save": ("save", "save_base"), "delete": ("delete",)}

#: Packages whose code knows of several databases.
OURS: Final = ("django", "synchro", "django_spicy_id")

Receiver: TypeAlias = Callable[..., Any]


@dataclass(frozen=True)
class Choice:
    """What ``SYNCHRO_RECEIVERS`` says: all or nothing, and what is named besides."""

    #: Whether what is not named runs.
    all: bool
    #: Whether receivers are called with ``raw=True``, and no method of a model's own runs.
    raw: bool
    named: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @classmethod
    def of(cls, value: Any) -> Choice:
        """The choice that a setting's value makes."""
        return _parsed((value,) if isinstance(value, str) else tuple(value))

    @property
    def is_none(self) -> bool:
        return not self.all and not self.named

    def runs(self, paths: tuple[str, ...], model: type[Model]) -> bool:
        """Whether the code at one of these dotted paths runs for objects of `model`."""
        if any(_means(name, paths, model) for name in self.left_out):
            return False
        return self.all or any(_means(name, paths, model) for name in self.named)


@lru_cache(maxsize=256)
def _parsed(names: tuple[str, ...]) -> Choice:
    return Choice(
        all="all" in names or "raw" in names,
        raw="raw" in names,
        named=tuple(name for name in names if name not in RECEIVERS and not name.startswith("-")),
        left_out=tuple(name.removeprefix("-") for name in names if name.startswith("-")),
    )


def choice_for(model: type[Model]) -> Choice:
    """
    What runs for objects of `model`. Of an automatic many-to-many table the model decides that declares the field.

    Raises `WrongSetting` where the model's own attribute is no choice.
    """
    declaring = _declaring(model)
    value = model_option(declaring, "RECEIVERS")
    if value is None:
        return Choice.of(conf.receivers)
    allowed, words = is_choice_of_receivers
    if not allowed(value):
        where = names_option(declaring, "RECEIVERS")
        raise WrongSetting(f"{where} of {declaring._meta.label} is {value!r}; it {words}.")
    return Choice.of(value)


def setting_without(model: type[Model], path: str | None) -> str:
    """How to write the setting, or the model's attribute, so that this code is left out; all code without a path."""
    declaring = _declaring(model)
    own = model_option(declaring, "RECEIVERS")
    present = conf.receivers if own is None else own
    names = [present] if isinstance(present, str) else list(present)
    value = "'none'" if path is None else repr([*names, f"-{package_of(path) or path}"])
    if own is None:
        return f"SYNCHRO_RECEIVERS = {value}"
    where = names_option(declaring, "RECEIVERS")
    return f"{where} = {value}" + (f" in {declaring._meta.label}" if where == "SYNCHRO_RECEIVERS" else "")


def _declaring(model: type[Model]) -> type[Model]:
    automatic_for: Any = model._meta.auto_created
    return automatic_for or model


# -- what there is ---------------------------------------------------------------------------------------------


def receivers(signal: ModelSignal, sender: type[Model]) -> tuple[list[Receiver], list[Receiver]]:
    """The plain and the asynchronous receivers that run for objects of `sender`; ours are none of them."""
    plain, asynchronous = type(signal)._live_receivers(signal, sender)
    choice = choice_for(sender)
    return _chosen(plain, choice, sender), _chosen(asynchronous, choice, sender)


def method(model: type[Model], verb: str) -> str | None:
    """The dotted path of the method of the model's own that runs for its objects; None where Django's does."""
    choice = choice_for(model)
    if choice.raw:
        return None
    for path, paths in overridden(model, verb):
        if choice.runs(paths, model):
            return path
    return None


def overridden(model: type[Model], verb: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The methods that `model` overrides, each by its path, and all the paths that it may be named by."""
    for name in METHODS[verb]:
        found = getattr(model, name)
        if found is not getattr(Model, name):
            path = path_of(found)
            yield path, (path, f"{model.__module__}.{model.__qualname__}.{name}")


def all_receivers(model: type[Model]) -> Iterator[str]:
    """The dotted paths of all that listens to `model`, whatever is chosen."""
    for signal in SIGNALS:
        if (signal is m2m_changed) == bool(model._meta.auto_created):
            for several in type(signal)._live_receivers(signal, model):
                yield from (path for path in map(path_of, several) if not _is_ours(path))


def path_of(code: Any) -> str:
    """The dotted path of a function, a method, or the class of an object that can be called."""
    if isinstance(code, partial):
        return path_of(code.func)
    if not hasattr(code, "__qualname__"):
        code = type(code)
    return f"{code.__module__}.{code.__qualname__}"


def package_of(path: str) -> str | None:
    """The label of the app, or the name of the package, where the code does not lie in the project; else None."""
    if path.partition(".")[0] in OURS:
        return None
    parts = path.split(".")
    for end in range(len(parts) - 1, 0, -1):
        module = sys.modules.get(".".join(parts[:end]))
        if module is not None:
            place = Path(getattr(module, "__file__", None) or "")
            if {"site-packages", "dist-packages"}.isdisjoint(place.parts):
                return None
            app = apps.get_containing_app_config(path)
            return parts[0] if app is None else app.label
    return None


def _chosen(found: Iterable[Receiver], choice: Choice, sender: type[Model]) -> list[Receiver]:
    if choice.is_none:
        return []
    several = [(receiver, path_of(receiver)) for receiver in found]
    return [receiver for receiver, path in several if not _is_ours(path) and choice.runs((path,), sender)]


def _is_ours(path: str) -> bool:
    return path.startswith("synchro.signals.")


# -- what a name means -----------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _means(name: str, paths: tuple[str, ...], model: type[Model]) -> bool:
    app = app_named(name)
    if app is not None:
        return any(apps.get_containing_app_config(path) is app for path in paths)
    named = model_named(name)
    if named is not None and named is _declaring(model)._meta.concrete_model:
        return True
    return any(path == name or path.startswith(f"{name}.") for path in paths)


def app_named(name: str) -> AppConfig | None:
    """The app with this label or path."""
    configs = list(apps.get_app_configs())
    return next((app for app in configs if name.lower() in (app.label.lower(), app.name.lower())), None)


def model_named(name: str) -> type[Model] | None:
    """The concrete model with this label, such as ``shop.Order``."""
    label, _dot, model_name = name.rpartition(".")
    app = app_named(label)
    if app is None:
        return None
    try:
        model: type[Model] | None = app.get_model(model_name)._meta.concrete_model
    except LookupError:
        return None
    return model
