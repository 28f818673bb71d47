"""How rows of a model are identified: by the same key, by references, or by their nature."""

from __future__ import annotations

from django.contrib.contenttypes.models import ContentType
from django.db.models import Model

from synchro.conf import conf
from synchro.keys import is_automatic, key_fields
from synchro.model_options import model_option
from synchro.natural import KNOWN_BY_NATURE
from synchro.registry import is_watched


def is_known_by_nature(model: type[Model]) -> bool:
    """Return whether the natural key identifies rows of `model`, whatever the settings say."""
    return model._meta.label in KNOWN_BY_NATURE


def uses_same_key(model: type[Model]) -> bool:
    """Return whether the settings say that rows of `model` have the same key on both sides."""
    if is_known_by_nature(model):
        return False
    return bool(model_option(model, "IDENTITY", conf.identity) == "pk")


def keeps_references(model: type[Model]) -> bool:
    """
    Return whether rows of `model` may have another key on REMOTE, which a reference remembers.

    A permission whose codename changes stays the same one, but only where that change is replayed.
    """
    fields = key_fields(model)
    if is_known_by_nature(model) and (model is ContentType or not is_watched(model)):
        return False
    return len(fields) == 1 and is_automatic(fields[0]) and not uses_same_key(model)
