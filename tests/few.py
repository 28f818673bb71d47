"""Fewer apps: Django makes classes of all models of a project for each step of a migration, which takes its time."""

from __future__ import annotations

from django.test import override_settings

NEEDED = ("django.contrib.auth", "django.contrib.contenttypes", "dbsettings", "synchro")


def only(*apps: str) -> override_settings:
    """Inside, the project has these apps and those that synchro needs."""
    return override_settings(INSTALLED_APPS=[*NEEDED, *apps])
