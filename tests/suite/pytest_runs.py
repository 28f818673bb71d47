"""Running pytest, mostly on one pair of backends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.backends.lifecycle import exports
from tests.backends.pairs import DATABASES, Pair, environment
from tests.backends.state import PROJECT, State
from tests.suite import coverage
from tests.suite.outcomes import Counts, Outcome, read_junit
from tests.suite.programs import LOGS, Programs
from tests.suite.venv import Environment

NO_TESTS_RAN = 5


def run(
    pair: Pair,
    part: str,
    arguments: Sequence[str],
    *,
    programs: Programs,
    venv: Environment,
    servers: State,
) -> Outcome:
    """
    Run pytest with `arguments` on `pair`, with databases of this `part`'s own.

    Whether it was right that no test was selected is for the caller to judge.
    """
    label = f"{pair.label}{part}"
    for old in DATABASES.glob(f"{label}_*.sqlite3*"):
        old.unlink(missing_ok=True)
    more = {**exports(servers), **environment(pair, servers, part)}
    return run_pytest(label, arguments, more, programs, venv)


def run_pytest(
    label: str,
    arguments: Sequence[str],
    variables: Mapping[str, str],
    programs: Programs,
    venv: Environment,
    *,
    measures: bool = True,
) -> Outcome:
    """
    Run pytest with these `arguments` and environment `variables`; its log and report have the name `label`.

    Where it `measures`, `coverage.table` knows afterwards what the tests executed.
    """
    log, report = LOGS / f"{label}.log", LOGS / f"{label}.xml"
    for old in (log, report):
        old.unlink(missing_ok=True)
    cache = PROJECT / ".cache" / "pytest" / label
    python = coverage.command(venv, label) if measures else [venv.python, "-m"]
    command = [*python, "pytest", f"--junitxml={report}", "-o", f"cache_dir={cache}", *arguments]
    code, seconds = programs.run(command, log, {**variables, **coverage.VARIABLES})
    counts = read_junit(report) or Counts()
    if code not in {0, NO_TESTS_RAN} and not counts.failed:
        counts += Counts(failed=1)
    return Outcome(label, counts.passed, counts.failed, counts.skipped, seconds, log)
