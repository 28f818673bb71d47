"""
What becomes of the speed of a batch where not every row in it is plain.

    python -m benchmarks.bulk [--rows 20000] [--rounds 3] [--pairs sqlite-sqlite postgresql-postgresql ...]

Each pair of backends runs in a process of its own, and each case is one batch. The seconds are those of the processor,
so that other work on the machine disturbs them little: this process's, and those of PostgreSQL's processes that serve
it, where they run on this machine. Of the rounds the best counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.project import is_available, project

PAIRS = ("sqlite-sqlite", "postgresql-postgresql", "mysql-postgresql")
#: How many makers each crate of the benchmark has.
MEMBERS = 20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", nargs="+", default=PAIRS)
    parser.add_argument("--cases", nargs="+", default=())
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        local, _, remote = options.pairs[0].partition("-")
        with project(local, remote, SYNCHRO_BATCH_SIZE=2 * options.rows, SYNCHRO_RECEIVERS="all"):
            print(json.dumps(measure(options.rows, options.rounds, options.cases, options.profile)))
        return
    for pair in options.pairs:
        if not all(is_available(side) for side in pair.split("-")):
            print(f"{pair:24}no server")
            continue
        times = in_a_process(pair, sys.argv[1:])
        plain = times.get("plain rows")
        for case, seconds in times.items():
            ratio = f"{plain / seconds:>8.2f} of plain" if plain else ""
            print(f"{pair:24}{case:40}{options.rows / seconds:>10,.0f} rows/s{ratio}", flush=True)


def in_a_process(pair: str, arguments: list[str]) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.bulk", *arguments, "--one", "--pairs", pair]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    *profile, last = done.stdout.strip().splitlines()
    print("\n".join(profile), end="\n" if profile else "")
    times: dict[str, float] = json.loads(last)
    return times


def measure(rows: int, rounds: int, names: list[str], is_profiled: bool) -> dict[str, float]:
    from benchmarks import changes
    from synchro.core import call_synchronize

    changes.insert_parents()
    call_synchronize()
    best: dict[str, float] = {}
    for number in range(rounds):
        for case in names or CASES:
            for name, seconds in CASES[case](rows, 1 + number * rows, is_profiled):
                best[name] = min(seconds, best.get(name, seconds))
    return best


Times = Iterator[tuple[str, float]]


def plain(rows: int, first: int, is_profiled: bool) -> Times:
    from benchmarks import changes
    from benchmarks.stock.models import Part

    changes.insert(Part, rows, first)
    yield "plain rows", run(is_profiled)


def with_a_text_key(rows: int, first: int, is_profiled: bool) -> Times:
    from benchmarks import changes
    from benchmarks.stock.models import Note, Part

    changes.insert(Part, rows, first + 10**7)
    Note.objects.create(code=f"n{first}", text="one")
    yield "plain rows and one with a text key", run(is_profiled)


def with_a_receiver(rows: int, first: int, is_profiled: bool) -> Times:
    from django.db.models.signals import post_save

    from benchmarks import changes
    from benchmarks.stock.models import Item, Part

    def receive(**_kwargs: Any) -> None:
        """Does nothing, but is there."""

    changes.insert(Part, rows, first + 2 * 10**7)
    changes.insert(Item, 1, first)
    post_save.connect(receive, sender=Item)
    try:
        yield "plain rows and one with a receiver", run(is_profiled)
    finally:
        post_save.disconnect(receive, sender=Item)


def with_a_natural_key(rows: int, first: int, is_profiled: bool) -> Times:
    from benchmarks import changes
    from benchmarks.stock.models import Label, Part

    changes.insert(Label, rows, first)
    yield "new rows with a natural key", run(is_profiled)
    changes.insert(Part, rows, first + 3 * 10**7)
    changes.insert(Label, 1, first + rows + 10**8)
    yield "plain rows and one with a natural key", run(is_profiled)


def with_members(rows: int, first: int, is_profiled: bool) -> Times:
    from benchmarks import changes
    from benchmarks.stock.models import Crate

    count = rows // MEMBERS
    changes.insert(Crate, count, first)
    run(False)
    crates = range(first, first + count)
    changes.insert_members(crates, MEMBERS)
    changes.log_members(crates, MEMBERS)
    yield "members of sets, as triggers log them", run(is_profiled)
    changes.delete_members(crates)
    changes.log_sets(crates, MEMBERS)
    yield "members that go, as signals log them", run(is_profiled)
    changes.insert_members(crates, MEMBERS)
    changes.log_sets(crates, MEMBERS)
    yield "members of sets, as signals log them", run(is_profiled)


CASES: dict[str, Callable[[int, int, bool], Times]] = {
    "plain": plain,
    "text": with_a_text_key,
    "receiver": with_a_receiver,
    "natural": with_a_natural_key,
    "members": with_members,
}


def run(is_profiled: bool) -> float:
    """Replay what is pending in one batch; return the seconds of the processor."""
    from synchro.core import call_synchronize

    begun = processor_seconds()
    if is_profiled:
        import cProfile
        import pstats

        with cProfile.Profile() as profiler:
            report = call_synchronize()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(30)
    else:
        report = call_synchronize()
    assert report.batches == 1, f"{report.batches} batches"
    return processor_seconds() - begun


def processor_seconds() -> float:
    """Return what this process, and PostgreSQL's for its connections, have used of the processor so far."""
    from django.db import connections

    seconds = time.process_time()
    for connection in connections.all():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                seconds += _seconds_of(cursor.fetchone()[0])
    return seconds


def _seconds_of(process: int) -> float:
    with suppress(OSError):
        words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    main()
