"""``manage.py synchronize``."""

from __future__ import annotations

from argparse import ArgumentParser
from contextlib import nullcontext
from typing import Any

from django.core import checks
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from synchro.conf import LOCAL
from synchro.exceptions import Incomplete, SynchroError
from synchro.replay import Report, call_synchronize
from synchro.replay.log.unread import forget
from synchro.replay.receipts import resending
from synchro.triggers.ready import missing_triggers_allowed


class Command(BaseCommand):
    help = (
        "Replays the changes that were captured on LOCAL (the database “default”) into REMOTE (SYNCHRO_REMOTE), batch "
        "by batch. It can be interrupted and repeated at any time: what has arrived is not sent again, and nothing is "
        "left out."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--remote", metavar="ALIAS", help="only this one of the databases in SYNCHRO_REMOTE"
        )
        parser.add_argument(
            "--atomic",
            action="store_true",
            help="all in one transaction on REMOTE, so that nobody there sees half of one of LOCAL's",
        )
        parser.add_argument(
            "--retry",
            action="store_true",
            help="afterwards, also take up again what was set aside (SYNCHRO_ON_ERROR = 'quarantine')",
        )
        parser.add_argument(
            "--resend",
            action="store_true",
            help="to a REMOTE that was restored from an older copy, send again what came after that copy",
        )
        parser.add_argument(
            "--without-triggers",
            action="store_true",
            help="even if a watched table lacks a trigger, so that some of its changes may not have been captured",
        )

        parser.add_argument(
            "--forget",
            metavar="app.Model",
            action="append",
            default=[],
            help="afterwards, drop the entries of this model that wait since it is not watched (any more)",
        )

    # Django's own way asks every database, so that a REMOTE which is away would end in a traceback.
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        if not options.get("skip_checks"):
            self._check_local()
        try:
            with (
                missing_triggers_allowed() if options["without_triggers"] else nullcontext(),
                resending() if options["resend"] else nullcontext(),
            ):
                report = call_synchronize(
                    remote=options["remote"], atomic=options["atomic"], retry=options["retry"]
                )
        except Incomplete as error:
            for served in error.reports:
                self._show(served, options["verbosity"])
            raise CommandError(str(error)) from error
        except SynchroError as error:
            # What the database says may hold values of rows, which whoever may run commands may see.
            words = f"\n{error.__cause__}" if isinstance(error.__cause__, DatabaseError) else ""
            raise CommandError(f"{error}{words}") from error
        self._show(report, options["verbosity"])
        for label in options["forget"]:
            self._forget(label)

    def _forget(self, label: str) -> None:
        try:
            count = forget(label)
        except SynchroError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{count} entries of {label} were dropped: no REMOTE will receive them.")

    def _check_local(self) -> None:
        """What is wrong, not what could be better: a run by the clock would write that into a mail each time."""
        try:
            found = checks.run_checks(databases=[LOCAL])
        except DatabaseError as error:
            raise CommandError(f"The database {LOCAL!r} cannot be used: {error}") from error
        serious = [str(message) for message in found if message.is_serious() and not message.is_silenced()]
        if serious:
            raise CommandError("\n".join(["System check identified some issues:", *serious]))

    def _show(self, report: Report, verbosity: int) -> None:
        for warning in report.warnings:
            self.stderr.write(self.style.WARNING(warning))
        if verbosity > 0:
            self.stdout.write(str(report))
        if verbosity < 2:
            return
        for model in report.models:
            self.stdout.write(
                f"{model.model}: {model.added} added, {model.changed} changed, {model.deleted} deleted, "
                f"{model.kept} kept as REMOTE has them"
            )
        self.stdout.write(
            f"{report.entries} entries in {report.batches} batches, {report.conflicts} conflicts, "
            f"{report.aside} set aside, {report.seconds:.1f} s"
        )
