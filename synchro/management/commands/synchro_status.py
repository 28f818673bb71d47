"""``manage.py synchro_status``."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.timesince import timesince

from synchro.checkpoint import aware
from synchro.conf import conf
from synchro.health import Health, LocalHealth, health_of_local, health_of_remotes
from synchro.management.base import DONE, NEEDS_A_PERSON, SynchroCommand


class Command(SynchroCommand):
    help = (
        "Says how each REMOTE stands: what it lacks and since when, the last run, quarantine, conflicts, gaps and "
        "triggers. It changes nothing, and works while REMOTE is down."
    )
    examples = """
  manage.py synchro_status                             for a person
  manage.py synchro_status --json                      for a program
  manage.py synchro_status --max-lag 60 -v 0           for a health probe: exit code 3 where a REMOTE is further behind
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--remote", metavar="ALIAS", help="only this one of the databases in SYNCHRO_REMOTE"
        )
        parser.add_argument(
            "--max-lag",
            type=float,
            metavar="SECONDS",
            help="exit with 3 where a REMOTE lacks a change that is older",
        )
        parser.add_argument(
            "--max-quarantine",
            type=int,
            metavar="N",
            help="exit with 3 where more changes are in quarantine",
        )

    def work(self, options: Mapping[str, Any]) -> int:
        if options["remote"] and options["remote"] not in conf.remotes:
            raise CommandError(
                f"SYNCHRO_REMOTE does not name the database “{options['remote']}”. It names: "
                f"{', '.join(conf.remotes) or '-'}."
            )
        local = health_of_local()
        remotes = [health for health in health_of_remotes() if options["remote"] in (None, "", health.alias)]
        if options["json"]:
            self.write_json({**asdict(local), "remotes": [asdict(health) for health in remotes]})
        elif options["verbosity"]:
            self._show(local, remotes)
        is_fine = all(
            (options["max_lag"] is None or health.lag <= options["max_lag"])
            and (options["max_quarantine"] is None or health.quarantined <= options["max_quarantine"])
            for health in remotes
        )
        return DONE if is_fine else NEEDS_A_PERSON

    def _show(self, local: LocalHealth, remotes: list[Health]) -> None:
        kept = "for ever" if local.retention is None else f"{local.retention / 86400:g} days"
        self.stdout.write(f"Capture by {local.capture}. Entries are kept {kept} after every REMOTE has them.")
        if local.gaps:
            self.stdout.write(
                f"{local.gaps} ids are missing in the log: transactions that are open may bring them."
            )
        for problem in local.triggers:
            self.stdout.write(self.style.WARNING(problem))
        if not remotes:
            self.stdout.write("SYNCHRO_REMOTE names no database, so nothing is replayed.")
        for health in remotes:
            self._show_remote(health)

    def _show_remote(self, health: Health) -> None:
        self.stdout.write("")
        self.stdout.write(self.style.MIGRATE_HEADING(health.alias))
        if health.problem is not None:
            self.stdout.write(self.style.ERROR(f"  cannot be reached ({health.problem})"))
        behind = f", the oldest is {health.lag:.1f} seconds old" if health.pending else ""
        self.stdout.write(f"  pending      {health.pending} entries{behind}")
        self.stdout.write(f"  quarantine   {health.quarantined} changes")
        self.stdout.write(f"  conflicts    {health.conflicts} in the last day")
        if health.arrived is not None:
            self.stdout.write(f"  last batch   {timesince(aware(health.arrived), timezone.now())} ago")
        if (run := health.last_run) is not None:
            self.stdout.write(
                f"  last run     {run.outcome}, {run.entries} entries in {run.batches} batches, by {run.by}, "
                f"{timesince(aware(run.ended), timezone.now())} ago"
            )
            if run.message:
                self.stdout.write(f"               {run.message}")
