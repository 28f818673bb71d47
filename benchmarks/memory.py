"""
The most memory that a process needs to replay a backlog.

    python -m benchmarks.memory [--pair postgresql-postgresql] [--rows 100000 1000000] [--wide 1000000]

With `--wide`, one column of each row has so many characters; with `--references`, REMOTE hands out the keys.

A process of its own makes the changes, so that what is measured has only replayed. The figure is that of the operating
system, interpreter and Django included.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
from multiprocessing.connection import Connection

from benchmarks.project import project

LIMIT = 200
GROWTH = 1.2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pair", default="postgresql-postgresql")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--wide", type=int, default=0)
    parser.add_argument("--references", action="store_true")
    options = parser.parse_args()
    peaks = []
    for rows in options.rows:
        peaks.append(peak(options.pair, rows, options.wide, options.references))
        print(f"{rows:>12,} entries {peaks[-1]:>8.0f} MiB (to reach: under {LIMIT})", flush=True)
    print(f"the last needs {peaks[-1] / peaks[0]:.2f} times the first (to reach: at most {GROWTH})")


def peak(pair: str, rows: int, wide: int, references: bool) -> float:
    """MiB."""
    context = multiprocessing.get_context("spawn")
    # The one makes the databases and changes and waits, while the other replays.
    ready, tell = context.Pipe(duplex=False)
    wait, done = context.Pipe(duplex=False)
    maker = context.Process(target=make, args=(pair, rows, wide, references, tell, wait))
    maker.start()
    names: dict[str, str] = ready.recv()
    answer, give = context.Pipe(duplex=False)
    replayer = context.Process(target=replay, args=(pair, names, give))
    replayer.start()
    found: float = answer.recv()
    replayer.join()
    done.send(None)
    maker.join()
    return found


def make(pair: str, rows: int, wide: int, references: bool, tell: Connection, wait: Connection) -> None:
    local, _, remote = pair.partition("-")
    with project(local, remote):
        from django.db import connections
        from django.db.models import Value
        from django.db.models.functions import Repeat

        from benchmarks import changes
        from benchmarks.stock.models import Item, Part

        model = Part if references else Item
        changes.insert(model, rows)
        if wide:
            model._base_manager.update(note=Repeat(Value("x"), wide))
        tell.send({connection.alias: connection.settings_dict["NAME"] for connection in connections.all()})
        wait.recv()


def replay(pair: str, names: dict[str, str], give: Connection) -> None:
    local, _, remote = pair.partition("-")
    with project(local, remote, names=names):
        from synchro.core import call_synchronize

        call_synchronize()
        give.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
