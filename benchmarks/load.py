"""
Load of many rows into an empty table, beside what a person would take otherwise, in one run.

    python -m benchmarks.load [--rows 1000000] [--rounds 2] [--cases same references mariadb mysql sqlite to_mysql]

Each case runs in a process of its own. Beside stand: from PostgreSQL to PostgreSQL, COPY to COPY through one process;
from MariaDB and MySQL to PostgreSQL, pgloader (Debian's package, where it is installed) and a bare loop from an
unbuffered cursor into COPY; else the driver's own bulk insert. Of the rounds, which take turns, the best counts. The
last column is the most memory that the process of the load has used.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.project import is_available, project

#: Backends of LOCAL and REMOTE, and the model.
CASES = {
    "same": ("postgresql", "postgresql", "Item"),
    "references": ("postgresql", "postgresql", "Part"),
    "mariadb": ("mariadb", "postgresql", "Item"),
    "mysql": ("mysql", "postgresql", "Item"),
    "sqlite": ("sqlite", "postgresql", "Item"),
    "to_mysql": ("postgresql", "mysql", "Item"),
}
COLUMNS = ("id", "name", "note", "amount", "price", "changed")
AT_ONCE = 1000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        local, remote, model = CASES[options.cases[0]]
        with project(local, remote, SYNCHRO_RETENTION=None):
            print(json.dumps(measure(model, options.rows, options.rounds, options.profile)))
        return
    for case in options.cases:
        local, remote, _model = CASES[case]
        if not (is_available(local) and is_available(remote)):
            print(f"{case:12}no server")
            continue
        show(case, options.rows, in_a_process(case, options))


def in_a_process(case: str, options: argparse.Namespace) -> dict[str, float]:
    arguments = ["--rows", str(options.rows), "--rounds", str(options.rounds), "--cases", case, "--one"]
    arguments += ["--profile"] if options.profile else []
    command = [sys.executable, "-m", "benchmarks.load", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    *more, last = done.stdout.strip().splitlines()
    print("\n".join(more), end="\n" if more else "")
    found: dict[str, float] = json.loads(last)
    return found


def show(case: str, rows: int, found: dict[str, float]) -> None:
    memory, own = found.pop("memory"), found.pop("load")
    print(f"{case:12}{'synchro_load':28}{rows / own:>10,.0f} rows/s{'':>16}{memory:>8.0f} MiB", flush=True)
    for name, seconds in found.items():
        print(f"{'':12}{name:28}{rows / seconds:>10,.0f} rows/s{seconds / own:>8.2f} of it", flush=True)


def measure(model_name: str, rows: int, rounds: int, is_profiled: bool) -> dict[str, float]:
    """Return the seconds of each way, and how many MiB a load took."""
    from benchmarks import changes
    from benchmarks.stock import models
    from synchro.core import call_synchronize
    from synchro.models import ChangeLog

    model = getattr(models, model_name)
    call_synchronize()
    changes.insert(model, rows)
    ChangeLog.objects.all()._raw_delete("default")  # a load is for rows that nobody captured
    others = beside(model._meta.db_table)
    best: dict[str, float] = {}
    for number in range(rounds):
        clear(model)
        seconds, memory = load(model, is_profiled and number == 0)
        best["load"] = min(seconds, best.get("load", seconds))
        best["memory"] = max(memory, best.get("memory", 0))
        check(model, rows)
        for name, other in others.items():
            clear(model)
            took = other()
            check(model, rows)
            best[name] = min(took, best.get(name, took))
    return best


def load(model: Any, is_profiled: bool) -> tuple[float, float]:
    from synchro.load import load as load_rows

    begun = time.perf_counter()
    if is_profiled:
        import cProfile
        import pstats

        with cProfile.Profile() as profiler:
            load_rows("remote", [model], restart=True)
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)
    else:
        load_rows("remote", [model], restart=True)
    seconds = time.perf_counter() - begun
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def clear(model: Any) -> None:
    from django.db import connections

    from synchro.models import Reference

    connection, table = connections["remote"], model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE TABLE {connection.ops.quote_name(table)}")
    for alias in ("default", "remote"):
        Reference.objects.using(alias).all().delete()


def check(model: Any, rows: int) -> None:
    found = model.objects.using("remote").count()
    assert found == rows, f"{found} rows instead of {rows}"


def beside(table: str) -> dict[str, Callable[[], float]]:
    from django.db import connections

    local, remote = connections["default"].vendor, connections["remote"].vendor
    if local == remote == "postgresql":
        return {"COPY to COPY": timed(copy_to_copy, table)}
    if local == "mysql" and remote == "postgresql":
        found = {"unbuffered cursor to COPY": timed(cursor_to_copy, table)}
        # pgloader cannot log in to MySQL 9.
        if shutil.which("pgloader") and connections["default"].mysql_is_mariadb:
            found["pgloader"] = timed(by_pgloader, table)
        return found
    return {"the driver's bulk insert": timed(by_executemany, table)}


def timed(function: Callable[[str], None], table: str) -> Callable[[], float]:
    def run() -> float:
        begun = time.perf_counter()
        function(table)
        return time.perf_counter() - begun

    return run


def copy_to_copy(table: str) -> None:
    from django.db import connections, transaction

    names = ", ".join(COLUMNS)
    with (
        transaction.atomic(using="remote"),
        connections["default"].cursor() as here,
        connections["remote"].cursor() as there,
        here.copy(f"COPY {table} ({names}) TO STDOUT") as out,
        there.copy(f"COPY {table} ({names}) FROM STDIN") as into,
    ):
        for data in out:
            into.write(data)


def cursor_to_copy(table: str) -> None:
    from django.db import connections, transaction
    from MySQLdb.cursors import SSCursor

    names = ", ".join(COLUMNS)
    here = connections["default"]
    here.ensure_connection()
    with (
        transaction.atomic(using="remote"),
        here.connection.cursor(SSCursor) as cursor,
        connections["remote"].cursor() as there,
    ):
        cursor.execute(f"SELECT {names} FROM {table}")
        with there.copy(f"COPY {table} ({names}) FROM STDIN") as into:
            for row in cursor:
                into.write_row(row)


def by_executemany(table: str) -> None:
    from django.db import connections, transaction

    names, places = ", ".join(COLUMNS), ", ".join(["%s"] * len(COLUMNS))
    with (
        transaction.atomic(using="remote"),
        connections["default"].chunked_cursor() as here,
        connections["remote"].cursor() as there,
    ):
        here.execute(f"SELECT {names} FROM {table}")
        while rows := here.fetchmany(AT_ONCE):
            there.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", rows)


def by_pgloader(table: str) -> None:
    from django.db import connections

    one, other = (connections[alias].settings_dict for alias in ("default", "remote"))
    with tempfile.TemporaryDirectory() as folder:
        command = Path(folder) / "load"
        command.write_text(
            f"LOAD DATABASE FROM mysql://{_account(one)}/{one['NAME']}\n"
            f"INTO postgresql://{_account(other)}/{other['NAME']}\n"
            "WITH data only, include no drop, create no tables, create no indexes, no foreign keys, "
            "reset no sequences\n"
            f"INCLUDING ONLY TABLE NAMES MATCHING '{table}'\n"
            f"ALTER SCHEMA '{one['NAME']}' RENAME TO 'public';\n"
        )
        done = subprocess.run(
            ["pgloader", "--root-dir", folder, str(command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-2000:]


def _account(entry: dict[str, Any]) -> str:
    return f"{entry['USER']}:{entry['PASSWORD']}@{entry['HOST']}:{entry['PORT']}"


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    main()
