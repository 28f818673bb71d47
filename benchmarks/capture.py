"""
What capture by triggers costs the writer, on each engine that the environment names.

    SYNCHRO_TEST_POSTGRESQL_URL=... SYNCHRO_TEST_MYSQL_URL=... python benchmarks/capture.py

Each number is a ratio to the same work without triggers, of medians of one run (and microseconds added a row).
The databases are made for the run and dropped after it. "signals" are saves that are captured by signals. Where
django-pghistory is installed, its triggers are
measured too, on PostgreSQL. ``--kept 1000000`` also measures with so many entries in the log before the work.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import django
from django.conf import settings

from tests.databases import database_from_url

URLS = {
    "PostgreSQL": "SYNCHRO_TEST_POSTGRESQL_URL",
    "PostgreSQL, old": "SYNCHRO_TEST_POSTGRESQL_OLD_URL",
    "MySQL": "SYNCHRO_TEST_MYSQL_URL",
    "MariaDB": "SYNCHRO_TEST_MARIADB_URL",
}
BUDGETS = {
    "PostgreSQL": (2.5, 2.5, 5.0, 1.15),
    "PostgreSQL, old": (2.5, 2.5, 5.0, 1.15),
    "MySQL": (3.5, 4.5, 5.0, 1.5),
    "MariaDB": (4.0, 6.0, 4.5, 1.5),
    "SQLite": (3.5, 4.0, 4.5, 1.3),
}
#: At most what a save may cost that is captured by signals.
SIGNALS = 1.3
WORK = ("bulk insert", "bulk update", "bulk delete", "saves")
HAS_PGHISTORY = find_spec("pghistory") is not None


def configure(engine: str, folder: str) -> None:
    url = (
        f"sqlite:///{folder}/capture"
        if engine == "SQLite"
        else os.environ[URLS[engine]].rpartition("/")[0] + "/capture"
    )
    database = database_from_url(url, "bench")
    apps = [
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "django.contrib.admin",
        "synchro",
        "benchmarks.rows",
    ]
    if engine.startswith("PostgreSQL") and HAS_PGHISTORY:
        apps += ["pgtrigger", "pghistory", "benchmarks.history"]
    settings.configure(
        DATABASES={"default": database},
        INSTALLED_APPS=apps,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        SECRET_KEY="only for a benchmark",
        SYNCHRO_REMOTE=None,
        SYNCHRO_MODELS=[("rows", "Row")],
        SYNCHRO_CAPTURE="triggers",
    )
    django.setup()


@contextmanager
def database() -> Iterator[None]:
    from django.db import connection

    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(str(connection.settings_dict["NAME"]), verbosity=0)


class Bench:
    def __init__(self, model: Any, saves: int, logs: tuple[str, ...] = ("synchro_changelog",)) -> None:
        self.model, self.saves = model, saves
        self.table: str = model._meta.db_table
        #: The tables that its triggers write to.
        self.logs = logs
        #: How many entries the log has before the work.
        self.kept = 0
        self.columns = ", ".join(field.column for field in model._meta.concrete_fields)

    def execute(self, sql: str) -> None:
        from django.db import connection, transaction

        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql)

    def clear(self) -> None:
        from django.db import connection

        with connection.cursor() as cursor:
            truncate = "DELETE FROM" if connection.vendor == "sqlite" else "TRUNCATE TABLE"
            for name in (*self.logs, self.table):
                cursor.execute(f"{truncate} {name}")
            if self.kept:
                keep(cursor, self.kept)
            if connection.vendor == "sqlite":
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            if connection.vendor == "postgresql":
                cursor.execute(f"VACUUM ANALYZE {self.table}")
                cursor.execute("CHECKPOINT")

    def measure(self) -> list[float]:
        """Seconds of each kind of work, once."""
        self.clear()
        insert = f"INSERT INTO {self.table} ({self.columns}) SELECT {self.columns} FROM rows_source"
        seconds = [
            timed(lambda: self.execute(insert)),
            timed(lambda: self.execute(f"UPDATE {self.table} SET number = number + 1")),
            0.0,
            self.save_each(),
        ]
        seconds[2] = timed(lambda: self.execute(f"DELETE FROM {self.table}"))
        return seconds

    def save_each(self) -> float:
        from django.db import transaction

        rows = list(self.model.objects.order_by("pk")[: self.saves])

        def save() -> None:
            with transaction.atomic():
                for row in rows:
                    row.number += 7
                    row.save()

        return timed(save)


def keep(cursor: Any, entries: int) -> None:
    """Fill the log with so many entries, made from the rows to copy."""
    cursor.execute("SELECT id FROM django_content_type ORDER BY id")
    (content_type,) = cursor.fetchone()
    while entries > 0:
        cursor.execute(
            "INSERT INTO synchro_changelog (content_type_id, object_id, date, action) "
            f"SELECT {content_type}, id, moment, 2 FROM rows_source ORDER BY id LIMIT {entries}"
        )
        entries -= cursor.rowcount


#: Tells the time that has passed.
clock: Callable[[], float] = time.perf_counter


def timed(work: Callable[[], Any]) -> float:
    start = clock()
    work()
    return clock() - start


def processor_clock() -> Callable[[], float]:
    """
    The processor's time of the server's thread that serves this connection, which other work does not lengthen.

    On SQLite, that of this process.
    """
    from django.db import connection

    if connection.vendor == "sqlite":
        return time.process_time
    if connection.vendor == "postgresql":
        tell = "SELECT pg_backend_pid()"
    elif connection.mysql_is_mariadb:  # type: ignore[attr-defined]
        tell = "SELECT tid FROM information_schema.processlist WHERE id = CONNECTION_ID()"
    else:
        tell = "SELECT thread_os_id FROM performance_schema.threads WHERE processlist_id = CONNECTION_ID()"
    with connection.cursor() as cursor:
        cursor.execute(tell)
        file = Path(f"/proc/{cursor.fetchone()[0]}/schedstat")
    return lambda: int(file.read_text().split()[0]) / 1e9


Variant = tuple[Callable[[], None], Callable[[], None], Bench]


def nothing() -> None:
    """The triggers are there already, or there are none."""


def capture_by(mode: str) -> Callable[[], None]:
    return lambda: setattr(settings, "SYNCHRO_CAPTURE", mode)


def variants(engine: str, saves: int, kept: int) -> dict[str, Variant]:
    """What to do before and after the work, and the work."""
    from django.core.management import call_command

    from benchmarks.rows.models import Row

    def triggers(*options: str) -> Callable[[], None]:
        return lambda: call_command("synchro_install_triggers", *options, stdout=StringIO())

    plain = Bench(Row, saves)
    found: dict[str, Variant] = {
        "none": (nothing, nothing, plain),
        "signals": (capture_by("signals"), capture_by("triggers"), plain),
        "synchro": (triggers(), triggers("--uninstall"), plain),
    }
    if kept:
        full = Bench(Row, saves)
        full.kept = kept
        found[f"synchro, {kept} entries kept"] = (triggers(), triggers("--uninstall"), full)
    if not engine.startswith("PostgreSQL"):
        found["key and action only"] = (bare, drop_bare, plain)
    elif HAS_PGHISTORY:
        from benchmarks.history.models import ByRow, ByStatement

        for name, model in (("row", ByRow), ("statement", ByStatement)):
            work = Bench(model, saves, (f"{model._meta.db_table}event",))
            found[f"django-pghistory, {name} level"] = (nothing, nothing, work)
    return found


def run(engine: str, rows: int, saves: int, rounds: int, kept: int, of_processor: bool) -> None:
    from benchmarks.rows.models import fill_source

    fill_source(rows)
    if of_processor:
        global clock
        clock = processor_clock()
    measured = variants(engine, saves, kept)
    times: dict[str, list[list[float]]] = {name: [] for name in measured}
    for _ in range(rounds):
        for name, (begin, end, bench) in measured.items():
            begin()
            times[name].append(bench.measure())
            end()
    medians = {
        name: [statistics.median(column) for column in zip(*found, strict=True)]
        for name, found in times.items()
    }
    for name, found in medians.items():
        if name == "signals":
            report_saves(engine, medians["none"][3], found[3])
        elif name != "none":
            report(engine, name, medians["none"], found, rows)


def bare() -> None:
    """
    The least that a row trigger of this kind can do: key and action, no switch, no columns, no comparison.
    """
    from django.db import connection

    now = "strftime('%Y-%m-%d %H:%M:%f', 'now')" if connection.vendor == "sqlite" else "UTC_TIMESTAMP(6)"
    with connection.cursor() as cursor:
        for action, (event, row) in enumerate(
            (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")), start=1
        ):
            cursor.execute(
                f"CREATE TRIGGER bare_{event} AFTER {event} ON rows_row FOR EACH ROW BEGIN "
                "INSERT INTO synchro_changelog (content_type_id, object_id, date, action) "
                f"VALUES (1, {row}.id, {now}, {action}); END",
                None,
            )


def drop_bare() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        for event in ("INSERT", "UPDATE", "DELETE"):
            cursor.execute(f"DROP TRIGGER bare_{event}")


def report(engine: str, name: str, without: list[float], found: list[float], rows: int) -> None:
    cells = []
    for place, (base, seconds) in enumerate(zip(without, found, strict=True)):
        budget = BUDGETS[engine][place]
        verdict = ("" if seconds / base <= budget else " >") if name == "synchro" else ""
        added = f" (+{(seconds - base) / rows * 1e6:.1f} us)" if place < 3 else ""
        cells.append(f"{seconds / base:.2f}{verdict}{added}")
    print(f"| {engine} | {name} | {' | '.join(cells)} |", flush=True)


def report_saves(engine: str, without: float, found: float) -> None:
    ratio = found / without
    print(f"| {engine} | signals | | | | {ratio:.2f}{' >' if ratio > SIGNALS else ''} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--saves", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kept", type=int, default=0)
    parser.add_argument(
        "--processor",
        action="store_true",
        help="Measure the processor's time of the server's thread; the server runs here.",
    )
    parser.add_argument("--engine", choices=[*URLS, "SQLite"], help="Only this one.")
    options = parser.parse_args()
    engines = (
        [options.engine]
        if options.engine
        else [e for e in (*URLS, "SQLite") if os.environ.get(URLS.get(e, ""), e == "SQLite")]
    )
    if len(engines) > 1:
        print(
            f"| engine | triggers | {' | '.join(WORK)} |\n| --- | --- | --- | --- | --- | --- |", flush=True
        )
        for engine in engines:
            # Django is configured once a process.
            arguments = [sys.executable, __file__, "--engine", engine]
            for name in ("rows", "saves", "rounds", "kept"):
                arguments += [f"--{name}", str(getattr(options, name))]
            if os.spawnv(os.P_WAIT, sys.executable, arguments):
                sys.exit(1)
        return
    with tempfile.TemporaryDirectory() as folder:
        configure(engines[0], folder)
        with database():
            run(engines[0], options.rows, options.saves, options.rounds, options.kept, options.processor)


if __name__ == "__main__":
    main()
