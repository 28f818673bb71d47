"""
Random tests at length: what the suite tries a few times, with other examples each time, on each pair and in both modes.

    python -m benchmarks.histories                                   # 200 examples of each, on SQLite and PostgreSQL
    python -m benchmarks.histories --examples 1000 --pairs mysql-postgresql --tests values

    values    rows of every type of field, and raw values that an engine holds and Django does not make: REMOTE gives
              them back equal, or they are refused by name
    schema    random migrations between random writes and runs: REMOTE ends with LOCAL's rows, and none is doubled

`--first` says with which history of the schema to begin; it is the number in the name of a test that fails.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from tests.backends.state import PROJECT

TESTS = {
    "values": ["tests/replay/test_any_values.py", "tests/replay/test_any_raw_values.py"],
    "schema": ["tests/replay/test_schema_histories.py"],
}
PAIRS = ["sqlite-sqlite", "postgresql-postgresql"]


def run(pair: str, names: list[str], examples: int, first: int) -> bool:
    """Run these tests on the pair, and return whether all is well."""
    files = [file for name in names for file in TESTS[name]]
    environment = {
        **os.environ,
        "SYNCHRO_TEST_EVERYTHING": "1",
        "SYNCHRO_TEST_EXAMPLES": str(examples),
        "SYNCHRO_TEST_FIRST": str(first),
    }
    command = [sys.executable, "-m", "tests.backends", "run", "--pair", pair, "--"]
    print(f"-- {pair}", flush=True)
    done = subprocess.run(
        [*command, sys.executable, "-m", "pytest", "-q", *files], cwd=PROJECT, env=environment
    )
    return done.returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", nargs="+", default=PAIRS, help="without -triggers: both modes are tried")
    parser.add_argument("--tests", nargs="+", choices=TESTS, default=list(TESTS))
    parser.add_argument("--examples", type=int, default=200)
    parser.add_argument("--first", type=int, default=1000)
    options = parser.parse_args()
    labels = [label for pair in options.pairs for label in (pair, f"{pair}-triggers")]
    failed = [label for label in labels if not run(label, options.tests, options.examples, options.first)]
    print(f"Failed: {', '.join(failed)}." if failed else "Nothing was lost, doubled or changed.")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
