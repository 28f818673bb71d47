"""Fewer apps: Django makes classes of all models of a project for each step of a migration, which takes its time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.test import override_settings

NEEDED = ("django.contrib.auth", "django.contrib.contenttypes", "synchro")


@contextmanager
def only(*apps: str, watched: Sequence[str] = ()) -> Iterator[None]:
    """Inside, the project has these apps and those that synchro needs, and `watched` are its SYNCHRO_MODELS."""
    # In this order: an app that is watched must be there at any time.
    with (
        override_settings(SYNCHRO_MODELS=[]),
        override_settings(INSTALLED_APPS=[*NEEDED, *apps]),
        override_settings(SYNCHRO_MODELS=watched),
    ):
        yield
