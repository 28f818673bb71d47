"""Running pytest on one pair of backends."""

from __future__ import annotations

from collections.abc import Sequence

from tests.backends.lifecycle import exports
from tests.backends.pairs import DATABASES, Pair, environment
from tests.backends.state import PROJECT, State
from tests.suite.outcomes import Counts, Outcome, read_junit
from tests.suite.programs import LOGS, Programs
from tests.suite.venv import Environment

NO_TESTS_RAN = 5


def run(
    pair: Pair,
    marker: str,
    arguments: Sequence[str],
    *,
    programs: Programs,
    venv: Environment,
    servers: State,
) -> Outcome:
    """
    Run the tests that `marker` selects on `pair`, with more `arguments` for pytest.

    Whether it was right that no test was selected is for the caller to judge.
    """
    kind = marker.replace(" ", "-")
    log = LOGS / f"{pair.label}-{kind}.log"
    report = LOGS / f"{pair.label}-{kind}.xml"
    for old in (log, report, *DATABASES.glob(f"{pair.label}_*.sqlite3*")):
        old.unlink(missing_ok=True)
    command = [
        *(venv.python, "-m", "pytest", "-m", marker, f"--junitxml={report}"),
        *("-o", f"cache_dir={PROJECT / '.cache' / 'pytest' / pair.label}"),
        *arguments,
    ]
    code, seconds = programs.run(command, log, {**exports(servers), **environment(pair, servers)})
    counts = read_junit(report) or Counts()
    if code not in {0, NO_TESTS_RAN} and not counts.failed:
        counts += Counts(failed=1)
    return Outcome(pair.label, counts.passed, counts.failed, counts.skipped, seconds, log)
