"""
What references take: bytes on each side after new rows were replayed, and seconds in which older ones become ranges.

    python -m benchmarks.references [--rows 1000000] [--pair postgresql-postgresql]

The rows of the older release stand for keys that follow each other, with a row in a hundred missing.
"""

from __future__ import annotations

import argparse
import time

from benchmarks.project import project

BEFORE, AFTER = (("synchro", "0018_jobs"),), (("synchro", "0019_reference_ranges"),)

#: How many bytes the table of references has, with its indexes.
BYTES = {
    "postgresql": "SELECT pg_total_relation_size('synchro_reference')",
    "mysql": "SELECT data_length + index_length FROM information_schema.tables "
    "WHERE table_schema = DATABASE() AND table_name = 'synchro_reference'",
    "sqlite": "SELECT SUM(pgsize) FROM dbstat WHERE name LIKE '%synchro_reference%'",
}
#: Statistics are stored now and then only.
ANALYZE = {"mysql": "ANALYZE TABLE synchro_reference"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--former", type=int, default=10_000_000, help="references of the older release")
    parser.add_argument("--pair", default="postgresql-postgresql")
    options = parser.parse_args()
    local, _, remote = options.pair.partition("-")
    with project(local, remote):
        measure(options.rows)
        migrate_back_and_forth(options.former)


def measure(rows: int) -> None:
    from benchmarks import changes
    from benchmarks.stock.models import Part
    from synchro.core import call_synchronize

    changes.insert(Part, rows)
    begun = time.perf_counter()
    assert call_synchronize().entries == rows
    print(f"{rows:,} new rows replayed in {time.perf_counter() - begun:.1f} s")
    for alias in ("default", "remote"):
        print(f"{alias}: {size(alias):,} bytes of references")


def size(alias: str) -> int:
    from django.db import DatabaseError, connections

    connection = connections[alias]
    with connection.cursor() as cursor:
        if connection.vendor in ANALYZE:
            cursor.execute(ANALYZE[connection.vendor])
            cursor.fetchall()
        try:
            cursor.execute(BYTES[connection.vendor])
        except DatabaseError:
            return 0  # a SQLite that was built without dbstat
        return int(cursor.fetchone()[0] or 0)


def migrate_back_and_forth(rows: int) -> None:
    """Fill the table of the older release, and have it migrated."""
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    from synchro.models import Reference

    Reference.objects.all()._raw_delete("default")  # type: ignore[attr-defined]
    former = MigrationExecutor(connection).migrate(list(BEFORE)).apps.get_model("synchro", "Reference")
    some = range(min(rows, 100_000))
    former.objects.bulk_create(
        (
            former(
                peer_id=1,
                content_type_id=1,
                local_object_id=number,
                remote_object_id=number + 7,
                batch=number // 20_000,
            )
            for number in some
            if number % 100
        ),
        batch_size=5000,
    )
    multiply(len(some), rows)
    old = size("default")
    begun = time.perf_counter()
    MigrationExecutor(connection).migrate(list(AFTER))
    seconds = time.perf_counter() - begun
    print(f"{rows:,} references of {old:,} bytes migrated in {seconds:.1f} s: {size('default'):,} bytes")


def multiply(count: int, rows: int) -> None:
    """Copy the references of the first `count` keys until there are those of so many `rows`."""
    from django.db import connection, models

    number = models.BigIntegerField().cast_db_type(connection)
    text = models.CharField(max_length=255).cast_db_type(connection)
    with connection.cursor() as cursor:
        for start in range(count, rows, count):
            keys = ", ".join(
                f"CAST(CAST({name} AS {number}) + {start} AS {text})"
                for name in ("local_object_id", "remote_object_id")
            )
            cursor.execute(
                "INSERT INTO synchro_reference "
                "(peer_id, content_type_id, local_object_id, remote_object_id, batch) "
                f"SELECT peer_id, content_type_id, {keys}, batch + {start // 20_000} FROM synchro_reference "
                f"WHERE batch < {count // 20_000}"
            )


if __name__ == "__main__":
    main()
