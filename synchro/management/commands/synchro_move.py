"""``manage.py synchro_move``."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from synchro import stopping
from synchro.management.base import DONE, NEEDS_A_PERSON, SynchroCommand
from synchro.move import Finding, Move, Step


class Command(SynchroCommand):
    help = (
        "Moves LOCAL to REMOTE while others write: says what is in the way, installs the triggers, loads what is "
        "there, follows, and compares. With --cutover it then waits until nobody writes, brings the rest, compares "
        "again and says which settings to change. It can be stopped and called again at any time: it goes on where it "
        "was."
    )
    examples = """
  manage.py synchro_move new --preflight          only say what is in the way; nothing is written
  manage.py synchro_move new                      until both databases are equal
  manage.py synchro_move new --cutover            and until the site can be switched
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("remote", metavar="REMOTE", help="one of the databases in SYNCHRO_REMOTE")
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--preflight", action="store_true", help="only say what is in the way; nothing is written"
        )
        what.add_argument(
            "--cutover",
            action="store_true",
            help="wait until nobody writes, and end with both databases equal and the settings to change",
        )
        parser.add_argument(
            "--quiet",
            type=float,
            default=5.0,
            metavar="SECONDS",
            help="with --cutover: how long the log has to be quiet (default: %(default)s)",
        )
        parser.add_argument(
            "--go-on",
            action="store_true",
            help="although the preflight finds something: what REMOTE refuses stops the load, or goes into quarantine",
        )
        parser.add_argument(
            "--again", action="store_true", help="begin at the first step, whatever has been done before"
        )

    def work(self, options: Mapping[str, Any]) -> int:
        self._options, self._steps = options, list[Step]()
        move = Move(
            alias=options["remote"],
            step_ended=self._show_step,
            progress=self._show_progress,
            goes_on=options["go_on"],
            cuts_over=options["cutover"],
            only_looks=options["preflight"],
            starts_again=options["again"],
            quiet=options["quiet"],
        )  # fmt: skip
        self._move = move
        try:
            is_well = move.run()
        finally:
            if options["json"]:
                self._write(move)
        if move.settings and self._is_for_a_person:
            self._show_switch(move)
        if stopping.is_asked():
            return DONE  # in place of which comes the exit code of the signal
        return DONE if is_well else NEEDS_A_PERSON

    @property
    def _is_for_a_person(self) -> bool:
        return self._options["verbosity"] > 0 and not self._options["json"]

    def _show_progress(self, line: str) -> None:
        self.progress.say(line)

    def _show_step(self, step: Step) -> None:
        self._steps.append(step)
        if not self._is_for_a_person:
            return
        self.progress.clear()
        words = self.style.WARNING(step.words) if step.needs_a_person else step.words
        self.stdout.write(f"{step.name:<10} {words} ({step.seconds:.1f} s)")
        self.stdout.flush()
        if step.name == "preflight":
            for finding in self._move.findings:
                self.stdout.write(f"           {self._in_words(finding)}")
        if step.name in ("verify", "cutover") and step.needs_a_person:
            self.stdout.write(
                f"           Look at them: manage.py synchro_verify --remote {self._move.alias}"
            )

    def _in_words(self, finding: Finding) -> str:
        return self.style.ERROR(str(finding)) if finding.is_serious else f"note: {finding}"

    def _show_switch(self, move: Move) -> None:
        self.stdout.write("\nChange the settings of the site, and start it:\n")
        self.stdout.write("".join(f"    {line}\n" for line in move.settings.splitlines()))
        self.stdout.write(
            "The old database can be kept up to date from the new one, until you are sure: with these settings, run "
            "manage.py synchronize --follow."
        )

    def _write(self, move: Move) -> None:
        self.write_json({
            "remote": move.alias,
            "steps": [asdict(step) for step in self._steps],
            "findings": [asdict(finding) for finding in move.findings],
            "settings": move.settings,
        })  # fmt: skip
