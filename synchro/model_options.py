"""
Options of a model: what the project's ``SYNCHRO_MODEL_OPTIONS`` says of it, or else the attributes of its class.

The setting is for models that one did not write. It says the same as an attribute on the class would, and comes first;
a child of multi-table inheritance has the options of its parents, as it has their attributes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

from django.apps import apps
from django.db.models import Model

from synchro.conf import conf
from synchro.exceptions import WrongSetting

#: The names of all options; the attribute of a class has ``SYNCHRO_`` before it.
OPTIONS: Final = ("SKIP", "IDENTITY", "CONFLICT", "RECEIVERS", "KEYS", "NATURAL_KEY")


def model_option(model: type[Model], name: str, default: Any = None) -> Any:
    """Return the value of one of `OPTIONS` for `model`; `default` where nobody gives it one."""
    assert name in OPTIONS, name
    attribute = f"SYNCHRO_{name}"
    by_label = _by_label()
    if not by_label:
        return getattr(model, attribute, default)
    for cls in model.__mro__:
        meta = vars(cls).get("_meta")
        options = by_label.get(meta.label_lower) if meta is not None else None
        if options and name in options:
            return options[name]
        if attribute in vars(cls):
            return getattr(cls, attribute)
    return default


def names_option(model: type[Model], name: str) -> str:
    """Return how a message names the place where the option stands."""
    options = _by_label().get(model._meta.label_lower, {})
    if name in options:
        return f"SYNCHRO_MODEL_OPTIONS[{model._meta.label!r}][{name!r}]"
    return f"SYNCHRO_{name}"


def models_with_options() -> list[type[Model]]:
    """Return the models that the setting names."""
    return [apps.get_model(label) for label in _by_label()]


def wrong_options() -> Iterator[WrongSetting]:
    """Yield what is wrong with the form of the setting, one error each. What its values are is a check's matter."""
    try:
        chosen = conf.model_options
    except WrongSetting:
        return  # one of the wrong values
    for label, options in chosen.items():
        if error := _wrong_label(label) or _wrong_names(label, options):
            yield WrongSetting(error)


def _wrong_label(label: Any) -> str | None:
    if not isinstance(label, str) or label.count(".") != 1:
        return (
            f"SYNCHRO_MODEL_OPTIONS names {label!r}; name a model by its app's label, such as 'shop.Order'."
        )
    try:
        model = apps.get_model(label)
    except LookupError:
        known = {each._meta.label_lower: each._meta.label for each in apps.get_models()}
        alike = get_close_matches(label.lower(), known, n=1)
        hint = f" Did you mean {known[alike[0]]!r}?" if alike else ""
        return f"SYNCHRO_MODEL_OPTIONS names the model {label!r}, which no installed app has.{hint}"
    if model._meta.auto_created:
        return (
            f"SYNCHRO_MODEL_OPTIONS names {label!r}, the table of a many-to-many field. "
            f"Name {model._meta.auto_created._meta.label!r}, which declares the field."
        )
    if model._meta.proxy:
        return (
            f"SYNCHRO_MODEL_OPTIONS names the proxy {label!r}. "
            f"Name {model._meta.concrete_model._meta.label!r}, whose rows it shows."
        )
    return None


def _wrong_names(label: str, options: Any) -> str | None:
    if not isinstance(options, Mapping):
        return (
            f"SYNCHRO_MODEL_OPTIONS[{label!r}] is {options!r}; it must be a dictionary, "
            "such as {'IDENTITY': 'pk'}."
        )
    for name in options:
        if name not in OPTIONS:
            alike = get_close_matches(str(name).upper().removeprefix("SYNCHRO_"), OPTIONS, n=1)
            hint = f"did you mean {alike[0]!r}?" if alike else f"there are {', '.join(OPTIONS)}."
            return f"SYNCHRO_MODEL_OPTIONS[{label!r}] has {name!r}, which is no option: {hint}"
    return None


@cache
def _by_label() -> dict[str, Mapping[str, Any]]:
    chosen = conf.model_options.items()
    return {str(label).lower(): options for label, options in chosen if isinstance(options, Mapping)}


def forget_options() -> None:
    """To be called when the setting has changed, as it does in tests."""
    _by_label.cache_clear()
