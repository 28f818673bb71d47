"""
How fast pending changes are replayed, against what the servers and drivers need for the rows alone.

    python -m benchmarks.replay [--rows 100000] [--rounds 3] [--pairs postgresql-postgresql mysql-mysql ...]

Each pair of backends runs in a process of its own. A round inserts, changes and deletes all rows on LOCAL, and after
each of the three replays and times it, then writes the same rows without synchro (the floor). Of the rounds the best
counts, of both: what disturbs a measurement only makes it slower.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

from benchmarks.project import is_available, project

PAIRS = ("postgresql-postgresql", "mysql-mysql", "mysql-postgresql", "sqlite-sqlite")
#: Rows a second that Bucardo 5.6 reached with these (100,000 rows, on another day), by kind of change.
BUCARDO = {"insert": 27_000, "update": 25_000, "update, all columns": 25_000, "delete": 29_000}

#: Seconds by (table, kind of change), and of the floor by kind.
Times = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", nargs="+", default=PAIRS)
    parser.add_argument(
        "--batch", type=int, help="SYNCHRO_BATCH_SIZE, where the default is not to be measured"
    )
    parser.add_argument("--profile", action="store_true", help="print where the time goes instead of ratios")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        local, _, remote = options.pairs[0].partition("-")
        more = {"SYNCHRO_BATCH_SIZE": options.batch} if options.batch else {}
        with project(local, remote, **more):
            print(json.dumps(measure(options.rows, options.rounds, options.profile)))
        return
    print(f"{options.rows:,} rows, best of {options.rounds} rounds; rows per second")
    print(
        f"{'pair':24}{'change':22}{'floor':>10}{'same keys':>12}{'ratio':>8}{'references':>12}"
        f"{'foreign keys':>14}{'both, same keys':>17}{'Bucardo':>9}"
    )
    for pair in options.pairs:
        if all(is_available(side) for side in pair.split("-")):
            show(pair, options.rows, in_a_process(pair, sys.argv[1:]))
        else:
            print(f"{pair:24}no server")


def in_a_process(pair: str, arguments: list[str]) -> Times:
    command = [sys.executable, "-m", "benchmarks.replay", *arguments, "--one", "--pairs", pair]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    *profile, last = done.stdout.strip().splitlines()
    print("\n".join(profile), end="\n" if profile else "")
    times: Times = json.loads(last)
    return times


def show(pair: str, rows: int, times: Times) -> None:
    for kind in BUCARDO:
        floor, same, kept, pointing, both = (
            rows / times[f"{what} {kind}"] for what in ("floor", "item", "part", "piece", "block")
        )
        print(
            f"{pair:24}{kind:22}{floor:>10,.0f}{same:>12,.0f}{same / floor:>8.0%}{kept:>12,.0f}"
            f"{pointing:>14,.0f}{both:>17,.0f}{BUCARDO[kind]:>9,}",
            flush=True,
        )


def measure(rows: int, rounds: int, profile: bool) -> Times:
    from django.db import connections

    from benchmarks import changes, floor
    from benchmarks.stock.models import Block, Item, Part, Piece
    from synchro.core import call_synchronize

    source = Item._meta.db_table
    by_copy = all(connection.vendor == "postgresql" for connection in connections.all())
    upsert = floor.upsert_by_copy if by_copy else floor.upsert_by_driver
    floor.make_table(source)
    best: Times = {}
    changes.insert_parents()
    call_synchronize()
    for _ in range(rounds):
        for model in (Item, Part, Piece, Block):
            for kind, seconds in changes_of(model, rows, profile):
                keep(best, f"{model._meta.model_name} {kind}", seconds)
                if model is Item:
                    there = kind != "delete"
                    keep(
                        best,
                        f"floor {kind}",
                        upsert(source) if there else floor.delete_keys(range(1, rows + 1)),
                    )
    return best


def keep(best: Times, name: str, seconds: float) -> None:
    best[name] = min(seconds, best.get(name, seconds))


def changes_of(model, rows, profile):  # type: ignore[no-untyped-def]
    """Make the changes on LOCAL, and give the seconds that each takes to be replayed."""
    from benchmarks import changes

    changes.insert(model, rows)
    yield "insert", timed_run(rows, profile)
    changes.update(model, rows)
    yield "update", timed_run(rows, profile)
    changes.update(model, rows, known=False)
    yield "update, all columns", timed_run(rows, profile)
    changes.delete(model, rows)
    yield "delete", timed_run(rows, profile)


def timed_run(rows: int, profile: bool) -> float:
    from synchro.core import call_synchronize

    begun = time.perf_counter()
    if profile:
        import cProfile
        import pstats

        with cProfile.Profile() as profiler:
            report = call_synchronize()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)
    else:
        report = call_synchronize()
    seconds = time.perf_counter() - begun
    assert report.entries == rows, f"{report.entries} entries instead of {rows}"
    return seconds


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    main()
