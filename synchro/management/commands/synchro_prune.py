"""``manage.py synchro_prune``."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from synchro.management.base import DONE, SynchroCommand
from synchro.prune import Pruned, prune_log


def _days(text: str) -> timedelta:
    try:
        days = float(text)
        return timedelta(days=days) if days >= 0 else _days("")
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{text!r} is no number of days") from None


class Command(SynchroCommand):
    help = (
        "Drops entries of LOCAL's log that are older than SYNCHRO_RETENTION and that every REMOTE has. Runs do that on "
        "the way, a part at a time. The log of a database that sends nowhere is pruned by this command alone."
    )
    examples = """
  manage.py synchro_prune --dry-run            only say how many entries would be dropped
  manage.py synchro_prune                      drop them
  manage.py synchro_prune --older-than 7       those that are older than seven days
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--dry-run", action="store_true", help="only say what would be dropped")
        parser.add_argument(
            "--older-than",
            type=_days,
            metavar="DAYS",
            help="how old entries must be, in place of SYNCHRO_RETENTION",
        )

    def work(self, options: Mapping[str, Any]) -> int:
        done = prune_log(options["older_than"], dry_run=options["dry_run"])
        if options["json"]:
            self.write_json(asdict(done))
        elif options["verbosity"]:
            self._show(done, "would be" if options["dry_run"] else "were")
        return DONE

    def _show(self, done: Pruned, verb: str) -> None:
        age = f"{done.before:%Y-%m-%d %H:%M} UTC"
        self.stdout.write(f"{done.entries} entries from before {age} {verb} dropped.")
        if done.is_unsent and done.entries:
            self.stdout.write(
                "This database sends nowhere. Should it ever, its REMOTE has to begin as a copy of it (docs/office.md)."
            )
        if done.slow:
            self.stdout.write(f"What these REMOTEs lack is kept for them: {', '.join(done.slow)}.")
