"""
Stand in for the engine of LOCAL or of a REMOTE that cannot be loaded.

Django loads LOCAL's engine with the first model, and for its own checks that of every database, and ends in a traceback
where one cannot be loaded. With this one in its place `check`, and each command that makes checks, tells it in a
sentence (`synchro.E050`). Where it is a REMOTE's, LOCAL goes on being captured. Whoever uses the database hears the
same sentence.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.utils import load_backend
from django.utils.translation import gettext as _

#: What each alias had as its ENGINE, and why that cannot be loaded.
_reasons: dict[str, tuple[str, str]] = {}


def stand_in(aliases: Iterable[str]) -> None:
    """Take the place of the engines of `aliases` that cannot be loaded."""
    for alias in aliases:
        settings = connections.settings[alias]
        engine = settings["ENGINE"]
        try:
            load_backend(engine)
        except (ImproperlyConfigured, ImportError) as error:
            _reasons[alias] = engine, str(error.__cause__ or error).splitlines()[0]
            settings["ENGINE"] = __name__


def in_words(alias: str) -> str:
    """Say which engine of the database `alias` cannot be loaded, and why; empty where nothing stands in."""
    if alias not in _reasons:
        return ""
    engine, reason = _reasons[alias]
    return _(
        "DATABASES['%(alias)s'] has the ENGINE '%(engine)s', which cannot be loaded: %(reason)s. Correct the name, or "
        "install its driver: pip install 'django-synchro[postgresql]' or 'django-synchro[mysql]'."
    ) % {"alias": alias, "engine": engine, "reason": reason.rstrip(".")}
