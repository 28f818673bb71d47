"""
Spicy ids against django-spicy-id 1.0.0 and against plain keys.

    python benchmarks/spicy_ids.py

Each package runs in a process of its own, on an SQLite file of its own; django-spicy-id is installed into a
folder of the cache the first time. The processes take turns, and the best of the rounds counts: what disturbs
a measurement only makes it slower. Keys are measured as a database hands them out (1, 2, 3, ...) and random
over 63 bits.

`read` is ``list(values_list("id"))``, also compared with the same over a plain ``BigAutoField`` in the same
process.
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

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "benchmarks"
OTHER = "django-spicy-id==1.0.0"
KINDS = ("automatic", "random")
#: What the project promises: at least so many times as fast as the other, at most so many times a plain read.
AT_LEAST = {"encode": 3.0, "decode": 3.0, "read": 2.0}
AT_MOST_OF_PLAIN = 2.5

Results = dict[str, float]


def keys(kind: str, count: int) -> list[int]:
    if kind == "automatic":
        return list(range(1, count + 1))
    numbers = random.Random(count)
    return sorted({numbers.randrange(1, 2**63) for _ in range(count)})


def seconds(action: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


class Worker:
    """One package in this process: it measures a round for each line that it reads."""

    def __init__(self, folder: str, values: int, rows: int) -> None:
        import django
        from django.conf import settings

        database = {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{folder}/benchmark.sqlite3"}
        settings.configure(DATABASES={"default": database}, INSTALLED_APPS=[], USE_TZ=True)
        django.setup()
        from django.db import connection, models

        from django_spicy_id import SpicyBigAutoField

        self.values, self.rows = values, rows
        self.tables = {}
        for kind in KINDS:
            for name, field in (
                ("spicy", SpicyBigAutoField(primary_key=True, prefix="usr")),
                ("plain", models.BigAutoField(primary_key=True)),
            ):
                meta = type("Meta", (), {"app_label": "benchmark"})
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
        results = {
            "plain": seconds(lambda: list(plain.objects.values_list("id"))),
            "read": seconds(lambda: list(spicy.objects.values_list("id"))),
        }
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
        for _ in sys.stdin:
            print(json.dumps(self.measure()), flush=True)


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


def start(package: Path, folder: Path, values: int, rows: int) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        __file__,
        "--worker",
        str(folder),
        "--values",
        str(values),
        "--rows",
        str(rows),
    ]
    environment = {**os.environ, "PYTHONPATH": str(package)}
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder
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
            folder = Path(name) / str(number)
            folder.mkdir()
            workers.append(start(package, folder, values, rows))
        for _ in range(rounds):
            for results, worker in zip(best, workers, strict=True):
                for what, time_taken in ask(worker).items():
                    results[what] = min(time_taken, results.get(what, time_taken))
        for worker in workers:
            worker.communicate()
    return best[0], best[1]


def report(ours: Results, other: Results, values: int, rows: int) -> bool:
    """Print the table; return whether all promises for automatic keys are kept."""
    kept = True
    print(f"{'':28}{'here':>10}{'1.0.0':>10}{'ratio':>8}{'plain':>10}{'of plain':>10}")
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
            kept = kept and (good or kind != "automatic")
    promises = ", ".join(f"{what} {least:g} times" for what, least in AT_LEAST.items())
    print(f"\nPromised for automatic keys: {promises} the speed of 1.0.0;")
    print(f"a read at most {AT_MOST_OF_PLAIN:g} times as long as a plain one.")
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--values", type=int, default=1_000_000, help="how many ids are encoded and decoded")
    parser.add_argument("--rows", type=int, default=100_000, help="how many rows are read")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        Worker(arguments.worker, arguments.values, arguments.rows).run()
        return
    ours, other = measure_both(arguments.values, arguments.rows, arguments.rounds)
    sys.exit(0 if report(ours, other, arguments.values, arguments.rows) else 1)


if __name__ == "__main__":
    main()
