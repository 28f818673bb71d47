"""
How fast verify compares two databases, next to what a person would do otherwise.

    python -m benchmarks.verify [--rows 1000000] [--rounds 3] [--pairs postgresql-postgresql mariadb-postgresql ...]
    python -m benchmarks.verify --storm 100 [--pairs ...]

Beside verify stand ``SELECT count(*)`` of both, fetching both into Python, and **reladiff** (PyPI), where
``--reladiff`` names the Python of an environment that has it (``pip install 'reladiff[postgresql,mysql]'``). It knows
no MySQL 9, which has no MD5, and no SQLite. Each pair of backends runs in a process of its own; of the rounds the best
counts.

``--storm`` has four writers and a replayer at work, verifies so many times, and fails where a difference is reported.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any
from urllib.parse import quote

from benchmarks.project import is_available, project

PAIRS = ("postgresql-postgresql", "mariadb-postgresql", "mysql-postgresql", "sqlite-postgresql")
#: How many rows of a table are read, or written, at once.
PART = 20_000
#: What reladiff is asked, in a process of its own; it prints seconds, and how many rows differ.
RELADIFF = """
import json, sys, time
import reladiff
one, other, columns = json.loads(sys.argv[1])
begun = time.perf_counter()
tables = [reladiff.connect_to_table(url, table, "id") for url, table in (one, other)]
count = sum(1 for _ in reladiff.diff_tables(*tables, extra_columns=tuple(columns)))
print(json.dumps([time.perf_counter() - begun, count]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", nargs="+", default=PAIRS)
    parser.add_argument("--reladiff", metavar="PYTHON", help="the Python of an environment that has reladiff")
    parser.add_argument("--storm", type=int, metavar="ROUNDS", help="verify so often while others write")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        local, _, remote = options.pairs[0].partition("-")
        with project(local, remote):
            storm(options.storm) if options.storm else measure(options)
        return
    for pair in options.pairs:
        if not all(is_available(side) for side in pair.split("-")):
            print(f"{pair:24}no server")
            continue
        command = [sys.executable, "-m", "benchmarks.verify", *sys.argv[1:], "--one", "--pairs", pair]
        print(pair, flush=True)
        subprocess.run(command, check=True)


# -- how fast ------------------------------------------------------------------------------------------------


def measure(options: argparse.Namespace) -> None:
    """Print the lines of one pair."""
    from benchmarks.stock.models import Item, Part
    from synchro.verify import verify

    fill(Item, options.rows)
    refer(Part, options.rows)
    times: dict[str, float] = {}

    def best(name: str, do: Callable[[], Any]) -> Any:
        for _round in range(options.rounds):
            begun = time.perf_counter()
            found = do()
            times[name] = min(time.perf_counter() - begun, times.get(name, float("inf")))
        ratio = times["equal rows"] / times[name]
        print(f"    {name:44}{times[name]:8.2f} s; verify of equal rows takes {ratio:6.2f} of it", flush=True)
        return found

    (result,) = best("equal rows", lambda: verify("remote", [Item]))
    assert (result.equal, result.unequal) == (options.rows, 0), result
    best("count(*) of both", lambda: [count(alias, Item) for alias in ("default", "remote")])
    best("fetching both into Python", lambda: [fetch(alias, Item) for alias in ("default", "remote")])
    if options.reladiff:
        best("reladiff", lambda: reladiff(options.reladiff, Item))
    (result,) = best("with references", lambda: verify("remote", [Part]))
    assert (result.equal, result.unequal) == (options.rows, 0), result
    rows = random.sample(range(1, options.rows + 1), 10)
    Item.objects.using("remote").filter(pk__in=rows).update(note="planted")
    (result,) = best("10 rows differ", lambda: verify("remote", [Item]))
    assert result.unequal == 10
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"    {'memory, at most':44}{before / 1024:8.0f} MiB", flush=True)
    Item.objects.using("remote").filter(pk__lte=options.rows // 5).update(note="planted")
    begun = time.perf_counter()
    (result,) = verify("remote", [Item], kept=10)
    assert result.unequal >= options.rows // 5
    print(f"    {'a fifth of the rows differ':44}{time.perf_counter() - begun:8.2f} s")
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"    {'memory then':44}{after / 1024:8.0f} MiB", flush=True)


def rows_of(count: int, first_key: int) -> Iterator[tuple[Any, ...]]:
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(count):
        yield (
            first_key + number,
            f"name {number:040d}",
            f"note {number * 7919:080d}",
            number % 1000,
            Decimal(number % 100_000).scaleb(-2),
            begun + timedelta(seconds=number, microseconds=number % 997),
        )


def fill(model: Any, count: int, first_on_remote: int = 1) -> None:
    """Write the same rows into both databases, as a run would."""
    from django.db import connections

    from synchro.backends import backend_for
    from synchro.replay.columns import Codec

    for alias, first in (("default", 1), ("remote", first_on_remote)):
        connection, fields = connections[alias], model._meta.local_concrete_fields
        codec, rows = Codec(fields, connection), rows_of(count, first)
        columns = [field.column for field in fields]
        for _start in range(0, count, PART):
            part = list(islice(rows, PART))
            with backend_for(connection).atomic_write():
                backend_for(connection).insert(model._meta.db_table, columns, codec.encode_all(part))
        with connection.cursor() as cursor:
            quoted = connection.ops.quote_name(model._meta.db_table)
            cursor.execute({"mysql": f"ANALYZE TABLE {quoted}"}.get(connection.vendor, f"ANALYZE {quoted}"))
            if cursor.description:
                cursor.fetchall()


def refer(model: Any, count: int) -> None:
    """Have the same rows in both databases, by other keys, which references know."""
    from synchro.core import call_synchronize
    from synchro.replay.handshake import look_at
    from synchro.replay.identity.references import remember
    from synchro.replay.session import Database, Databases

    call_synchronize()
    session = look_at(Databases(Database("remote")))
    fill(model, count, first_on_remote=1_000_001)
    assert session.peer_on_remote is not None
    for start in range(0, count, PART):
        keys = range(start + 1, min(start + PART, count) + 1)
        pairs = {key: key + 1_000_000 for key in keys}
        with session.local.backend.atomic_write():
            remember(session.local, session.peer.pk, model, pairs, 1)
        with session.remote.backend.atomic_write():
            remember(session.remote, session.peer_on_remote.pk, model, {b: a for a, b in pairs.items()}, 1)


def count(alias: str, model: Any) -> int:
    from django.db import connections

    with connections[alias].cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {connections[alias].ops.quote_name(model._meta.db_table)}")
        return int(cursor.fetchone()[0])


def fetch(alias: str, model: Any) -> int:
    """Read the whole table, as the driver gives it, a part at a time."""
    from django.db import connections

    sql = f"SELECT * FROM {connections[alias].ops.quote_name(model._meta.db_table)}"
    connection, number = connections[alias], 0
    driver = connection.connection
    if connection.vendor == "mysql":
        from MySQLdb.cursors import SSCursor

        cursor = driver.cursor(SSCursor)
        cursor.execute(sql)
        while rows := cursor.fetchmany(PART):
            number += len(rows)
        cursor.close()
        return number
    with connection.chunked_cursor() as cursor:
        cursor.execute(sql)
        while rows := cursor.fetchmany(PART):
            number += len(rows)
    return number


def reladiff(python: str, model: Any) -> int:
    """Have reladiff compare; its time includes its start, which takes half a second."""
    from django.db import connections

    tables = []
    for alias in ("default", "remote"):
        settings = connections[alias].settings_dict
        login = f"{quote(settings['USER'])}:{quote(settings['PASSWORD'])}"
        place = f"{settings['HOST']}:{settings['PORT']}/{settings['NAME']}"
        tables.append((f"{connections[alias].vendor}://{login}@{place}", model._meta.db_table))
    columns = [field.column for field in model._meta.local_concrete_fields if not field.primary_key]
    command = [python, "-I", "-c", RELADIFF, json.dumps([*tables, columns])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds, different = json.loads(done.stdout)
    print(f"        (reladiff itself: {seconds:.2f} s)")
    return int(different)


# -- while others write --------------------------------------------------------------------------------------


def storm(rounds: int) -> None:
    """Verify so many times, while four threads write and one replays; raise where a difference is reported."""
    from django.db import connections

    from benchmarks.stock.models import Item, Maker, Note, Part, Piece, Shelf
    from synchro.core import call_synchronize
    from synchro.verify import verify

    values = {"name": "n", "amount": 1, "price": Decimal(1), "changed": datetime(2026, 1, 1, tzinfo=UTC)}
    shelf, maker = Shelf.objects.create(note="", **values), Maker.objects.create(note="", **values)
    for number in range(200):
        for model in (Item, Part):
            model.objects.create(note=str(number), **values)
        Piece.objects.create(shelf=shelf, maker=maker, note=str(number), **values)
        Note.objects.create(code=f"code {number}", text="")
    call_synchronize()
    over, errors = threading.Event(), list[BaseException]()

    def repeat(do: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            try:
                while not over.is_set():
                    do()
            except BaseException as error:  # noqa: BLE001 - raised below
                errors.append(error)
                over.set()
            finally:
                connections.close_all()

        return run

    def write() -> None:
        model: Any = random.choice((Item, Part, Piece, Note))
        row = model.objects.order_by("?").first()
        if isinstance(row, Note):
            row.text = str(random.random())
            row.save()
            return
        if row is not None and random.random() < 0.3:
            row.delete()
        elif row is not None:
            row.note = str(random.random())
            row.save()
        more = {"shelf": shelf, "maker": maker} if model is Piece else {}
        model.objects.create(note="new", **more, **values)

    threads = [threading.Thread(target=repeat(write)) for _ in range(4)]
    threads.append(threading.Thread(target=repeat(call_synchronize)))
    for thread in threads:
        thread.start()
    try:
        for number in range(rounds):
            for result in verify("remote"):
                if result.unequal:
                    raise SystemExit(f"round {number}: {result}")
            if errors:
                raise errors[0]
    finally:
        over.set()
        for thread in threads:
            thread.join()
    call_synchronize()
    results = verify("remote")
    assert all(result.equal == result.rows for result in results), results
    changes = sum(result.rows for result in results)
    print(f"    {rounds} rounds, no false difference; {changes} rows at the end")


if __name__ == "__main__":
    main()
