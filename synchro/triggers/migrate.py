"""
Triggers and migrations.

A trigger that names a column which a migration removes or renames stops every write to its table, or the
migration; and SQLite loses the triggers of a table that is rebuilt. So while `migrate` is at work, the schema
editor keeps the triggers of each table that it alters out of its own way (`synchro.triggers.editor`): before, it
rewrites them so that they name nothing but the key, and captures go on with the fields unknown; after, it makes
those it removed or lost again, also where the alteration failed, in the same transaction where the engine has
transactions for this. A column that is added is therefore seen from the moment it exists, and a new table that is
watched gets triggers at once. What other SQL alters is seen by `synchro.triggers.watch`. What data migrations write
in between is captured, and a migration that fails half way leaves working triggers behind.

When all migrations are done, the triggers get their columns back, from the columns that the tables really
have then.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import apps as installed_apps
from django.apps.registry import Apps
from django.core.management.base import CommandError
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.operations import RunPython, RunSQL, SeparateDatabaseAndState
from django.db.migrations.operations.base import Operation

from synchro.backends import backend_for
from synchro.conf import LOCAL, conf
from synchro.exceptions import NotReady
from synchro.registry import watched_tables
from synchro.triggers import triggers_for
from synchro.triggers.base import SWITCHED_OFF, stem_for
from synchro.triggers.editor import keep_triggers
from synchro.triggers.install import PATIENCE, Finding, gap_of, install, survey
from synchro.triggers.watch import Watch


def before_migrate(
    sender: Any,
    using: str,
    plan: Iterable[tuple[Migration, bool]] = (),
    apps: Apps | None = None,
    **kwargs: Any,
) -> None:
    """Receives ``pre_migrate``, of synchro's own app, so once."""
    connection = connections[using]
    try:
        backend = triggers_for(connection)
    except NotReady:
        return  # an engine without triggers
    keep_triggers(connection)
    if (before := Watch.of(connection)) is not None:
        before.end()
    if not backend.is_ready():
        return
    # What is about to be written into new tables is captured where there was something to synchronize before. (The
    # first `migrate` of a project fills both databases alike, each by itself.)
    captures_new = using == LOCAL and conf.capture == "triggers"
    models = [
        model
        for registry in dict.fromkeys((apps or installed_apps, installed_apps))
        for model in registry.get_models(include_auto_created=True)
        if model._meta.managed or registry is installed_apps
        if not model._meta.proxy
    ]
    watch = Watch(connection, models, captures_new)
    watch.begin()
    if not backend.rewriting_waits and any(
        _is_raw(one) for migration, _ in plan for one in migration.operations
    ):
        watch.prepare()


def after_migrate(sender: Any, using: str, **kwargs: Any) -> None:
    """
    Receives ``post_migrate``, of synchro's own app, so once.

    LOCAL in trigger mode gets all its triggers; any other database those tables' that had some. Triggers on a
    table that the models do not know stay: it may be one whose new name is in a migration that has not been
    applied yet.
    """
    connection = connections[using]
    try:
        backend = triggers_for(connection)
    except NotReady:
        return
    if (watch := Watch.of(connection)) is not None:
        watch.end()
    own = installed_apps.get_app_config("synchro").get_models()
    backend_for(connection).keep_texts_exact([model._meta.db_table for model in own])
    everything = using == LOCAL and conf.capture == "triggers"
    if everything and backend.is_ready() and backend.is_switched_off():
        warnings.warn(SWITCHED_OFF.format(using), RuntimeWarning, stacklevel=2)
        backend.switch_on()
    of_no_use = _stems_of_unwatched(watch) if watch is not None and watch.captures_new else frozenset()
    failed = []
    for finding in survey(connection, create_content_types=everything).findings:
        if finding.is_right or not (everything or finding.had_some):
            continue
        if not finding.is_left_over or finding.is_superseded or finding.stem in of_no_use:
            try:
                _bring_up_to_date(connection, finding)
            except (DatabaseError, NotReady) as error:
                failed.append((finding, error))
    if failed:
        _tell(failed)


def _bring_up_to_date(connection: BaseDatabaseWrapper, finding: Finding) -> None:
    install(connection, finding.stem, PATIENCE)
    if columns := finding.unseen_columns:
        warnings.warn(unseen(finding, columns), RuntimeWarning, stacklevel=2)


def _stems_of_unwatched(watch: Watch) -> frozenset[str]:
    """Return what begins the names of triggers of new tables that are not watched in the end."""
    watched = {table.name for table in watched_tables()}
    models = installed_apps.get_models(include_auto_created=True)
    tables = {model._meta.db_table for model in models} - watched - watch.former
    return frozenset(map(stem_for, tables))


def _tell(failed: Sequence[tuple[Finding, Exception]]) -> None:
    """
    Say which tables lack triggers, or columns in them.

    Raises `CommandError` where changes are not captured.
    """
    tables = "; ".join(f"{finding.label} ({str(error).strip()})" for finding, error in failed)
    if all(gap_of(finding) == "" for finding, _ in failed):
        message = (
            f"The migrations are applied. Triggers could not be brought up to date: {tables}. Changes are captured all "
            "the same. Run 'manage.py synchro_install_triggers'."
        )
        warnings.warn(message, RuntimeWarning, stacklevel=3)
        return
    raise CommandError(
        f"The migrations are applied, but triggers could not be made, so changes of these tables are not captured: "
        f"{tables}. Run 'manage.py synchro_install_triggers' before anybody writes, or compare these tables in both "
        "databases then; and run 'manage.py migrate' once more, for what other apps do at its end."
    )


def unseen(finding: Finding, columns: Iterable[str]) -> str:
    """Return a sentence about changes that may not have been captured until now."""
    return (
        f"The triggers of {finding.label} did not know the columns {', '.join(columns)} until now: what was changed in "
        "them before is not in the log. Compare these columns in both databases."
    )


def _is_raw(operation: Operation) -> bool:
    """Whether nobody can tell what it does to which table."""
    if isinstance(operation, SeparateDatabaseAndState):
        return any(map(_is_raw, operation.database_operations))
    own = type(operation).__module__.startswith("django.")
    return not own or isinstance(operation, RunSQL | RunPython)
