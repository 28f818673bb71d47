"""The tests with well-known packages, as a part of the suite with an environment of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence

from tests.backends.errors import BackendError
from tests.backends.lifecycle import exports
from tests.backends.state import State
from tests.suite import pytest_runs, venv
from tests.suite.outcomes import Outcome
from tests.suite.programs import Programs

#: What people may write in ``PAIRS``.
LABEL = "applications"
#: The backends that it uses, besides SQLite. Tests that need one that is not there are skipped.
SERVERS = frozenset({"mysql", "postgresql"})


def test(arguments: Sequence[str], programs: Programs, servers: State) -> Outcome:
    """
    Make the environment where it is missing, and run the tests in it.

    Where it cannot be made they are skipped, and that is said; in CI it is a failure.
    """
    try:
        environment = venv.ensure(LABEL)
    except BackendError as error:
        failed = int(bool(os.environ.get("CI")))
        remark = f"its environment cannot be made: {str(error).splitlines()[0]}"
        return Outcome(LABEL, failed=failed, skipped=1 - failed, remark=remark)
    folder = "tests/applications"
    return pytest_runs.run_pytest(LABEL, [folder, *arguments], exports(servers), programs, environment)
