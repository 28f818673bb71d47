"""Linters, as parts of the suite."""

from __future__ import annotations

from tests.suite.outcomes import Outcome
from tests.suite.programs import LOGS, Programs
from tests.suite.venv import Environment

CHECKS = {
    "ruff check": ("-m", "ruff", "check", "."),
    "ruff format": ("-m", "ruff", "format", "--check", "--diff", "."),
    "mypy": ("-m", "mypy"),
    # It has no module to run: its script may have another interpreter's path in its first line.
    "imports": ("-c", "from importlinter.cli import lint_imports_command as run; run()"),
}


def check(label: str, programs: Programs, environment: Environment) -> Outcome:
    """Run one of `CHECKS`."""
    log = LOGS / f"{label.replace(' ', '-')}.log"
    log.unlink(missing_ok=True)
    code, seconds = programs.run([environment.python, *CHECKS[label]], log, {})
    return Outcome(label, passed=int(code == 0), failed=int(code != 0), seconds=seconds, log=log)
