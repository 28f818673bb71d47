"""
How fast django-synchro replays, next to Bucardo and Slony-I, between two databases of one PostgreSQL 15 server.

    python -m tests.backends run --only postgresql_old -- python -m benchmarks.peers [--rows 100000] [--rounds 3]

The peers come from Debian: `apt-get install bucardo postgresql-plperl-15 slony1-2-bin postgresql-15-slony1-2`. One that
is not installed is left out. The server is the one that SYNCHRO_TEST_POSTGRESQL_OLD_URL names; its user has to be a
superuser, who may connect by the socket without a password. It gets databases, and a role `bucardo`, that are
dropped again.

Each round makes the same changes for everybody, in one transaction for each kind, and takes the time from then until
they have arrived. Of the rounds the best counts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.rivals.bucardo import Bucardo
from benchmarks.rivals.databases import Server, changes
from benchmarks.rivals.rival import Rival
from benchmarks.rivals.slony import Slony

KINDS = ("insert", "update", "delete")
#: To reach, as ratios to each peer.
GOALS = {"Bucardo": 3.0, "Slony-I": 1.0}

RIVALS: dict[str, type[Rival]] = {"bucardo": Bucardo, "slony": Slony}

Times = dict[str, dict[str, float]]

#: What a table of ours stands for.
NAMES = {
    "item": "same keys",
    "part": "references kept",
    "piece": "foreign keys",
    "block": "same, foreign keys",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rivals", nargs="+", choices=RIVALS, default=[*RIVALS])
    options = parser.parse_args()
    best: Times = {}
    with Server.of_environment() as server, ExitStack() as stack:
        rivals = [
            stack.enter_context(_set_up(RIVALS[name], server))
            for name in options.rivals
            if _is_there(RIVALS[name])
        ]
        for _ in range(options.rounds):
            for rival in rivals:
                for kind, seconds in changes(rival, options.rows):
                    _keep(best, rival.name, kind, seconds)
            for kind, seconds in _synchro(options.rows).items():
                what, _, kind = kind.partition(" ")
                if kind in KINDS:
                    _keep(best, NAMES.get(what, what), kind, seconds)
    _show(best, options.rows)


def _is_there(rival: type[Rival]) -> bool:
    found = all(shutil.which(program) for program in rival.programs)
    if not found:
        print(f"{rival.name} is not installed: apt-get install {' '.join(rival.packages)}")
    return found


@contextmanager
def _set_up(rival: type[Rival], server: Server) -> Iterator[Rival]:
    with tempfile.TemporaryDirectory() as folder:
        one = rival(server, Path(folder))
        try:
            one.begin()
            yield one
        finally:
            one.end()


def _synchro(rows: int) -> dict[str, float]:
    """Seconds by table and kind, in a process of its own, on the same server."""
    command = [sys.executable, "-m", "benchmarks.replay", "--one", "--rounds", "1", "--rows", str(rows)]
    environment = {
        **os.environ,
        "SYNCHRO_TEST_POSTGRESQL_URL": os.environ["SYNCHRO_TEST_POSTGRESQL_OLD_URL"],
    }
    done = subprocess.run(
        [*command, "--pairs", "postgresql-postgresql"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=environment,
    )
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _keep(best: Times, name: str, kind: str, seconds: float) -> None:
    times = best.setdefault(name, {})
    times[kind] = min(seconds, times.get(kind, seconds))


def _show(best: Times, rows: int) -> None:
    print(f"{rows:,} rows, rows per second")
    print(f"{'':20}" + "".join(f"{kind:>12}" for kind in KINDS))
    for name, times in best.items():
        print(f"{name:20}" + "".join(f"{rows / times[kind]:>12,.0f}" for kind in KINDS))
    for rival, goal in GOALS.items():
        for ours in ("same keys", "references kept"):
            if rival in best:
                ratios = [best[rival][kind] / best[ours][kind] for kind in KINDS]
                wanted = f"  (to reach: {goal:g})" if ours == "same keys" else ""
                print(f"{f'{ours} / {rival}':28}" + "".join(f"{ratio:>8.1f}" for ratio in ratios) + wanted)


if __name__ == "__main__":
    main()
