"""
The site of the documentation, by Sphinx: ``python3 -m tests.suite.docs``, and a part of the suite.

A warning is a failure: a link that leads nowhere, a name that does not exist, a page that is on no list.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from tests.backends.commands import run
from tests.backends.errors import BackendError
from tests.backends.state import PROJECT, State
from tests.suite import venv
from tests.suite.outcomes import Outcome
from tests.suite.programs import LOGS, Programs

#: What people may write in ``PAIRS``, and the name of the environment.
LABEL = "docs"
#: It uses no server.
SERVERS: frozenset[str] = frozenset()
SITE = PROJECT / ".cache" / "docs"
COMMAND = ("-m", "sphinx", "-b", "html", "-E", "-W", "--keep-going", "-q", "docs", str(SITE))


def test(_arguments: Sequence[str], programs: Programs, _servers: State) -> Outcome:
    """
    Build the site.

    Where its environment cannot be made that is said, and nothing is built; in CI it is a failure.
    """
    try:
        environment = venv.ensure(LABEL)
    except BackendError as error:
        failed = int(bool(os.environ.get("CI")))
        remark = f"its environment cannot be made: {str(error).splitlines()[0]}"
        return Outcome(LABEL, failed=failed, skipped=1 - failed, remark=remark)
    log = LOGS / f"{LABEL}.log"
    log.unlink(missing_ok=True)
    code, seconds = programs.run([environment.python, *COMMAND], log, {})
    return Outcome(LABEL, passed=int(code == 0), failed=int(code != 0), seconds=seconds, log=log)


def main() -> int:
    """Build the site for a person; the exit code."""
    try:
        run([venv.ensure(LABEL).python, *COMMAND], timeout=600)
    except BackendError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{SITE / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
