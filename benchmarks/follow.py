"""
How soon a change is on REMOTE with `synchronize --follow`, and what it asks both databases while nothing changes.

    python -m benchmarks.follow [--pair postgresql-postgresql] [--rows 300] [--idle 10]
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.project import project

#: What is to be reached: in milliseconds, statements a second, and MiB.
MEDIAN, NINETY_NINTH, STATEMENTS, MEMORY = 50, 200, 20, 200
#: For how long the follower looks often, after some work.
UNTIL_IDLE = 6.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pair", default="postgresql-postgresql")
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--idle", type=float, default=10.0)
    options = parser.parse_args()
    local, _, remote = options.pair.partition("-")
    with project(local, remote), following() as answers:
        begun, _ = answers()
        times = sorted(latencies(options.rows))
        ended, _ = answers()
        median, late = statistics.median(times), times[int(len(times) * 0.99)]
        print(f"from commit to visible: median {median:.0f} ms (to reach: {MEDIAN}), "
              f"99th percentile {late:.0f} ms (to reach: {NINETY_NINTH}), {len(times)} rows one by one")  # fmt: skip
        asked = {alias: (ended[alias] - begun[alias]) / len(times) for alias in ("default", "remote")}
        print(f"statements for one row: {asked['default']:.0f} on LOCAL, {asked['remote']:.0f} on REMOTE")
        time.sleep(UNTIL_IDLE)
        before, _ = answers()
        time.sleep(options.idle)
        after, memory = answers()
        for alias in ("default", "remote"):
            goal = STATEMENTS if alias == "default" else 0
            count = (after[alias] - before[alias]) / options.idle
            print(f"idle, {alias}: {count:.1f} statements a second (to reach: {goal})")
        print(f"memory: {memory} MiB (to reach: {MEMORY})")


def latencies(rows: int) -> Iterator[float]:
    """Yield after how many milliseconds each row is visible on REMOTE, from its commit on."""
    from django.db import transaction

    from benchmarks.changes import row
    from benchmarks.stock.models import Item

    chance = random.Random(3)
    columns = [field.attname for field in Item._meta.concrete_fields]
    item = Item.objects.create(**dict(zip(columns, row(1), strict=True)))
    there = Item.objects.using("remote").values_list("name", flat=True)
    while there.first() is None:  # the first run makes the two acquainted
        time.sleep(0.1)
    for number in range(rows):
        # Longer and shorter pauses, so that the follower is found at any moment of its own.
        time.sleep(chance.uniform(0.02, 0.4))
        item.name = f"follow {number}"
        with transaction.atomic():
            item.save(update_fields=["name"])
        committed = time.perf_counter()
        while there.first() != item.name:
            time.sleep(0.001)
        yield (time.perf_counter() - committed) * 1000


@contextmanager
def following() -> Iterator[Any]:
    """Inside, a process of its own follows; what is given asks it for its statements by alias, and its memory."""
    from django.db import connections

    connections.close_all()
    question, ask = os.pipe()
    answer, tell = os.pipe()
    child = os.fork()
    if not child:
        os.close(ask)
        follow_and_count(question, tell)
        os._exit(0)

    def answers() -> tuple[Counter[str], int]:
        os.write(ask, b"?")
        default, remote, memory = map(int, os.read(answer, 200).split())
        return Counter(default=default, remote=remote), memory

    try:
        yield answers
    finally:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)


def follow_and_count(question: int, tell: int) -> None:
    import threading

    from django.db.backends.signals import connection_created

    from synchro import stopping
    from synchro.follow import INTERVAL, follow

    counts: Counter[str] = Counter()

    def count(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        counts[context["connection"].alias] += 1
        return execute(sql, params, many, context)

    def created(connection: Any, **_kwargs: Any) -> None:
        if count not in connection.execute_wrappers:
            connection.execute_wrappers.append(count)

    def answer() -> None:
        while os.read(question, 1):
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            os.write(tell, f"{counts['default']} {counts['remote']} {memory}".encode())

    connection_created.connect(created, weak=False)
    threading.Thread(target=answer, daemon=True).start()
    with stopping.by_signals():
        follow(None, INTERVAL, atomic=False, reported=lambda _report: None, failed=print)


if __name__ == "__main__":
    main()
