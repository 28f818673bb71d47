"""
The model of the protocol, larger than the suite has time for: every state of every scope is visited.

    python -m benchmarks.protocol                         # all scopes
    python -m benchmarks.protocol "both ways, crashes"    # some of them, by name

It prints how many states there are, and where a promise is broken, the shortest story that leads there.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.protocol.checker import explore
from tests.protocol.rules import Rules
from tests.protocol.scopes import LARGE, SMALL


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scopes", nargs="*", metavar="SCOPE", help="; ".join([*SMALL, *LARGE]))
    chosen = parser.parse_args().scopes
    every = SMALL | LARGE
    if unknown := [name for name in chosen if name not in every]:
        parser.error(f"there is no scope {unknown[0]!r}")
    well = True
    for name in chosen or every:
        begun = time.monotonic()
        outcome = explore(Rules(every[name]))
        print(f"{name:45} {outcome.states:>9,} states {time.monotonic() - begun:7.1f} s", flush=True)
        if outcome.failure is not None:
            well = False
            print(outcome.failure)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
