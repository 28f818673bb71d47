"""
Random histories: what people do, and what happens to the runs meanwhile, over two databases, as long as you like.

    python -m benchmarks.histories                                  # SQLite, by signals and by triggers
    python -m benchmarks.histories --pairs postgresql mysql-postgresql-triggers --histories 1000
    python -m benchmarks.histories --tests shop quarantine

The suite takes a few of them, always the same; this takes others each time, with receivers, quarantine and pruning. A
difference is a failure where no record explains it. It is told by the shortest history that shows it, which takes a
while to find. The tests, of --histories each:

    protocol     both ways, every step of a run killed or met by the other side, quarantine, receivers, pruning, and
                 the invariants of the model (docs/protocol-model.md)
    shop         sets, cascades, inheritance and natural keys, one way and both ways
    quarantine   what receivers and REMOTE's rows refuse, one way and both ways
    knots        rings, chains of unique values, protected rows, wherever a batch ends, one way and both ways
    values       rows of every type of field, and raw values that an engine holds and Django does not make: REMOTE gives
                 them back equal, or they are refused by name
    schema       random migrations between random writes and runs

Histories of quarantine, knots and schema are numbered: `--first` is the number of the first one, so choose others each
time. A test that fails has the number in its name or tells it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

from tests.backends import pairs
from tests.backends.errors import BackendError
from tests.backends.state import PROJECT

TESTS = {
    "protocol": ("tests/protocol/test_histories.py",),
    "shop": ("tests/replay/histories/test_shop.py",),
    "quarantine": ("tests/replay/histories/test_quarantine.py",),
    "knots": ("tests/replay/histories/test_knots.py", "tests/replay/histories/test_two_ways.py"),
    "values": ("tests/replay/values/test_any_values.py", "tests/replay/values/test_any_raw_values.py"),
    "schema": ("tests/replay/histories/test_schema.py",),
}
PAIRS = ["sqlite", "sqlite-sqlite-triggers"]


def run(label: str, test: str, histories: int, first: int) -> bool:
    """Whether all histories of this test keep the promises on this pair."""
    begun = time.monotonic()
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "tests.backends", "run", "--pair", label, "--"),
            *(sys.executable, "-m", "pytest", "-q", "-k", "not mistake", *TESTS[test]),
        ],
        cwd=PROJECT,
        env={
            **os.environ,
            "SYNCHRO_TEST_EXAMPLES": str(histories),
            "SYNCHRO_TEST_FIRST": str(first),
            "SYNCHRO_TEST_EVERYTHING": "1",
            "SYNCHRO_TEST_SHRINK": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    # 5: no test of it runs on this pair.
    outcome = {0: "no difference", 5: "does not run here"}.get(ended.returncode, "A DIFFERENCE, OR NO END")
    seconds = time.monotonic() - begun
    print(f"{label:28} {test:12} {histories:>6} histories {seconds:8.1f} s  {outcome}", flush=True)
    if ended.returncode not in (0, 5):
        print(ended.stdout[-20_000:], ended.stderr[-5_000:], flush=True)
    return ended.returncode in (0, 5)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", nargs="+", default=PAIRS, help="LOCAL and REMOTE, such as %(default)s")
    parser.add_argument("--tests", nargs="+", default=list(TESTS), choices=list(TESTS))
    parser.add_argument("--histories", type=int, default=1000)
    parser.add_argument("--first", type=int, default=1000, help="number, of the histories that have one")
    arguments = parser.parse_args()
    try:
        labels = [pairs.find(label).label for label in arguments.pairs]
    except BackendError as error:
        parser.error(str(error))
    well = [
        run(label, test, arguments.histories, arguments.first) for label in labels for test in arguments.tests
    ]
    return 0 if all(well) else 1


if __name__ == "__main__":
    sys.exit(main())
