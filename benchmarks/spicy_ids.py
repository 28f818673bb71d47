"""
Spicy ids against django-spicy-id 1.1.0 and against plain keys.

    python benchmarks/spicy_ids.py
    python -m benchmarks.spicy_ids --databases   # the read alone, on every database that is there

Each package runs in a process of its own, on an SQLite file of its own; django-spicy-id is installed into a
folder of the cache the first time. The processes take turns, and the best of the rounds counts: what disturbs
a measurement only makes it slower. What counts is the time of the processor, on a server's database that of the
clock. Keys are measured as a database hands them out (1, 2, 3, ...) and random over 63 bits, and as random UUIDs.

`read` is ``list(values_list("id"))``, also compared with the same over a plain ``BigAutoField`` or ``UUIDField`` in the
same process. With ``--databases`` only that is measured, for this package, on SQLite and on the servers that
``make servers`` starts.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "benchmarks"
OTHER = "django-spicy-id==1.1.0"
KINDS = ("automatic", "random", "uuid")
#: What the project promises: at least so many times as fast as the other, at most so many times a plain read.
AT_LEAST = {"encode": 3.0, "decode": 3.0, "read": 2.0}
AT_MOST_OF_PLAIN = 2.5
#: How often a round reads, in turns: what disturbs the one is not to spare the other.
READS = 3

Results = dict[str, float]


def keys(kind: str, count: int) -> list[Any]:
    if kind == "automatic":
        return list(range(1, count + 1))
    numbers = random.Random(count)
    if kind == "uuid":
        return sorted(UUID(int=numbers.getrandbits(128)) for _ in range(count))
    return sorted({numbers.randrange(1, 2**63) for _ in range(count)})


def seconds(action: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    gc.collect()
    start = clock()
    action()
    return clock() - start


class Worker:
    """One package in this process: it measures a round for each line that it reads."""

    def __init__(self, database: dict[str, Any], values: int, rows: int) -> None:
        import django
        from django.conf import settings

        settings.configure(DATABASES={"default": database}, INSTALLED_APPS=[], USE_TZ=True)
        django.setup()
        from django.db import connection, models

        from django_spicy_id import SpicyBigAutoField, SpicyUUIDField

        self.values, self.rows = values, rows
        # What other processes take does not count, unless one of them is the server.
        is_file = database["ENGINE"].endswith("sqlite3")
        self.clock = time.process_time if is_file else time.perf_counter
        self.tables = {}
        for kind in KINDS:
            spicy, plain = (
                (SpicyUUIDField, models.UUIDField)
                if kind == "uuid"
                else (SpicyBigAutoField, models.BigAutoField)
            )
            for name, field in (
                ("spicy", spicy(primary_key=True, prefix="usr")),
                ("plain", plain(primary_key=True)),
            ):
                # Of this process: the database of a server is shared.
                table = f"benchmark_{name}_{kind}_{os.getpid()}"
                meta = type("Meta", (), {"app_label": "benchmark", "db_table": table})
                attributes = {"id": field, "Meta": meta, "__module__": __name__}
                self.tables[name, kind] = type(f"{name}{kind}", (models.Model,), attributes)
        with connection.schema_editor() as editor:
            for model in self.tables.values():
                editor.create_model(model)
        for (_, kind), model in self.tables.items():
            model.objects.bulk_create([model(id=key) for key in keys(kind, rows)], batch_size=10_000)

    def measure(self) -> Results:
        return {f"{what} {kind}": taken for kind in KINDS for what, taken in self.measure_kind(kind).items()}

    def measure_kind(self, kind: str) -> Results:
        spicy, plain = self.tables["spicy", kind], self.tables["plain", kind]
        reads = {"plain": plain, "read": spicy}
        results: Results = {}
        for _ in range(READS):
            for name, model in reads.items():
                taken = seconds(lambda model=model: list(model.objects.values_list("id")), self.clock)
                results[name] = min(taken, results.get(name, taken))
        if not self.values:
            return results
        # Made only now: while millions of objects are kept, every other measurement takes longer.
        numbers = keys(kind, self.values)
        field = spicy._meta.get_field("id")
        read, decode = field.from_db_value, field.get_prep_value
        ids = [read(number, None, None) for number in numbers]
        assert [decode(text) for text in ids] == numbers
        results["encode"] = seconds(lambda: [read(number, None, None) for number in numbers])
        results["decode"] = seconds(lambda: [decode(text) for text in ids])
        return results

    def run(self) -> None:
        from django.db import connection

        for _ in sys.stdin:
            print(json.dumps(self.measure()), flush=True)
        with connection.schema_editor() as editor:
            for model in self.tables.values():
                editor.delete_model(model)


def other_package() -> Path:
    """Return the folder with the other package, installed there if it is not yet."""
    folder = CACHE / OTHER
    if not (folder / "django_spicy_id").is_dir():
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            str(folder),
            OTHER,
        ]
        subprocess.run(command, check=True)
    return folder


def sqlite(folder: str) -> dict[str, Any]:
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{folder}.sqlite3"}


def start(package: Path, database: dict[str, Any], values: int, rows: int) -> subprocess.Popen[str]:
    sizes = ["--values", str(values), "--rows", str(rows)]
    command = [sys.executable, __file__, "--worker", json.dumps(database), *sizes]
    environment = {**os.environ, "PYTHONPATH": str(package)}
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=package
    )


def ask(worker: subprocess.Popen[str]) -> Results:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("\n")
    worker.stdin.flush()
    line = worker.stdout.readline()
    if not line:
        sys.exit("a benchmark process ended early, see above")
    return json.loads(line)


def measure_both(values: int, rows: int, rounds: int) -> tuple[Results, Results]:
    """Return the best times of this package and of the other."""
    best: list[Results] = [{}, {}]
    with tempfile.TemporaryDirectory() as name:
        workers = []
        for number, package in enumerate((ROOT, other_package())):
            workers.append(start(package, sqlite(f"{name}/{number}"), values, rows))
        for _ in range(rounds):
            for results, worker in zip(best, workers, strict=True):
                for what, time_taken in ask(worker).items():
                    results[what] = min(time_taken, results.get(what, time_taken))
        for worker in workers:
            worker.communicate()
    return best[0], best[1]


def measure_databases(rows: int, rounds: int) -> bool:
    """Print what a read takes on each database; return whether the promise is kept on all."""
    from benchmarks.project import VARIABLES
    from tests.databases import database_from_url

    kept = True
    print(f"{'read ' + format(rows, ','):28}{'here':>10}{'plain':>10}{'of plain':>10}")
    with tempfile.TemporaryDirectory() as name:
        databases = {"sqlite": sqlite(f"{name}/0")} | {
            backend: database_from_url(os.environ[variable], "")
            for backend, variable in VARIABLES.items()
            if variable in os.environ
        }
        for backend, database in databases.items():
            worker = start(ROOT, database, 0, rows)
            best = ask(worker)
            for _ in range(rounds - 1):
                best = {what: min(taken, best[what]) for what, taken in ask(worker).items()}
            worker.communicate()
            for kind in KINDS:
                ours, plain = best[f"read {kind}"], best[f"plain {kind}"]
                good = ours / plain <= AT_MOST_OF_PLAIN
                row = f"{f'{backend}, {kind}':28}{ours * 1000:7.0f} ms{plain * 1000:7.0f} ms{ours / plain:10.2f}"
                print(row + ("" if good else "  beyond the promise"))
                kept = kept and good
    return kept


def report(ours: Results, other: Results, values: int, rows: int) -> bool:
    """Print the table; return whether all promises are kept."""
    kept = True
    print(f"{'':28}{'here':>10}{'1.1.0':>10}{'ratio':>8}{'plain':>10}{'of plain':>10}")
    for kind in KINDS:
        for what, least in AT_LEAST.items():
            count = rows if what == "read" else values
            name = f"{what} {kind}"
            ratio = other[name] / ours[name]
            line = f"{what} {count:,} {kind}"
            row = f"{line:28}{ours[name] * 1000:8.0f} ms{other[name] * 1000:7.0f} ms{ratio:8.1f}"
            good = ratio >= least
            if what == "read":
                of_plain = ours[name] / ours[f"plain {kind}"]
                row += f"{ours[f'plain {kind}'] * 1000:7.0f} ms{of_plain:10.2f}"
                good = good and of_plain <= AT_MOST_OF_PLAIN
            print(row + ("" if good else "  beyond the promise"))
            kept = kept and good
    promises = ", ".join(f"{what} {least:g} times" for what, least in AT_LEAST.items())
    print(f"\nPromised: {promises} the speed of 1.1.0;")
    print(f"a read at most {AT_MOST_OF_PLAIN:g} times as long as a plain one.")
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--values", type=int, default=1_000_000, help="how many ids are encoded and decoded")
    parser.add_argument("--rows", type=int, default=100_000, help="how many rows are read")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--databases", action="store_true", help="measure the read on every database")
    parser.add_argument("--worker", metavar="DATABASE", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        Worker(json.loads(arguments.worker), arguments.values, arguments.rows).run()
        return
    if arguments.databases:
        sys.exit(0 if measure_databases(arguments.rows, arguments.rounds) else 1)
    ours, other = measure_both(arguments.values, arguments.rows, arguments.rounds)
    sys.exit(0 if report(ours, other, arguments.values, arguments.rows) else 1)


if __name__ == "__main__":
    main()
