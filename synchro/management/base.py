"""What synchro's commands have in common: exit codes, output for programs, and how they end on a signal."""

from __future__ import annotations

import json
import os
import sys
from abc import abstractmethod
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any, Final

from django.core import checks
from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter
from django.db import DatabaseError

from synchro import stopping
from synchro.conf import LOCAL
from synchro.exceptions import Busy, SynchroError

#: What a command's exit code says; argparse ends with 2 where it does not understand its arguments.
DONE, FAILED, NEEDS_A_PERSON, BUSY = 0, 1, 3, 4

EXIT_CODES: Final = """
exit codes:
  0  done
  1  refused, or failed: the message says why
  2  the arguments are wrong
  3  done, and something needs a person: differences, changes in quarantine, a lag that is too great
  4  another process is at it
  130, 143  stopped by Ctrl-C, or by SIGTERM, after the batch at hand
"""


class SynchroCommand(BaseCommand):
    """
    A command that ends with the exit codes of `EXIT_CODES`.

    Ctrl-C and SIGTERM let the batch at hand end; a second one rolls it back. Neither ends in a traceback.
    """

    #: What `--help` shows below the arguments: how the command is called.
    examples = ""
    # Django's own way asks every database, so that a REMOTE which is away would end in a traceback.
    requires_system_checks: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        epilog = f"examples:\n{self.examples.rstrip()}\n{EXIT_CODES}"
        return super().create_parser(
            prog_name, subcommand, formatter_class=_Formatter, epilog=epilog, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="write the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do the work, and end with its exit code where the command was called from a shell."""
        if not options.get("skip_checks"):
            self._check_local()
        with stopping.by_signals() as signals:
            code = self._outcome(options)
        if signals.received is not None:
            code = self.stopped(signals.exit_code)
        if code != DONE and getattr(self, "_called_from_command_line", False):
            sys.exit(code)

    def _outcome(self, options: Mapping[str, Any]) -> int:
        try:
            return self.work(options)
        except SynchroError as error:
            # What the database says may hold values of rows, which whoever may run commands may see.
            words = f"\n{error.__cause__}" if isinstance(error.__cause__, DatabaseError) else ""
            code = BUSY if isinstance(error, Busy) else FAILED
            raise CommandError(f"{error}{words}", returncode=code) from error
        except KeyboardInterrupt as error:
            raise CommandError(
                "Interrupted. The batch at hand was rolled back; what came before it has arrived.",
                returncode=130,
            ) from error
        except BrokenPipeError:
            # Whoever read the output has gone. Without this, Python would complain when it flushes at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return DONE

    @abstractmethod
    def work(self, options: Mapping[str, Any]) -> int:
        """Do what the command is for; return its exit code. May raise a `SynchroError`."""

    def stopped(self, code: int) -> int:
        """Return the exit code of a command that a signal has stopped."""
        return code

    def write_json(self, value: Any, *, is_one_of_many: bool = False) -> None:
        """Write a value; one of many in one line, at once, as programs read what goes on without end."""
        indent = None if is_one_of_many else 2
        self.stdout.write(json.dumps(value, indent=indent, default=str, ensure_ascii=False))
        if is_one_of_many:
            self.stdout.flush()

    def _check_local(self) -> None:
        """Refuse what is wrong, not what could be better: a run by the clock would write that into a mail each time."""
        try:
            found = checks.run_checks(databases=[LOCAL])
        except DatabaseError as error:
            raise CommandError(f"The database {LOCAL!r} cannot be used: {error}") from error
        serious = [str(message) for message in found if message.is_serious() and not message.is_silenced()]
        if serious:
            raise CommandError("\n".join(["System check identified some issues:", *serious]))


class _Formatter(DjangoHelpFormatter):
    """Leave texts of several lines as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text.strip():
            return "".join(f"{indent}{line}" for line in text.splitlines(keepends=True))
        return super()._fill_text(text, width, indent)
