"""Checks of `SYNCHRO_RECEIVERS`: which code runs for REMOTE's objects and perhaps should not, and names of none."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import Any, Final

from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning
from django.db.models import Model

from synchro.checks.guard import when_settings_are_right
from synchro.conf import conf, is_choice_of_receivers
from synchro.model_options import model_option
from synchro.receivers import (
    METHODS,
    Choice,
    all_receivers,
    app_named,
    choice_for,
    model_named,
    overridden,
    package_of,
)
from synchro.registry import watched_models

#: Packages whose receivers write histories, or audits, into tables of their own by way of LOCAL.
HISTORIES: Final = ("simple_history", "auditlog", "easyaudit", "field_history")
#: Packages whose trees number other rows by SQL, of which no signal tells.
TREES: Final = ("mptt", "treebeard")
#: How many models a message names.
MOST: Final = 5


@when_settings_are_right
def check_receivers(**_kwargs: Any) -> list[CheckMessage]:
    models = watched_models()
    wrong = [message for model in models for message in _wrong_choice(model)]
    if wrong:
        return wrong
    return [*_unknown_names(models), *_others(models), *_trees(models)]


def _wrong_choice(model: type[Model]) -> Iterator[CheckMessage]:
    value = model_option(model, "RECEIVERS")
    allowed, words = is_choice_of_receivers
    if value is not None and not allowed(value):
        yield Error(f"SYNCHRO_RECEIVERS is {value!r}.", hint=f"It {words}.", obj=model, id="synchro.E040")


# -- names that are nobody's -----------------------------------------------------------------------------------


def _unknown_names(models: Collection[type[Model]]) -> Iterator[CheckMessage]:
    asked: dict[str, Any] = dict.fromkeys(_names(conf.receivers))
    for model in models:
        for name in _names(model_option(model, "RECEIVERS")):
            asked.setdefault(name, model)
    for name, obj in asked.items():
        if app_named(name) is None and model_named(name) is None and not _names_code(name):
            yield Warning(
                f"SYNCHRO_RECEIVERS names {name!r}, which is no app, no model, no receiver that is connected, and no "
                "save() or delete() of a model.",
                hint=_alike(name),
                obj=obj,
                id="synchro.W040",
            )


def _names(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    choice = Choice.of(value)
    return (*choice.named, *choice.left_out)


def _names_code(name: str) -> bool:
    return any(path == name or path.startswith(f"{name}.") for path in _all_paths())


def _all_paths() -> Iterator[str]:
    for model in apps.get_models(include_auto_created=True):
        yield from all_receivers(model)
        for verb in METHODS:
            for _path, several in overridden(model, verb):
                yield from several


def _alike(name: str) -> str:
    known = {app.label for app in apps.get_app_configs()} | {model._meta.label for model in apps.get_models()}
    found = get_close_matches(name, known | set(_all_paths()), n=1)
    if found:
        return f"Did you mean {found[0]!r}?"
    return "A receiver is named by the path of its function, such as 'shop.receivers.update_index'."


# -- code of others --------------------------------------------------------------------------------------------


def _others(models: Collection[type[Model]]) -> Iterator[CheckMessage]:
    """Give one message for all histories, and one for all the rest."""
    found: dict[str, dict[str, None]] = {}
    for model in models:
        for path in _running(model):
            package = package_of(path)
            if package is not None:
                found.setdefault(package, {})[model._meta.label] = None
    histories = {name: labels for name, labels in found.items() if name in HISTORIES}
    if histories:
        yield Warning(
            f"Receivers of {_in_words(histories)} run for REMOTE's objects, and would write their histories into "
            "LOCAL: runs stop there.",
            hint=f"Watch their tables like any other, and leave the receivers out: {_without(histories)}.",
            id="synchro.W041",
        )
    rest = {name: labels for name, labels in found.items() if name not in HISTORIES}
    if rest:
        yield Warning(
            f"Code of other packages runs for REMOTE's objects: {_in_words(rest)}. Where it uses LOCAL, runs stop.",
            hint=f"Leave out what does not have to run there: {_without(rest)}. See docs/receivers.md.",
            id="synchro.W042",
        )


def _trees(models: Collection[type[Model]]) -> Iterator[CheckMessage]:
    if conf.capture != "signals":
        return
    found: dict[str, dict[str, None]] = {}
    for model in models:
        for package in {base.__module__.partition(".")[0] for base in model.__mro__}.intersection(TREES):
            found.setdefault(package, {})[model._meta.label] = None
    if found:
        yield Warning(
            f"Trees of {_in_words(found)} number other rows by SQL that sends no signals: what it changes on LOCAL is "
            "not captured, and stays different on REMOTE.",
            hint="Use SYNCHRO_CAPTURE = 'triggers'.",
            id="synchro.W043",
        )


def _running(model: type[Model]) -> Iterator[str]:
    """Yield the paths of all code that runs for REMOTE's objects of `model`."""
    choice = choice_for(model)
    if choice.is_none:
        return
    yield from (path for path in all_receivers(model) if choice.runs((path,), model))
    if not choice.raw and not model._meta.auto_created:
        for verb in METHODS:
            for path, paths in overridden(model, verb):
                if choice.runs(paths, model):
                    yield path


def _in_words(found: dict[str, dict[str, None]]) -> str:
    return ", ".join(f"{name} ({_some(list(labels))})" for name, labels in sorted(found.items()))


def _some(labels: list[str]) -> str:
    more = f" and {len(labels) - MOST} more" if len(labels) > MOST else ""
    return ", ".join(labels[:MOST]) + more


def _without(found: dict[str, dict[str, None]]) -> str:
    present = conf.receivers
    names = [present] if isinstance(present, str) else list(present)
    base = [name for name in names if name != "none"]
    return f"SYNCHRO_RECEIVERS = {[*base, *(f'-{name}' for name in sorted(found))]!r}"
