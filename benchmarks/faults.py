"""
Faults at full length: what `make test` does a few times is done again and again, on servers of its own.

    python -m benchmarks.faults                                    # PostgreSQL and MySQL, both ways
    python -m benchmarks.faults --pairs mariadb-sqlite --rounds 200 --faults kill link

Each fault is one of the suite's tests, with automatic keys that REMOTE hands out, and ends with a last run and a
comparison of both databases, row by row:

    kill      the replayer is killed (SIGKILL) at a random moment while four people write, --rounds times
    restart   LOCAL's server, then REMOTE's, crashes or is restarted in mid-batch while four people write, each
              --restarts times
    link      a proxy in front of LOCAL, then of REMOTE, resets, drops or stalls the connection at a random byte,
              --rounds times each
    disk      REMOTE's disk (a small tmpfs, so this takes root) is full in mid-batch
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path

from tests.backends import lifecycle, pairs
from tests.backends.errors import BackendError
from tests.backends.pairs import Pair
from tests.backends.server import KINDS, variable
from tests.backends.state import PROJECT, State

FOLDER = "tests/replay/faults"
FAULTS = {
    "kill": f"{FOLDER}/test_killed.py::test_killed_again_and_again_while_people_write_nothing_is_lost_or_doubled",
    "restart": "tests/restarts/test_restarts.py",
    "link": f"{FOLDER}/test_links.py",
    "disk": f"{FOLDER}/test_full_disk.py",
}
PAIRS = ["postgresql-mysql", "mysql-postgresql"]


def run(pair: Pair, faults: list[str], servers: State, rounds: Mapping[str, int]) -> bool:
    """Inject these faults into the pair and print what came of each; whether all is well."""
    with tempfile.TemporaryDirectory() as folder:
        report, log = Path(folder) / "report.xml", Path(folder) / "log"
        with log.open("w") as output:
            ended = subprocess.run(
                [sys.executable, "-m", "pytest", f"--junitxml={report}", *(FAULTS[name] for name in faults)],
                cwd=PROJECT,
                env={
                    **os.environ,
                    **lifecycle.exports(servers),
                    **pairs.environment(pair, servers),
                    **{name: str(count) for name, count in rounds.items()},
                },
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if report.exists():
            _tell(pair, report)
        if ended.returncode:
            print(log.read_text(errors="replace"))
        return ended.returncode == 0


def _tell(pair: Pair, report: Path) -> None:
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        bad = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        if bad is None:
            outcome = "equal"
        elif bad.tag == "skipped":
            outcome = f"skipped: {bad.get('message')}"
        else:
            outcome = "NOT EQUAL OR NOT ENDED"
        name = case.get("name", "").removeprefix("test_").replace("_", " ")
        print(f"{pair.label:18}{float(case.get('time', 0)):7.1f} s  {name}: {outcome}", flush=True)


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _give_up(reason: str) -> int:
    print(f"error: {reason}", file=sys.stderr)
    return 1


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", nargs="+", default=PAIRS, help="LOCAL and REMOTE, such as %(default)s")
    parser.add_argument("--faults", nargs="+", default=list(FAULTS), choices=list(FAULTS))
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--restarts", type=int, default=10)
    arguments = parser.parse_args()
    lifecycle.end_on_signals()
    rounds = {"SYNCHRO_TEST_ROUNDS": arguments.rounds, "SYNCHRO_TEST_RESTARTS": arguments.restarts}
    try:
        chosen = [pairs.find(label) for label in arguments.pairs]
        names = {name for pair in chosen for name in pair.servers}
        for name in KINDS:  # one that the environment names belongs to someone, and is not to be restarted
            os.environ.pop(variable(name), None)
        begun = time.monotonic()
        with lifecycle.running([name for name in KINDS if name in names], tell) as servers:
            if servers.skipped:
                return _give_up("\n".join(f"{name}: {reason}" for name, reason in servers.skipped.items()))
            well = [run(pair, arguments.faults, servers, rounds) for pair in chosen]
    except BackendError as error:
        return _give_up(str(error))
    print(f"{arguments.rounds} rounds, {arguments.restarts} restarts, {time.monotonic() - begun:.0f} s")
    return 0 if all(well) else 1


if __name__ == "__main__":
    sys.exit(main())
