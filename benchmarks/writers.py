"""
What triggers cost the writer, next to those of Bucardo and Slony-I, on one PostgreSQL 15 server in one run.

    env -u SYNCHRO_TEST_POSTGRESQL_OLD_URL python -m tests.backends run --only postgresql_old -- \\
        python -m benchmarks.writers [--rows 100000] [--rounds 3] [--seconds 10]

As for `benchmarks.peers`: Debian's packages, and a server that nobody else uses, since the WAL of all is counted. No
daemon is at work: triggers alone write. For each kind of change of all rows in one statement: microseconds and bytes
of WAL added a row, and bytes of the log. Then 8 clients of pgbench each change a row by a random key a transaction.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import psycopg

from benchmarks.peers import KINDS, Bucardo, Slony
from benchmarks.rivals.databases import STATEMENTS, Server
from benchmarks.rivals.rival import Rival

#: How large all tables are but the one under test.
LOGS = """
    SELECT COALESCE(sum(pg_total_relation_size(c.oid)), 0)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND c.relname <> %s
"""
WAL = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
CHANGE_ONE = """\\set id random(1, {rows})
UPDATE {table} SET amount = amount + 1, changed = now() WHERE id = :id;
"""


@dataclass
class Writer:
    """A database with the table, and what was measured there: of each kind of change, round by round."""

    name: str
    database: str
    table: str = "item"
    seconds: dict[str, list[float]] = field(default_factory=dict)
    wal: dict[str, list[float]] = field(default_factory=dict)
    log: dict[str, list[float]] = field(default_factory=dict)
    latency: list[tuple[float, float, float]] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10)
    options = parser.parse_args()
    with Server.of_environment() as server, ExitStack() as stack:
        server.make_database("peers_none")
        writers = [Writer("none", "peers_none"), stack.enter_context(_synchro())]
        for rival in (Bucardo, Slony):
            if all(shutil.which(program) for program in rival.programs):
                writers.append(stack.enter_context(_rival(rival, server)))
            else:
                print(f"{rival.name} is not installed: apt-get install {' '.join(rival.packages)}")
        for _ in range(options.rounds):
            for writer in writers:
                _change_all(server, writer, options.rows)
        for _ in range(options.rounds):
            for writer in writers:
                _change_one_by_one(server, writer, options.rows, options.seconds)
        _show(writers, options.rows)


@contextmanager
def _synchro() -> Iterator[Writer]:
    os.environ["SYNCHRO_TEST_POSTGRESQL_URL"] = os.environ["SYNCHRO_TEST_POSTGRESQL_OLD_URL"]
    from benchmarks.project import project

    with project("postgresql", "postgresql", SYNCHRO_CAPTURE="triggers"):
        from django.core.management import call_command
        from django.db import connection

        call_command("synchro_install_triggers", stdout=StringIO())
        yield Writer("django-synchro", str(connection.settings_dict["NAME"]), "stock_item")


@contextmanager
def _rival(rival: type[Rival], server: Server) -> Iterator[Writer]:
    with tempfile.TemporaryDirectory() as folder:
        one = rival(server, Path(folder))
        try:
            one.set_up()
            yield Writer(one.name, one.source)
        finally:
            one.end()


def _change_all(server: Server, writer: Writer, rows: int) -> None:
    with server.connect(writer.database) as connection:
        for kind in KINDS:
            statement = re.sub(r"\bitem\b", writer.table, STATEMENTS[kind], count=1)
            wal, log = _number(connection, WAL), _number(connection, LOGS, writer.table)
            begun = time.perf_counter()
            connection.execute(statement, [rows] if kind == "insert" else None)
            writer.seconds.setdefault(kind, []).append(time.perf_counter() - begun)
            writer.wal.setdefault(kind, []).append(_number(connection, WAL) - wal)
            writer.log.setdefault(kind, []).append(_number(connection, LOGS, writer.table) - log)
        connection.execute(f"VACUUM ANALYZE {writer.table}")


def _number(connection: psycopg.Connection[tuple[object, ...]], query: str, *params: str) -> float:
    row = connection.execute(query, params or None).fetchone()
    assert row is not None
    return float(str(row[0]))


def _change_one_by_one(server: Server, writer: Writer, rows: int, seconds: int) -> None:
    """Eight writers at once, each a transaction a row; what their transactions take, in milliseconds."""
    with server.connect(writer.database) as connection, tempfile.TemporaryDirectory() as folder:
        connection.execute(
            re.sub(r"\bitem\b", writer.table, STATEMENTS["insert"], count=1) + " ON CONFLICT DO NOTHING",
            [rows],
        )
        script = Path(folder, "script.sql")
        script.write_text(CHANGE_ONE.format(rows=rows, table=writer.table))
        where = ["-h", server.folder, "-p", str(server.port), "-U", server.user, writer.database]
        how = ["-n", "-M", "prepared", "-c", "8", "-j", "2", "-T", str(seconds), "-f", str(script), "-l"]
        subprocess.run(
            ["pgbench", *how, f"--log-prefix={folder}/times", *where], check=True, capture_output=True
        )
        times = sorted(
            int(line.split()[2]) / 1000
            for file in Path(folder).glob("times*")
            for line in file.read_text().splitlines()
        )
        mean, worst = statistics.mean(times), times[int(len(times) * 0.99)]
        writer.latency.append((statistics.median(times), mean, worst))
        connection.execute(f"DELETE FROM {writer.table}")


def _show(writers: list[Writer], rows: int) -> None:
    none = writers[0]
    print("| | " + " | ".join(f"{kind}, ratio (µs, WAL bytes, log bytes a row)" for kind in KINDS), end=" | ")
    print("8 writers: median, mean, 99 % (ms) |")
    for writer in writers:
        cells = []
        for kind in KINDS:
            base, found = min(none.seconds[kind]), min(writer.seconds[kind])
            wal = (min(writer.wal[kind]) - min(none.wal[kind])) / rows
            log = statistics.median(writer.log[kind]) / rows
            cells.append(
                f"{found / base:.2f} (+{(found - base) / rows * 1e6:.1f} µs, +{wal:.0f}, +{log:.0f})"
            )
        latency = ", ".join(f"{min(column):.2f}" for column in zip(*writer.latency, strict=True))
        print(f"| {writer.name} | {' | '.join(cells)} | {latency} |", flush=True)


if __name__ == "__main__":
    main()
