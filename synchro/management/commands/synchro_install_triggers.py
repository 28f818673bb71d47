"""``manage.py synchro_install_triggers``."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.apps import apps
from django.core.management.base import CommandError
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.conf import LOCAL, did_you_mean
from synchro.management.base import DONE, SynchroCommand
from synchro.registry import is_watched, watched_models, watched_tables
from synchro.relations import m2m_fields
from synchro.triggers import triggers_for
from synchro.triggers.base import SWITCHED_OFF
from synchro.triggers.install import PATIENCE, Finding, Survey, install, survey, uninstall
from synchro.triggers.migrate import unseen


class Command(SynchroCommand):
    help = (
        "Installs, or brings up to date, the triggers that capture changes of the watched models "
        "(SYNCHRO_CAPTURE = 'triggers')."
    )
    examples = """
  manage.py synchro_install_triggers                     on LOCAL, for all watched models
  manage.py synchro_install_triggers --check             say what is missing or outdated; change nothing
  manage.py synchro_install_triggers --sql > it.sql      for an administrator who may do it
"""
    #: The checks tell that triggers are missing, which this command is for.
    makes_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("models", nargs="*", metavar="app.Model", help="Only these models.")
        parser.add_argument(
            "--database", default=LOCAL, metavar="ALIAS", help="The database (default: %(default)s)."
        )
        parser.add_argument(
            "--lock-timeout",
            type=int,
            default=PATIENCE,
            metavar="SECONDS",
            help="How long to wait for a lock.",
        )
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--check", action="store_true", help="Only tell what is wrong; exit status 1 if anything is."
        )
        what.add_argument("--uninstall", action="store_true", help="Remove the triggers.")
        parser.add_argument("--sql", action="store_true", help="Only print the SQL.")

    def work(self, options: Mapping[str, Any]) -> int:
        self._options = options
        self._said: dict[str, str] = {}
        if options["database"] not in connections:
            alike = did_you_mean(options["database"], connections)
            raise CommandError(f"There is no database {options['database']!r} in DATABASES.{alike}")
        connection = connections[options["database"]]
        watched_models()  # report a wrong setting before anything about the database
        found = self.survey(
            connection, create=not (options["check"] or options["sql"] or options["uninstall"])
        )
        findings = self.selected(found, options["models"])
        if options["check"]:
            self.check_all(connection, found, findings, options["models"])
        elif options["sql"]:
            self.print_sql(connection, found, findings, options["uninstall"])
        elif options["uninstall"]:
            self.uninstall_all(connection, findings, options["lock_timeout"])
        else:
            self.install_all(connection, found, findings, options)
        if options["json"]:
            self.write_json(self._said)
        return DONE

    def say(self, label: str, text: str) -> None:
        """Say what was done about a table; with --json, at the end and all at once."""
        self._said[label] = text
        if not self._options["json"] and self._options["verbosity"]:
            self.stdout.write(f"{label}: {text}")

    def survey(self, connection: BaseDatabaseWrapper, create: bool) -> Survey:
        if not triggers_for(connection).is_ready():
            raise CommandError(
                f"The database {connection.alias!r} has not all tables of synchro; run migrate first."
            )
        return survey(connection, create_content_types=create)

    def selected(self, found: Survey, names: list[str]) -> list[Finding]:
        if not names:
            return list(found.findings)
        labels = {found.sharing.get(label, label) for label in _labels(names)}
        return [finding for finding in found.findings if finding.label in labels]

    def install_all(
        self,
        connection: BaseDatabaseWrapper,
        found: Survey,
        findings: Iterable[Finding],
        options: Mapping[str, Any],
    ) -> None:
        backend = triggers_for(connection)
        if backend.is_switched_off():
            self.stderr.write(SWITCHED_OFF.format(connection.alias))
            backend.switch_on()
            self.stderr.write("It is switched on again.")
        for finding in findings:
            done = finding if finding.is_right else install(connection, finding.stem, options["lock_timeout"])
            self.say(finding.label, _done(done))
            if columns := finding.unseen_columns:
                self.stderr.write(unseen(finding, columns))
        for other, owner in found.sharing.items():
            self.say(other, f"has the table of {owner}, under whose name its changes are captured")
        if impossible := _impossible(found, options["models"]):
            raise CommandError("\n".join(impossible))

    def uninstall_all(
        self, connection: BaseDatabaseWrapper, findings: Iterable[Finding], seconds: int
    ) -> None:
        for finding in findings:
            removed = uninstall(connection, finding.stem, seconds)
            self.say(finding.label, "removed" if removed else "had none")

    def check_all(
        self, connection: BaseDatabaseWrapper, found: Survey, findings: Iterable[Finding], names: list[str]
    ) -> None:
        labels = set(_labels(names)) if names else None
        tables = [
            table.name for table in watched_tables() if labels is None or table.model._meta.label in labels
        ]
        problems = [str(problem) for finding in findings for problem in finding.problems]
        problems += _impossible(found, names)
        problems += [
            f"{model._meta.label}: its triggers are missing"
            for model in found.unnamed
            if labels is None or model._meta.label in labels
        ]
        problems += triggers_for(connection).unseen(tables)
        if problems:
            raise CommandError("\n".join(problems), returncode=1)
        for finding in findings:
            self._said[finding.label] = "up to date"
        if not self._options["json"] and self._options["verbosity"]:
            self.stdout.write("All triggers are installed and up to date.")

    def print_sql(
        self, connection: BaseDatabaseWrapper, found: Survey, findings: Iterable[Finding], remove: bool
    ) -> None:
        backend = triggers_for(connection)
        statements: list[str] = []
        for finding in findings:
            if not remove:
                statements += [trigger.sql for trigger in finding.create]
            statements += [backend.drop_sql(one) for one in finding.drop]
        if remove:
            stems = tuple(finding.stem for finding in findings)
            ours = (one for one in backend.installed() if one.stem.startswith(stems))
            statements = [backend.drop_sql(one) for one in sorted(ours, key=lambda one: not one.table)]
        for model in found.unnamed if not remove else ():
            table = connection.ops.quote_name("django_content_type")
            statements.insert(
                0,
                f"INSERT INTO {table} (app_label, model) "
                f"VALUES ('{model._meta.app_label}', '{model._meta.model_name}')",
            )
        script = backend.script(statements) if statements else "-- Nothing to do."
        if self._options["json"]:
            self._said["sql"] = script
        else:
            self.stdout.write(script)
        if found.unnamed and not remove:
            self.stderr.write(
                "Run this first, and then --sql again, for the tables whose content type was missing."
            )


def _done(finding: Finding | None) -> str:
    if finding is None or (finding.drop and not finding.create and not finding.is_right):
        return "removed what was left over"
    if finding.is_right:
        return "up to date"
    return "brought up to date" if finding.had_some else "installed"


def _impossible(found: Survey, names: list[str]) -> list[str]:
    """Why models cannot have triggers: those of these names, or all."""
    labels = set(_labels(names)) if names else found.impossible.keys()
    return [why for label, why in found.impossible.items() if label in labels]


def _of_name(name: str, labels: Iterable[str]) -> str:
    found = [label for label in labels if label.lower().endswith(f".{name.lower()}")]
    return f" Did you mean {' or '.join(map(repr, found))}?" if found else ""


def _labels(names: Iterable[str]) -> Iterator[str]:
    """The labels of the models of these names, with those of their automatic many-to-many tables."""
    for name in names:
        try:
            model = apps.get_model(name)
        except (LookupError, ValueError):
            labels = [model._meta.label for model in watched_models()]
            raise CommandError(
                f"{name!r} is no model; write it as app.Model.{did_you_mean(name, labels) or _of_name(name, labels)}"
            ) from None
        if not is_watched(model):
            raise CommandError(f"{name} is not watched; add it to SYNCHRO_MODELS.")
        yield model._meta.label
        for field in m2m_fields(model):
            if field.remote_field.through is not None:
                yield field.remote_field.through._meta.label
