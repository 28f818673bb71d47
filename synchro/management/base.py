"""
What synchro's commands have in common: exit codes, output for programs, progress, and how they end on a signal.

What they write follows the language of the project, as their errors do; help is in English, as Django's own is.
"""

from __future__ import annotations

import json
import os
import sys
from abc import abstractmethod
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, Final, TextIO

from django.core import checks
from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    DjangoHelpFormatter,
    OutputWrapper,
)
from django.db import DatabaseError
from django.utils.translation import gettext as _

from synchro import stopping
from synchro.conf import LOCAL
from synchro.exceptions import Busy, SynchroError
from synchro.management.progress import Progress, receiving_batches

#: What a command's exit code says; argparse ends with 2 where it does not understand its arguments.
DONE, FAILED, NEEDS_A_PERSON, BUSY = 0, 1, 3, 4

VERBOSITY: Final = """
verbosity:
  -v 0  nothing but warnings and errors
  -v 1  the result, and progress on a terminal
  -v 2  also the numbers of each model
  -v 3  also each batch, as soon as it has arrived
"""

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
    #: Whether LOCAL's checks must find nothing wrong before the command begins.
    makes_checks = True

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        epilog = f"examples:\n{self.examples.rstrip()}\n{VERBOSITY}{EXIT_CODES}"
        return super().create_parser(
            prog_name, subcommand, formatter_class=_Formatter, epilog=epilog, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="write the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do the work, and end with its exit code where the command was called from a shell."""
        self.stdout, self.stderr = _Output(self.stdout), _Output(self.stderr)
        self.progress = Progress(self.stderr, wanted=options["verbosity"] > 0)
        try:
            code = self._code(options)
        finally:
            self.progress.clear()
            self.stdout.flush()
        if code != DONE and getattr(self, "_called_from_command_line", False):
            sys.exit(code)

    def _code(self, options: Mapping[str, Any]) -> int:
        with stopping.by_signals() as signals:
            if self.makes_checks and not options.get("skip_checks"):
                self._check_local()
            code = self._outcome(options, signals)
        return code if signals.received is None else self.stopped(signals.exit_code)

    def _outcome(self, options: Mapping[str, Any], signals: stopping.Signals) -> int:
        try:
            with receiving_batches(self._show_batch) if options["verbosity"] > 2 else nullcontext():
                return self.work(options)
        except SynchroError as error:
            # What the database says may hold values of rows, which whoever may run commands may see.
            words = f"\n{error.__cause__}" if isinstance(error.__cause__, DatabaseError) else ""
            code = BUSY if isinstance(error, Busy) else FAILED
            raise CommandError(f"{error}{words}", returncode=code) from error
        except KeyboardInterrupt as error:
            raise CommandError(
                _("Interrupted. The batch at hand was rolled back; what came before it has arrived."),
                returncode=signals.exit_code or 130,
            ) from error

    @abstractmethod
    def work(self, options: Mapping[str, Any]) -> int:
        """Do what the command is for; return its exit code. May raise a `SynchroError`."""

    def stopped(self, code: int) -> int:
        """Say that a signal has stopped the command, and return its exit code."""
        self.stderr.write(_("Stopped. What is left waits until you run the command again."))
        return code

    def write_json(self, value: Any, *, is_one_of_many: bool = False) -> None:
        """Write a value; one of many in one line, at once, as programs read what goes on without end."""
        self.progress.clear()
        indent = None if is_one_of_many else 2
        self.stdout.write(json.dumps(value, indent=indent, default=str, ensure_ascii=False))
        if is_one_of_many:
            self.stdout.flush()

    def _show_batch(self, *, remote: str, batch: int, entries: int, seconds: float, **kwargs: Any) -> None:
        self.progress.clear()
        self.stderr.write(
            _("%(remote)s: batch %(batch)d has arrived, %(entries)d entries in %(seconds)s s")
            % {"remote": remote, "batch": batch, "entries": entries, "seconds": f"{seconds:.2f}"},
            self.style.NOTICE,
        )

    def _check_local(self) -> None:
        """Refuse what is wrong, not what could be better: a run by the clock would write that into a mail each time."""
        try:
            found = checks.run_checks(databases=[LOCAL])
        except DatabaseError as error:
            text = _("The database “%(alias)s” cannot be used: %(error)s")
            raise CommandError(text % {"alias": LOCAL, "error": error}) from error
        serious = [str(message) for message in found if message.is_serious() and not message.is_silenced()]
        if serious:
            raise CommandError("\n".join(["System check identified some issues:", *serious]))


class _Output(OutputWrapper):
    """A stream that goes on in silence where whoever read it has gone."""

    _out: TextIO

    def __init__(self, stream: Any) -> None:
        super().__init__(stream._out, stream.ending)
        self.style_func = stream.style_func

    def write(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        with self._until_closed():
            super().write(*args, **kwargs)

    def flush(self) -> None:
        with self._until_closed():
            super().flush()

    @contextmanager
    def _until_closed(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            nowhere = open(os.devnull, "w")  # noqa: SIM115  it stays open as long as the process
            if self._out in (sys.stdout, sys.stderr):
                # Python flushes these at its end, and would complain then.
                os.dup2(nowhere.fileno(), self._out.fileno())
            else:
                self._out = nowhere


class _Formatter(DjangoHelpFormatter):
    """Leave texts of several lines as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text.strip():
            return "".join(f"{indent}{line}" for line in text.splitlines(keepends=True))
        return super()._fill_text(text, width, indent)
