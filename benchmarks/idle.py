"""
How long `synchronize` takes with nothing to do, with few and with many old entries kept.

    python -m benchmarks.idle [--pair postgresql-postgresql] [--kept 1000 5000000]
"""

from __future__ import annotations

import argparse
import statistics
import time

from benchmarks.project import project

RUNS = 30
BATCH = 5000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pair", default="postgresql-postgresql")
    parser.add_argument("--kept", type=int, nargs="+", default=[1000, 5_000_000])
    options = parser.parse_args()
    local, _, remote = options.pair.partition("-")
    with project(local, remote):
        for kept in options.kept:
            times = sorted(idle_runs(kept))
            print(
                f"{kept:>12,} entries kept: {statistics.median(times) * 1000:.1f} ms a run "
                f"(median of {RUNS}; the best {times[0] * 1000:.1f}, the worst {times[-1] * 1000:.1f})",
                flush=True,
            )


def idle_runs(kept: int) -> list[float]:
    from synchro.core import call_synchronize

    keep(kept)
    times = []
    for _ in range(RUNS + 2):
        begun = time.perf_counter()
        report = call_synchronize()
        times.append(time.perf_counter() - begun)
        assert report.entries == 0
    return times[2:]


def keep(count: int) -> None:
    """Fill the log up to `count` entries, which REMOTE has, in batches."""
    from django.db import connection, transaction
    from django.db.models import Count, Max, Min

    from benchmarks import changes
    from benchmarks.stock.models import Item
    from synchro.core import call_synchronize
    from synchro.models import ADDITION, Batch, ChangeLog, Checkpoint, Node, Receipt

    if not ChangeLog.objects.exists():
        changes.log(Item, range(1, 501), ADDITION)
        call_synchronize()
    columns = "content_type_id, object_id, action, date, fields"
    table = ChangeLog._meta.db_table
    have = ChangeLog.objects.count()
    while have < count:  # each time as many again
        more = min(have, count - have)
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {table} LIMIT {more}")
        have += more
    ids = ChangeLog.objects.aggregate(first=Min("id"), last=Max("id"), count=Count("id"))
    with transaction.atomic():
        Batch.objects.all().delete()
        starts = range(ids["first"], ids["last"] + 1, BATCH)
        Batch.objects.bulk_create(
            Batch(number=number, ranges=f"{start}-{min(start + BATCH - 1, ids['last'])}", size=BATCH)
            for number, start in enumerate(starts, 1)
        )
        Node.objects.update(batch=len(starts), highest=ids["last"], holes="[]")
    Checkpoint.objects.update(batch=len(starts))
    Receipt.objects.using("remote").update(batch=len(starts))


if __name__ == "__main__":
    main()
