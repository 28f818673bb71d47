"""
The load that loses rows in Bucardo (its issue 216): is any row lost, while many clients write and a replayer loops?

    python -m tests.backends run --only postgresql_old -- python -m benchmarks.lost_rows [--transactions 200000]

pgbench makes the load: one insert and five updates by random keys in each transaction, by many clients at once. At the
end all rows of both databases are compared. Bucardo gets the same load where it is installed; `benchmarks.peers` tells
what it needs. Ends with an error where django-synchro lost a row.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from benchmarks.project import project
from benchmarks.rivals.bucardo import Bucardo
from benchmarks.rivals.databases import Server

#: How many rows there are at first, whose keys the updates draw from.
KEYS = 10_000
INSERT = (
    "INSERT INTO {table} ({key}name, note, amount, price, changed) "
    "VALUES ({value}'new', 'by pgbench', 0, 0, now());"
)
UPDATE = "UPDATE {table} SET amount = amount + 1, changed = now() WHERE id = :key{number};"


@dataclass(frozen=True)
class Load:
    transactions: int
    clients: int

    def start(self, dsn: str, table: str, script: Path, new_key: str = "") -> subprocess.Popen[bytes]:
        """pgbench at work. `new_key` is an expression for the keys of new rows, where the database makes none."""
        values = {
            "table": table,
            "key": "id, " if new_key else "",
            "value": f"{new_key}, " if new_key else "",
        }
        draws = [f"\\set key{number} random(1, {KEYS})" for number in range(5)]
        updates = [UPDATE.format(table=table, number=number) for number in range(5)]
        script.write_text("\n".join([*draws, "BEGIN;", INSERT.format(**values), *updates, "END;"]))
        each = -(-self.transactions // self.clients)
        command = ["pgbench", "-n", "-f", str(script), "-c", str(self.clients), "-j", "2", "-t", str(each)]
        # Random keys in any order deadlock now and then.
        return subprocess.Popen([*command, "--max-tries=100", dsn], stdout=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--transactions", type=int, default=200_000)
    parser.add_argument("--clients", type=int, default=20)
    options = parser.parse_args()
    load = Load(options.transactions, options.clients)
    ours = synchro(load)
    if shutil.which("bucardo"):
        bucardo(load)
    else:
        print("Bucardo is not installed.")
    sys.exit(1 if ours else 0)


def bucardo(load: Load) -> int:
    with Server.of_environment() as server, tempfile.TemporaryDirectory() as folder:
        rival = Bucardo(server, Path(folder))
        try:
            rival.begin()
            with server.connect(rival.source) as here, server.connect(rival.target) as there:
                here.execute(
                    "INSERT INTO item SELECT n, 'old', '', 0, 0, now() FROM generate_series(1, %s) n", [KEYS]
                )
                here.execute("CREATE SEQUENCE new_key START 1000000")
                writing = load.start(
                    server.dsn(rival.source), "item", rival.folder / "load.sql", "nextval('new_key')"
                )
                runs = while_it_writes(writing, rival.kick_and_wait)
                for _ in range(3):
                    rival.kick_and_wait()
                return report("Bucardo", load, runs, here, there, "item")
        finally:
            rival.end()


def synchro(load: Load) -> int:
    os.environ["SYNCHRO_TEST_POSTGRESQL_URL"] = os.environ["SYNCHRO_TEST_POSTGRESQL_OLD_URL"]
    server = Server.of_environment()
    with (
        project("postgresql", "postgresql", SYNCHRO_CAPTURE="triggers"),
        tempfile.TemporaryDirectory() as folder,
    ):
        from django.core.management import call_command
        from django.db import connections

        from benchmarks import changes
        from benchmarks.stock.models import Item
        from synchro.core import call_synchronize

        call_command("synchro_install_triggers", verbosity=0, stdout=open(os.devnull, "w"))
        changes.insert(Item, KEYS)
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT setval(pg_get_serial_sequence(%s, 'id'), 1000000)", [Item._meta.db_table])
        names = {alias: str(connections[alias].settings_dict["NAME"]) for alias in ("default", "remote")}
        table = Item._meta.db_table
        writing = load.start(server.dsn(names["default"]), table, Path(folder) / "load.sql")
        runs = while_it_writes(writing, call_synchronize)
        call_synchronize()
        with server.connect(names["default"]) as here, server.connect(names["remote"]) as there:
            return report("django-synchro", load, runs, here, there, table)


def while_it_writes(writing: subprocess.Popen[bytes], replay: Callable[[], Any]) -> int:
    """Replay again and again; returns how often."""
    runs = 0
    while writing.poll() is None:
        replay()
        runs += 1
    if writing.returncode:
        raise RuntimeError(f"pgbench ended with {writing.returncode}.")
    return runs


def report(
    name: str,
    load: Load,
    runs: int,
    here: psycopg.Connection[Any],
    there: psycopg.Connection[Any],
    table: str,
) -> int:
    """Print how many rows differ, and return it."""
    query = sql.SQL("SELECT id, md5(t::text) FROM {} t").format(sql.Identifier(table))
    ours, theirs = (dict(side.execute(query).fetchall()) for side in (here, there))
    lost = len(ours.keys() - theirs.keys())
    stale = sum(theirs[key] != value for key, value in ours.items() if key in theirs)
    extra = len(theirs.keys() - ours.keys())
    print(
        f"{name:16}{load.transactions:>10,} transactions, {runs:,} runs, {len(ours):,} rows: "
        f"{lost:,} lost, {stale:,} not up to date, {extra:,} too many",
        flush=True,
    )
    return lost + stale + extra


if __name__ == "__main__":
    main()
