"""``manage.py synchro_load``."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from synchro import activity
from synchro.conf import conf
from synchro.exceptions import NotConfigured
from synchro.load import Loaded, load
from synchro.management.base import DONE, NEEDS_A_PERSON, SynchroCommand
from synchro.management.models import models_of


class Command(SynchroCommand):
    help = (
        "Brings the rows that exist to REMOTE: those that it lacks or has otherwise, parents before children. Others "
        "may write meanwhile. One that is interrupted goes on where it was; rows that are equal are not sent again."
    )
    examples = """
  manage.py synchro_load --dry-run           how many rows of which model would be sent
  manage.py synchro_load                     send them
  manage.py synchro_load shop.Order          only this model, and its sets
  manage.py synchro_load --restart           begin anew, where one was interrupted
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "models", nargs="*", metavar="app.Model", help="only these models, and their sets"
        )
        parser.add_argument(
            "--remote", metavar="ALIAS", help="only this one of the databases in SYNCHRO_REMOTE"
        )
        parser.add_argument("--dry-run", action="store_true", help="only say what would be sent")
        parser.add_argument(
            "--restart", action="store_true", help="begin anew where a load was interrupted, not where it was"
        )

    def work(self, options: Mapping[str, Any]) -> int:
        aliases = (options["remote"],) if options["remote"] else conf.remotes
        if not aliases or not set(aliases) <= set(conf.remotes):
            raise NotConfigured(_("SYNCHRO_REMOTE names: %s.") % (", ".join(conf.remotes) or "-"))
        models = [each for label in options["models"] for each in models_of(label)]
        found: dict[str, list[Loaded]] = {}
        for alias in aliases:
            with activity.at("load", alias):
                found[alias] = load(
                    alias,
                    models,
                    dry_run=options["dry_run"],
                    restart=options["restart"],
                    progress=self._show_progress,
                )
        self.progress.clear()
        if options["json"]:
            self.write_json({alias: [_as_json(each) for each in several] for alias, several in found.items()})
        elif options["verbosity"]:
            for alias, several in found.items():
                self._show(alias, several, options["dry_run"])
        return NEEDS_A_PERSON if any(each.left for several in found.values() for each in several) else DONE

    def _show_progress(self, done: Loaded) -> None:
        self.progress.show(done.model._meta.label, done.rows, done.total, _("rows"), _("%d sent") % done.sent)

    def _show(self, alias: str, several: list[Loaded], dry_run: bool) -> None:
        self.stdout.write(self.style.MIGRATE_HEADING(alias))
        line = _("%(model)s: %(rows)d rows, %(equal)d equal already, %(sent)d sent")
        if dry_run:
            line = _("%(model)s: %(rows)d rows, %(equal)d equal already, %(sent)d to send")
        for done in several:
            if done.rows:
                parts = [line % {**vars(done), "model": done.model._meta.label}]
                if done.kept:
                    parts.append(_("%d kept as REMOTE changed them") % done.kept)
                if done.left:
                    parts.append(_("%d in quarantine") % done.left)
                self.stdout.write(f"  {', '.join(parts)}")
        sent = sum(done.sent for done in several)
        self.stdout.write("  " + (_("%d rows to send.") if dry_run else _("%d rows sent.")) % sent)


def _as_json(done: Loaded) -> dict[str, Any]:
    return {
        "model": done.model._meta.label,
        "total": done.total,
        "rows": done.rows,
        "equal": done.equal,
        "sent": done.sent,
        "kept": done.kept,
        "left": done.left,
        "seconds": done.seconds,
    }
