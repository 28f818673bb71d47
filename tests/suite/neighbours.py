"""The tests of spicy ids beside packages of others, as a part of the suite with environments of its own."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence

from tests.backends.errors import BackendError
from tests.backends.lifecycle import exports
from tests.backends.state import State
from tests.suite import pytest_runs, venv
from tests.suite.outcomes import Outcome
from tests.suite.programs import Programs

#: What people may write in ``PAIRS``: the newest versions of the packages.
LABEL = "spicy-neighbours"
#: The oldest versions that support a Django that this project supports.
OLDEST = "spicy-neighbours-oldest"
#: The backends that it uses, besides SQLite.
SERVERS = frozenset({"postgresql"})
FOLDER = "tests/neighbours"
#: Their warnings are their own.
OPTIONS = ("--ds=tests.neighbours.settings", "-W", "default")


def test(arguments: Sequence[str], programs: Programs, servers: State) -> Outcome:
    """Run the tests with the newest versions, also on PostgreSQL if it is there, and with the oldest ones."""
    outcomes = [_run(LABEL, LABEL, {}, arguments, programs)]
    if "postgresql" in servers.servers:
        url = {**exports(servers), "SYNCHRO_TEST_LOCAL": servers.servers["postgresql"].url}
        outcomes.append(_run(f"{LABEL}-postgresql", LABEL, url, arguments, programs))
    outcomes.append(_run(OLDEST, OLDEST, {}, arguments, programs))
    return _sum_of(outcomes)


def _run(
    label: str, name: str, variables: Mapping[str, str], arguments: Sequence[str], programs: Programs
) -> Outcome:
    """
    Make the environment where it is missing, and run the tests in it.

    Where it cannot be made they are skipped, and that is said; in CI it is a failure.
    """
    try:
        environment = venv.ensure(name)
    except BackendError as error:
        failed = int(bool(os.environ.get("CI")))
        remark = f"its environment cannot be made: {str(error).splitlines()[0]}"
        return Outcome(label, failed=failed, skipped=1 - failed, remark=remark)
    return pytest_runs.run_pytest(label, [FOLDER, *OPTIONS, *arguments], variables, programs, environment)


def _sum_of(outcomes: Sequence[Outcome]) -> Outcome:
    """One row for all, with the log of the first that failed."""
    first = next((one for one in outcomes if one.failed), outcomes[0])
    return dataclasses.replace(
        first,
        label=LABEL,
        passed=sum(one.passed for one in outcomes),
        failed=sum(one.failed for one in outcomes),
        skipped=sum(one.skipped for one in outcomes),
        seconds=sum(one.seconds for one in outcomes),
        remark="; ".join(one.remark for one in outcomes if one.remark),
    )
