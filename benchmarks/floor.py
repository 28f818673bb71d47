"""What the servers and drivers need for the rows alone, with nothing of synchro around it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

from django.db import connections, transaction

TABLE = "floor"
COLUMNS = ("id", "name", "note", "amount", "price", "changed")
AT_ONCE = 1000

#: Seconds to write all rows of LOCAL's table into REMOTE's `TABLE`, and to delete them there.
Upsert = Callable[[str], float]


def make_table(source: str) -> None:
    connection = connections["remote"]
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT sql FROM sqlite_master WHERE name = %s", [source])
            cursor.execute(cursor.fetchone()[0].replace(source, TABLE))
        elif connection.vendor == "mysql":
            cursor.execute(f"CREATE TABLE {TABLE} LIKE {source}")
        else:
            cursor.execute(f"CREATE TABLE {TABLE} (LIKE {source} INCLUDING ALL)")


def upsert_by_copy(source: str) -> float:
    """PostgreSQL: COPY into a temporary table, byte for byte, and one upsert."""
    names = ", ".join(COLUMNS)
    begun = time.perf_counter()
    with (
        transaction.atomic(using="remote"),
        connections["default"].cursor() as here,
        connections["remote"].cursor() as there,
    ):
        there.execute(
            f"CREATE TEMPORARY TABLE floor_incoming ON COMMIT DROP AS SELECT {names} FROM {TABLE} LIMIT 0"
        )
        with (
            here.copy(f"COPY (SELECT {names} FROM {source}) TO STDOUT") as out,
            there.copy("COPY floor_incoming FROM STDIN") as into,
        ):
            for data in out:
                into.write(data)
        there.execute(
            f"INSERT INTO {TABLE} ({names}) SELECT {names} FROM floor_incoming ON CONFLICT (id) DO UPDATE SET "
            + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[1:])
        )
    return time.perf_counter() - begun


def upsert_by_driver(source: str) -> float:
    """Statements of many rows each; the rows are in memory already."""
    rows = _rows(source)
    one = f"({', '.join(['%s'] * len(COLUMNS))})"
    start = f"INSERT INTO {TABLE} ({', '.join(COLUMNS)}) VALUES "
    begun = time.perf_counter()
    with transaction.atomic(using="remote"), connections["remote"].cursor() as cursor:
        for part in _parts(rows):
            sql = start + ", ".join([one] * len(part)) + _on_conflict()
            cursor.execute(sql, list(chain.from_iterable(part)))
    return time.perf_counter() - begun


def delete(source: str) -> float:
    keys = [row[0] for row in _rows(source)] if source else []
    return delete_keys(keys)


def delete_keys(keys: Sequence[int]) -> float:
    begun = time.perf_counter()
    with transaction.atomic(using="remote"), connections["remote"].cursor() as cursor:
        for part in _parts(keys):
            cursor.execute(f"DELETE FROM {TABLE} WHERE id IN ({', '.join(['%s'] * len(part))})", list(part))
    return time.perf_counter() - begun


def _on_conflict() -> str:
    if connections["remote"].vendor == "mysql":
        return " ON DUPLICATE KEY UPDATE " + ", ".join(f"{name} = VALUES({name})" for name in COLUMNS[1:])
    return " ON CONFLICT (id) DO UPDATE SET " + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[1:])


def _rows(source: str) -> list[Any]:
    with connections["default"].cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(COLUMNS)} FROM {source}")
        return list(cursor.fetchall())


def _parts(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(rows), AT_ONCE):
        yield rows[start : start + AT_ONCE]
