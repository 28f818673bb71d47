"""
What a developer runs after each change: ``python3 -m tests.suite.check [pytest's arguments]``, in less than a minute.

Linters, and of each subject the tests that say most in the shortest time, on SQLite. `make test` does it all.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.backends import lifecycle, pairs
from tests.backends.errors import BackendError
from tests.backends.state import State
from tests.suite import folders, lint, pytest_runs, venv
from tests.suite.outcomes import Outcome, closing_lines, failures
from tests.suite.programs import Programs
from tests.suite.venv import Environment

PATHS = (
    "tests/checks/test_checks.py",
    "tests/replay/apply/test_bulk_rows.py",
    "tests/replay/apply/test_objects.py",
    "tests/replay/apply/test_refused.py",
    "tests/replay/guests/test_guard.py",
    "tests/replay/identity/test_keys.py",
    "tests/replay/identity/test_natural_keys.py",
    "tests/replay/log/test_receipts.py",
    "tests/replay/relations/test_many_to_many.py",
    "tests/replay/two_ways/test_conflicts.py",
    "tests/replay/values/test_columns.py",
    "tests/signals/test_capture.py",
    "tests/signals/test_switch.py",
    "tests/spicy/test_declaration.py",
    "tests/spicy/test_queries.py",
    "tests/test_natural.py",
)
LABEL = "check"


def check(arguments: Sequence[str], environment: Environment) -> list[Outcome]:
    """
    Run the linters beside the tests of `PATHS`, or of those that `arguments` for pytest name; the outcome of each.
    """
    chosen = [*(() if folders.names_tests(arguments) else PATHS), *arguments]
    variables = pairs.environment(pairs.find("sqlite"), State(Path()), f"-{LABEL}")
    with Programs() as programs, ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        tests = pool.submit(
            pytest_runs.run_pytest, LABEL, chosen, variables, programs, environment, measures=False
        )
        checks = [pool.submit(lint.check, label, programs, environment) for label in lint.CHECKS]
        return [tests.result(), *(one.result() for one in checks)]


def main(arguments: Sequence[str]) -> int:
    """Do it; the exit code."""
    lifecycle.end_on_signals()
    begun = time.monotonic()
    try:
        outcomes = check(arguments, venv.ensure("main"))
    except BackendError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(failures(outcomes))
    print(closing_lines(outcomes, {}), f"in {time.monotonic() - begun:.0f} s")
    return 1 if any(outcome.failed for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
