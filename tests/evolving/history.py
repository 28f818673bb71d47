"""A random history: writes on LOCAL, migrations of both databases, and runs, in any order."""

from __future__ import annotations

import importlib
import random
import re
import sys
import warnings
from ast import literal_eval
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from uuid import uuid4

from django.apps import apps
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connections, migrations
from django.db.migrations import RunPython
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState
from django.db.migrations.writer import MigrationWriter
from django.db.models import AutoField, Model
from django.test import override_settings

from synchro.backends import backend_for
from synchro.core import call_synchronize
from synchro.exceptions import NotReady, Refused
from synchro.registry import forget_cached
from synchro.triggers import triggers_for
from tests.evolving import fills
from tests.evolving.past_editor import by_other_ways, execute_as_another_client, of_a_client
from tests.evolving.schema import APP, Step, Steps, first_step, names
from tests.evolving.writing import Writing
from tests.fewer_apps import only

LOCAL, REMOTE = "default", "remote"


class History:
    def __init__(
        self,
        seed: object,
        folder: Path,
        by_triggers: bool,
        aliases: tuple[str, ...] = (LOCAL, REMOTE),
        more_apps: tuple[str, ...] = (),
    ) -> None:
        self.chance = random.Random(str(seed))
        self.aliases, self.more_apps = aliases, more_apps
        self.by_triggers = by_triggers
        self.writing = Writing(self.chance, by_triggers)
        self.state = ProjectState()
        self.package = f"evolving_{uuid4().hex}"
        self.folder = folder / self.package
        self.number = 0
        self.told: list[str] = []
        #: Models and columns of which a warning has told that their changes were not seen.
        self.unseen: list[tuple[str, list[str]]] = []

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Inside, the project has the app, and both databases the tables of its first migration."""
        self.folder.mkdir()
        (self.folder / "__init__.py").touch()
        modules = {**settings.MIGRATION_MODULES, APP: self.package}
        sys.path.insert(0, str(self.folder.parent))
        try:
            with (
                only("tests.evolving", *self.more_apps, watched=[APP]),
                override_settings(MIGRATION_MODULES=modules, SYNCHRO_MODEL_OPTIONS={}),
            ):
                try:
                    self.evolve(first_step())
                    yield
                finally:
                    self._remove_all()
        finally:
            sys.path.remove(str(self.folder.parent))
            if REMOTE in self.aliases:
                self._install_triggers()  # of the models that all other tests are about

    # -- steps -----------------------------------------------------------------------------------------------------

    def go(self, steps: int) -> None:
        for _ in range(steps):
            step = self.chance.choice([self.write, self.write, self.migrate, self.migrate, self.run])
            step()

    def write(self) -> None:
        self.told.append("write")
        self.writing.write(self.models(), self.chance.randint(1, 6))

    def run(self) -> None:
        """Synchronize; where a run says what the settings lack, do as it says."""
        self.told.append("run")
        for _ in range(10):
            try:
                call_synchronize()
            except NotReady as error:
                _text, is_said, options = str(error).partition("SYNCHRO_MODEL_OPTIONS = ")
                if not is_said:
                    raise
                self.told.append(f"  {error}")
                settings.SYNCHRO_MODEL_OPTIONS.update(literal_eval(options.removesuffix(".")))
                _forget_what_followed()
            else:
                return

    def migrate(self) -> None:
        kind, step = Steps(self.chance, self.state).draw()
        if self.by_triggers and len(step) == 1:
            way, operations = by_other_ways(self.chance, self.state, step[0])
            kind, step = f"{kind} by {way}" if way else kind, [operations]
        self.told.append(f"migrate: {kind}: {names(step)}")
        self.evolve(step)

    def evolve(self, step: Step) -> None:
        for operation in step[0] if len(step) == 1 else ():
            self._alter_as_another_client(of_a_client(operation, self.state.apps))
        self._write_migrations(step)
        self.deploy()
        order = self.chance.choice([self.aliases, self.aliases[::-1]])
        for alias in order:
            fills.chance, fills.past_django = self.chance, self.by_triggers
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                call_command("migrate", APP, database=alias, verbosity=0)
            self._hear([str(one.message) for one in warned])
            if alias != order[-1] and self.number > 1 and self.chance.random() < 0.3:
                self._run_in_between()
        if REMOTE in self.aliases:
            self._number_differently()
        self._install_triggers()

    def _alter_as_another_client(self, sql: list[str]) -> None:
        """As the documentation has it: triggers go before a column does, and come again after it."""
        if not sql:
            return
        removes = "ADD COLUMN" not in sql[0]
        for alias in self.aliases:
            if removes:
                call_command("synchro_install_triggers", "--uninstall", database=alias, stdout=StringIO())
            execute_as_another_client(alias, sql)
        if not removes:
            self.write()

    def _hear(self, warned: list[str]) -> None:
        """Do what warnings say: of columns whose changes were not seen, give all rows others."""
        for told in warned:
            if "Could not rename content type" in told:
                continue  # a model that is gone had the name before; Django leaves its content type where it is
            found = re.match(r"The triggers of (\S+) did not know the columns (.*?) until now", told)
            assert found is not None, told
            self.told.append(f"  {told}")
            self.unseen.append((found[1], found[2].split(", ")))

    def compare_what_was_not_seen(self) -> None:
        for label, columns in self.unseen:
            with suppress(LookupError):
                model = apps.get_model(label)
                fields = [field for field in model._meta.local_concrete_fields if field.column in columns]
                for row in model._base_manager.all():
                    self.writing.set(row, fields)
        self.unseen.clear()

    def _install_triggers(self) -> None:
        if self.by_triggers:
            for alias in self.aliases:
                call_command("synchro_install_triggers", database=alias, stdout=StringIO())

    def _run_in_between(self) -> None:
        self.told.append("run in between")
        try:
            call_synchronize()
        except (NotReady, Refused) as error:  # REMOTE may still require a column that LOCAL has no more
            self.told.append(f"  {error}")

    # -- schema ----------------------------------------------------------------------------------------------------

    def models(self) -> list[type[Model]]:
        return list(apps.get_app_config(APP).get_models())

    def _write_migrations(self, step: Step, atomic: bool = True) -> None:
        for operations in step:
            self.number += 1
            parts = {"operations": operations, "dependencies": []}
            if self.number > 1:
                parts["dependencies"] = [(APP, f"m{self.number - 1:04}")]
            has_code = any(isinstance(one, RunPython) for one in operations)
            parts["atomic"] = atomic and not (has_code and len(operations) > 1)
            made = type("Migration", (migrations.Migration,), parts)(f"m{self.number:04}", APP)
            text = MigrationWriter(made, include_header=False).as_string()
            if not parts["atomic"]:
                text = text.rstrip() + "\n\n    atomic = False\n"
            (self.folder / f"m{self.number:04}.py").write_text(text)
            for operation in operations:
                self.state = self.state.clone()
                operation.state_forwards(APP, self.state)
        importlib.invalidate_caches()

    def deploy(self) -> None:
        """From now on the models are those that the migrations come to."""
        _forget_models()
        for (app, _name), model in self.state.models.items():
            if app == APP:
                model.render(apps)
        gone = {
            label
            for label in settings.SYNCHRO_MODEL_OPTIONS
            if label.split(".")[1].lower() not in apps.all_models[APP]
        }
        for label in gone:
            del settings.SYNCHRO_MODEL_OPTIONS[label]
        _forget_what_followed()

    def _number_differently(self) -> None:
        """Have REMOTE hand out other keys, of each table that is new there."""
        connection = connections[REMOTE]
        with backend_for(connection).capture_off():
            for model in self.models():
                rows = model._base_manager.using(REMOTE)
                ends = [f for f in model._meta.local_fields if f.remote_field is not None and not f.null]
                if isinstance(model._meta.pk, AutoField) and not ends and not rows.exists():
                    rows.create().delete()

    def _remove_all(self) -> None:
        for alias in self.aliases:
            connection = connections[alias]
            MigrationRecorder(connection).migration_qs.filter(app=APP).delete()
            backend = triggers_for(connection)
            tables = {model._meta.db_table for model in self._all_models()}
            backend.exchange((), [one for one in backend.installed() if one.table in tables], 60)
            with connection.constraint_checks_disabled(), connection.cursor() as cursor:
                for table in tables & {*connection.introspection.table_names(cursor)}:
                    cascade = " CASCADE" if connection.vendor == "postgresql" else ""
                    cursor.execute(f"DROP TABLE {connection.ops.quote_name(table)}{cascade}")
            ContentType.objects.using(alias).filter(app_label=APP).delete()
        _forget_models()
        _forget_what_followed()

    def _all_models(self) -> list[type[Model]]:
        return list(apps.get_app_config(APP).get_models(include_auto_created=True))


def _forget_models() -> None:
    apps.all_models[APP].clear()
    apps.clear_cache()


def _forget_what_followed() -> None:
    apps.clear_cache()
    forget_cached()
    ContentType.objects.clear_cache()
