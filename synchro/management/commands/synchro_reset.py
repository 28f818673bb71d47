"""``manage.py synchro_reset``."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import connections
from django.utils.translation import gettext as _

from synchro.conf import LOCAL
from synchro.core import reset_synchro
from synchro.management.base import DONE, SynchroCommand
from synchro.pending import all_pending


class Command(SynchroCommand):
    help = (
        "Forgets all changes that were logged on LOCAL, and gives the database a new node id: for a database that was "
        "loaded from a copy of another one a moment ago. It says first what would be lost, and asks."
    )
    examples = """
  manage.py synchro_reset --dry-run            only say what would be forgotten
  manage.py synchro_reset                      ask, and reset
  manage.py synchro_reset --copy --no-input    in a script that has just loaded a copy
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--dry-run", action="store_true", help="only say what would be forgotten")
        parser.add_argument(
            "--copy",
            action="store_true",
            help="this database is a copy that was loaded a moment ago: reset it although a REMOTE knows its node id",
        )
        parser.add_argument("--no-input", action="store_true", help="do not ask")

    def work(self, options: Mapping[str, Any]) -> int:
        pending = [one for one in all_pending() if one]
        name = Path(str(connections[LOCAL].settings_dict["NAME"])).name
        if options["json"]:
            self.write_json({"database": name, "forgotten": [vars(one) for one in pending]})
        else:
            for one in pending:
                self.stdout.write(_("%(pending)s: they would never reach it.") % {"pending": one})
            if not pending:
                self.stdout.write(_("Every REMOTE has all that was logged."))
        if options["dry_run"]:
            return DONE
        if not options["no_input"] and not self._is_meant(name):
            raise CommandError(_("Nothing was reset: this is not the name of the database."))
        reset_synchro(is_copy=options["copy"])
        if not options["json"]:
            self.stdout.write(_("The database has a new node id, and its log is empty."))
        return DONE

    def _is_meant(self, name: str) -> bool:
        # Not by `input`, which may write the question among the result.
        self.stderr.write(
            _("Type the name of the database (%(name)s) to reset its synchronization: ") % {"name": name},
            ending="",
            style_func=str,
        )
        self.stderr.flush()
        try:
            answer = input()
        except EOFError:
            raise CommandError(_("Nothing was reset: nobody answered. A script says --no-input.")) from None
        return answer.strip() == name
