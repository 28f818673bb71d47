"""``manage.py synchro_status``."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from synchro.conf import conf
from synchro.health import Health, LocalHealth, health_of_local, health_of_remotes
from synchro.last_check import aware
from synchro.management.base import DONE, NEEDS_A_PERSON, SynchroCommand
from synchro.models import Run


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
            # The same words as for a run.
            raise CommandError(
                _("SYNCHRO_REMOTE does not name the database “%(alias)s”. It names: %(aliases)s.")
                % {"alias": options["remote"], "aliases": ", ".join(conf.remotes) or "-"}
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
        self.stdout.write(
            _("Capture by %(capture)s. %(kept)s") % {"capture": local.capture, "kept": _kept(local)}
        )
        if local.gaps:
            self.stdout.write(
                _("%(count)d ids are missing in the log: transactions that are open may bring them.")
                % {"count": local.gaps}
            )
        for problem in local.triggers:
            self.stdout.write(self.style.WARNING(problem))
        if not remotes:
            self.stdout.write(_("SYNCHRO_REMOTE names no database, so nothing is replayed."))
        for health in remotes:
            self._show_remote(health)

    def _show_remote(self, health: Health) -> None:
        self.stdout.write("")
        self.stdout.write(self.style.MIGRATE_HEADING(health.alias))
        if health.problem is not None:
            text = _("cannot be reached (%(cause)s)") % {"cause": health.problem}
            self.stdout.write(self.style.ERROR(f"  {text}"))
        lines = _lines(health)
        width = max(len(title) for title, _text in lines)
        for title, text in lines:
            self.stdout.write(f"  {title:{width}}   {text}")
        if health.last_run is not None and health.last_run.message:
            self.stdout.write(f"  {'':{width}}   {health.last_run.message}")


def _kept(local: LocalHealth) -> str:
    if local.retention is None:
        return _("Entries are kept for ever.")
    return _("Entries are kept %(days)s days after every REMOTE has them.") % {
        "days": f"{local.retention / 86400:g}"
    }


def _lines(health: Health) -> list[tuple[str, str]]:
    pending = _("%(count)d entries") % {"count": health.pending}
    if health.pending:
        pending = _("%(count)d entries, the oldest is %(seconds)s seconds old") % {
            "count": health.pending,
            "seconds": f"{health.lag:.1f}",
        }
    lines = [
        (_("pending"), pending),
        (_("quarantine"), _("%(count)d changes") % {"count": health.quarantined}),
        (_("conflicts"), _("%(count)d in the last day") % {"count": health.conflicts}),
    ]
    if health.load is not None:
        text = _("%(done)d of %(total)d rows") % {"done": health.load[0], "total": health.load[1]}
        lines.append(
            (_("load"), text if "load" in health.tasks else _("%(text)s, interrupted") % {"text": text})
        )
    if "verify" in health.tasks:
        lines.append((_("verify"), _("goes on")))
    if health.move:
        lines.append((_("move"), _("at the step %(step)s") % {"step": health.move}))
    if health.arrived is not None:
        lines.append((_("last batch"), _ago(health.arrived)))
    if (run := health.last_run) is not None:
        text = _("%(outcome)s, %(entries)d entries in %(batches)d batches, by %(by)s, %(ago)s") % {
            "outcome": dict(Run.OUTCOMES)[run.outcome],
            "entries": run.entries,
            "batches": run.batches,
            "by": run.by,
            "ago": _ago(run.ended),
        }
        lines.append((_("last run"), text))
    return lines


def _ago(moment: datetime) -> str:
    return _("%(time)s ago") % {"time": timesince(aware(moment), timezone.now())}
