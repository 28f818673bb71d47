"""
What the order of keys costs: automatic keys, random ones, and random ones in the order of time.

    python -m benchmarks.spicy_order                      # on SQLite
    . .cache/servers.env; python -m benchmarks.spicy_order --rows 10_000_000

Inserts rows with such keys in transactions of 10,000, and prints how many a second (of all, and of the last tenth),
and how large the table's index of keys is then; on MySQL and MariaDB, which keep rows in that index, the table. On
SQLite, and on the servers that ``make servers`` starts: in their databases it makes a table ``benchmark_rows``, and
drops it again.
"""

from __future__ import annotations

import argparse
import os
import secrets
import time
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.project import VARIABLES
from tests.databases import database_from_url

BATCH = 10_000
STATEMENT = 1_000
PAYLOAD = "x" * 60


def kinds() -> dict[str, Callable[[], Iterator[int]]]:
    from django_spicy_id.ordered import next_key

    return {
        "automatic": lambda: count(1),
        "by time": lambda: iter(next_key, None),
        "random": lambda: iter(lambda: secrets.randbelow(2**63 - 1) + 1, None),
    }


def insert(connection: Any, keys: list[int]) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy("COPY benchmark_rows (id, payload) FROM STDIN") as copy:
                for key in keys:
                    copy.write_row((key, PAYLOAD))
            return
        for start in range(0, len(keys), STATEMENT):
            part = keys[start : start + STATEMENT]
            values = ", ".join(f"({key}, '{PAYLOAD}')" for key in part)
            cursor.execute(f"INSERT INTO benchmark_rows (id, payload) VALUES {values}")


def index_size(connection: Any) -> int:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_relation_size('benchmark_rows_pkey')")
        elif connection.vendor == "mysql":
            cursor.execute("ANALYZE TABLE benchmark_rows")
            cursor.fetchall()
            cursor.execute(
                "SELECT data_length FROM information_schema.tables "
                "WHERE table_schema = database() AND table_name = 'benchmark_rows'"
            )
        else:
            cursor.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
        return int(cursor.fetchone()[0])


def measure(connection: Any, keys: Iterator[int], rows: int) -> tuple[float, float, int]:
    """Rows a second of all and of the last tenth, and the size of the index."""
    from django.db import transaction

    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS benchmark_rows")
        cursor.execute("CREATE TABLE benchmark_rows (id bigint PRIMARY KEY, payload varchar(60) NOT NULL)")
    spent: list[float] = []
    for start in range(0, rows, BATCH):
        batch = list(islice(keys, min(BATCH, rows - start)))
        began = time.perf_counter()
        with transaction.atomic(using=connection.alias):
            insert(connection, batch)
        spent.append(time.perf_counter() - began)
    last = spent[-max(1, len(spent) // 10) :]
    return rows / sum(spent), min(rows, len(last) * BATCH) / sum(last), index_size(connection)


def measure_all(aliases: list[str], rows: int) -> None:
    from django.db import connections

    print(f"{format(rows, ',') + ' rows':28}{'rows/s':>10}{'at the end':>12}{'index':>12}", flush=True)
    for alias in aliases:
        connection = connections[alias]
        for kind, keys in kinds().items():
            rate, last, size = measure(connection, keys(), rows)
            print(f"{f'{alias}, {kind}':28}{rate:10,.0f}{last:12,.0f}{size / 2**20:9,.0f} MB", flush=True)
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE benchmark_rows")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", default="", help="names of databases, separated by spaces")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        databases: dict[str, dict[str, Any]] = {
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(Path(folder) / "sqlite3")}
        }
        for backend, variable in VARIABLES.items():
            if variable in os.environ:
                databases[backend] = database_from_url(os.environ[variable], "")
        import django
        from django.conf import settings

        settings.configure(DATABASES=databases, USE_TZ=True)
        django.setup()
        chosen = arguments.only.split() or list(databases)
        measure_all([alias for alias in databases if alias in chosen], arguments.rows)


if __name__ == "__main__":
    main()
