"""
Random histories of up to four nodes, connected in every way: does any end without all nodes equal?

    python -m benchmarks.topologies [--histories 1000] [--pair sqlite-sqlite-triggers] [-k mesh]

It is the suite's `tests/replay/histories/test_topologies.py` at length: other histories each time, so many of each
topology, with clocks that are off in half of them. Ends with an error at the first that does not end equal.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

TEST = "tests/replay/histories/test_topologies.py"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--histories", type=int, default=1000, help="of each topology")
    parser.add_argument("--pair", default="sqlite-sqlite", help="the databases of the first two nodes")
    parser.add_argument("-k", default="", help="which topologies, as for pytest")
    given = parser.parse_args()
    pytest = [sys.executable, "-m", "pytest", "-q", "-x", TEST, *(["-k", given.k] if given.k else [])]
    command = [sys.executable, "-m", "tests.backends", "run", "--pair", given.pair, "--", *pytest]
    environment = {
        **os.environ,
        "SYNCHRO_TEST_EXAMPLES": str(given.histories),
        "SYNCHRO_TEST_EVERYTHING": "1",
    }
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
