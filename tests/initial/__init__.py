"""
Initial migrations of the test apps, made from their models when they are loaded.

Apps without migrations are created before those that have some, and so cannot point at content types on a
server that checks foreign keys at once.
"""

from __future__ import annotations

from functools import cache

from django.apps import apps
from django.db.migrations import Migration
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.state import ProjectState


def initial_migration(label: str) -> type[Migration]:
    """The one migration that creates all tables of the app `label`, which may point at those of other apps."""
    made = _changes(tuple(apps.app_configs)).get(label, [])
    own = {(label, migration.name) for migration in made}
    others = {dependency for migration in made for dependency in migration.dependencies} - own
    return type(
        "Migration",
        (Migration,),
        {
            "initial": True,
            "dependencies": sorted((app, "__first__") for app in {app for app, _name in others} - {label}),
            "operations": [operation for migration in made for operation in migration.operations],
        },
    )


@cache
def _changes(_labels: tuple[str, ...]) -> dict[str, list[Migration]]:
    """Of the apps that are installed, which are named so that another set of them has its own."""
    changes: dict[str, list[Migration]] = MigrationAutodetector(
        ProjectState(), ProjectState.from_apps(apps)
    )._detect_changes()
    return changes
