"""Errors about natural keys: each names the object, and says what to do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.exceptions import Ambiguous, Culprit, Unidentified
from synchro.keys import Key, to_text
from synchro.natural import natural_names
from synchro.natural_parts import NotUsable


def name_of(manager: Any) -> str:
    """Return the dotted path of a manager's class."""
    cls = type(manager)
    return f"{cls.__module__}.{cls.__qualname__}"


def unmade(model: type[Model], failed: Mapping[Key, Exception]) -> Unidentified:
    """Return the error for objects of which the model's natural_key() raised these."""
    (key, error), *_others = failed.items()
    text = _(
        "%(model)s %(key)s: its natural_key() raised %(error)s. Correct the method, or name other fields in "
        "SYNCHRO_MODEL_OPTIONS['%(model)s']['NATURAL_KEY'] (() for none), and synchronize again."
    )
    names = {"model": model._meta.label, "key": to_text(model, key), "error": in_words(error)}
    return Unidentified(
        text % names,
        [Culprit(model, each, _("its natural_key() raised %s") % in_words(e)) for each, e in failed.items()],
    )


def in_words(error: Exception) -> str:
    """Return the name of an error, with its text only where that is our own: others' texts may hold values."""
    return f"{type(error).__name__} ({error})" if isinstance(error, NotUsable) else type(error).__name__


def unfound(model: type[Model], manager: Any, key: Key, error: Exception) -> Unidentified:
    """Return the error for an object for which the manager raised this."""
    names = {
        "model": model._meta.label,
        "key": to_text(model, key),
        "manager": name_of(manager),
        "error": type(error).__name__,
    }
    text = _(
        "%(model)s %(key)s: %(manager)s.get_by_natural_key() raised %(error)s. Correct the manager, or name fields in "
        "SYNCHRO_MODEL_OPTIONS['%(model)s']['NATURAL_KEY'] (() for none), and synchronize again."
    )
    cause = _("get_by_natural_key() raised %(error)s") % names
    return Unidentified(text % names, [Culprit(model, key, cause)])


def wrong_database(model: type[Model], manager: Any, keys: Collection[Key]) -> Unidentified:
    """Return the error for a manager that looks into another database than it was asked to."""
    names = {"model": model._meta.label, "manager": name_of(manager)}
    text = _(
        "%(model)s: its manager %(manager)s was asked for a row of REMOTE by a natural key, and looked into another "
        "database. Nothing was written. Have its get_queryset() pass on using=self._db, or name the natural key's "
        "fields in SYNCHRO_MODEL_OPTIONS['%(model)s']['NATURAL_KEY'], so that the manager is not asked."
    )
    cause = _("its manager %(manager)s looks into another database") % names
    return Unidentified(text % names, [Culprit(model, key, cause) for key in keys])


def ambiguous(model: type[Model], keys: Collection[Key], problem: str) -> Ambiguous:
    """Return the error that names these objects of LOCAL, and what can be done."""
    names = natural_names(model)
    fields = f" ({', '.join(names)})" if names else ""
    label = model._meta.label
    text = _(
        "%(model)s %(keys)s: its natural key%(fields)s %(problem)s, and none is taken by chance. Make the natural key "
        "unique on both sides, or name one that is in SYNCHRO_MODEL_OPTIONS['%(model)s']['NATURAL_KEY'] (() for "
        "none: then a row without a reference is a new one)."
    )
    named = ", ".join(to_text(model, key) for key in keys)
    return Ambiguous(
        text % {"model": label, "keys": named, "fields": fields, "problem": problem},
        [Culprit(model, key, _("its natural key %s") % problem) for key in keys],
    )


def double(model: type[Model], keys: Sequence[Key]) -> Ambiguous:
    """Return the error for several rows of LOCAL with one natural key."""
    return ambiguous(model, keys, _("is that of several rows of LOCAL and of one of REMOTE"))
