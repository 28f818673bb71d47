"""What is wrong with natural keys that others wrote, in words that name the object and say what to do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.exceptions import Culprit, Unidentified
from synchro.keys import Key, to_text
from synchro.natural_parts import NotUsable
from synchro.replay.identity.natural_keys import ambiguous


def name_of(manager: Any) -> str:
    cls = type(manager)
    return f"{cls.__module__}.{cls.__qualname__}"


def unmade(model: type[Model], failed: Mapping[Key, Exception]) -> Unidentified:
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
    return f"{type(error).__name__} ({error})" if isinstance(error, NotUsable) else type(error).__name__


def unfound(model: type[Model], manager: Any, key: Key, error: Exception) -> Unidentified:
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
    names = {"model": model._meta.label, "manager": name_of(manager)}
    text = _(
        "%(model)s: its manager %(manager)s was asked for a row of REMOTE by a natural key, and looked into another "
        "database. Nothing was written. Have its get_queryset() pass on using=self._db, or name the natural key's "
        "fields in SYNCHRO_MODEL_OPTIONS['%(model)s']['NATURAL_KEY'], so that the manager is not asked."
    )
    cause = _("its manager %(manager)s looks into another database") % names
    return Unidentified(text % names, [Culprit(model, key, cause) for key in keys])


def double(model: type[Model], keys: Sequence[Key]) -> Unidentified:
    return ambiguous(model, keys, _("is that of several rows of LOCAL and of one of REMOTE"))
