"""A LOCAL whose schema changes by migrations that a test writes, in its own app and in somebody else's."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.apps import apps
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection, migrations
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.writer import MigrationWriter
from django.db.models import Model
from django.test import override_settings

from synchro.models import ChangeLog
from synchro.triggers.base import stem_for
from tests.evolving.history import History
from tests.evolving.schema import APP
from tests.triggers.conftest import install

#: An app of which nothing is watched.
BYSTANDER = "moving"


class Project(History):
    """The app of random histories, on LOCAL alone, with whatever migrations a test wants."""

    def __init__(self, folder: Path) -> None:
        super().__init__("", folder, by_triggers=True, aliases=("default",), more_apps=("tests.moving",))
        self.bystander = f"bystander_{uuid4().hex}"

    @contextmanager
    def begun(self) -> Iterator[None]:
        package = self.folder.parent / self.bystander
        package.mkdir()
        (package / "__init__.py").touch()
        self.bystander_number = 0
        modules = {**settings.MIGRATION_MODULES, BYSTANDER: self.bystander}
        with override_settings(SYNCHRO_CAPTURE="triggers", MIGRATION_MODULES=modules), super().begun():
            install()
            ChangeLog.objects.all().delete()
            try:
                yield
            finally:
                install("--uninstall")
                MigrationRecorder(connection).migration_qs.filter(app=BYSTANDER).delete()

    def migrate_by(self, *operations: Operation, atomic: bool = True, app: str = APP) -> None:
        """Have these operations as the next migration of an app, and run `migrate`."""
        if app == APP:
            self._write_migrations([[*operations]], atomic=atomic)
            self.deploy()
        else:
            self.bystander_number += 1
            self._write_of_bystander(operations)
        call_command("migrate", app, verbosity=0)

    def _write_of_bystander(self, operations: tuple[Operation, ...]) -> None:
        number = self.bystander_number
        needed = [(BYSTANDER, f"m{number - 1:04}")] if number > 1 else []
        parts = {"operations": [*operations], "dependencies": needed}
        made = type("Migration", (migrations.Migration,), parts)(f"m{number:04}", BYSTANDER)
        text = MigrationWriter(made, include_header=False).as_string()
        (self.folder.parent / self.bystander / f"m{number:04}.py").write_text(text)
        importlib.invalidate_caches()

    def model(self, name: str) -> type[Model]:
        return apps.get_model(APP, name)


def table_has_triggers(table: str) -> bool:
    from synchro.triggers import triggers_for

    return stem_for(table) in triggers_for(connection).stems()


def logged(*models: str) -> list[tuple[str, str, int, Any]]:
    """Model, key, action and fields of what has been logged since, which is forgotten."""
    ContentType.objects.clear_cache()
    found = [
        (one.content_type.model, one.object_id, one.action, one.fields)
        for one in ChangeLog.objects.order_by("id")
        if not models or one.content_type.model in models
    ]
    ChangeLog.objects.all().delete()
    return found
