"""A PostgreSQL server on which rivals get two databases each, with the table under test."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import sql

from benchmarks.rivals.rival import Rival

TABLE = """
    CREATE TABLE item (
        id bigint PRIMARY KEY, name varchar(60) NOT NULL, note text NOT NULL, amount integer NOT NULL,
        price numeric(12, 2) NOT NULL, changed timestamptz NOT NULL
    )
"""
#: The same rows and changes as `benchmarks.changes` makes.
STATEMENTS = {
    "insert": """
        INSERT INTO item SELECT n, 'Item number ' || n, n || repeat(' what there is to say about it', 4), n %% 1000,
        n / 100.0, timestamptz '2026-01-01' + n * interval '1.000001 s' FROM generate_series(1, %s) n
    """,
    "update": "UPDATE item SET name = 'Another name of the same item', amount = amount + 1, changed = now()",
    "delete": "DELETE FROM item",
}
#: How often a database is asked whether the changes have arrived, and how long that may take, in seconds.
PAUSE, PATIENCE = 0.005, 600


class Server:
    """By its socket, as a superuser."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.user, self.port = unquote(parts.username or ""), parts.port or 5432
        with psycopg.connect(url, autocommit=True) as connection:
            folders = connection.execute("SHOW unix_socket_directories").fetchone()
        assert folders is not None
        self.folder = folders[0].split(",")[0].strip()
        self._made: list[str] = []

    @classmethod
    def of_environment(cls) -> Server:
        return cls(os.environ["SYNCHRO_TEST_POSTGRESQL_OLD_URL"])

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        for name in self._made:
            self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def dsn(self, database: str) -> str:
        return f"host={self.folder} port={self.port} user={self.user} dbname={database}"

    def connect(self, database: str) -> psycopg.Connection[Any]:
        return psycopg.connect(self.dsn(database), autocommit=True)

    def execute(self, statement: Any, database: str = "postgres") -> None:
        with self.connect(database) as connection:
            connection.execute(statement)

    def make_database(self, name: str) -> None:
        """With the table, empty."""
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        self.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        self._made.append(name)
        self.execute(TABLE, name)


def changes(rival: Rival, rows: int) -> Iterator[tuple[str, float]]:
    """Insert, change and delete all rows; for each the seconds from the commit until it has arrived."""
    with rival.server.connect(rival.source) as here, rival.server.connect(rival.target) as there:
        for kind, statement in STATEMENTS.items():
            here.execute(statement, [rows] if kind == "insert" else None)
            begun = time.perf_counter()
            rival.kick()
            wait_for(here, there, kind, rows)
            yield kind, time.perf_counter() - begun
            settle(here, there)


def wait_for(here: psycopg.Connection[Any], there: psycopg.Connection[Any], kind: str, last: int) -> None:
    """All of it arrives in one transaction, so it is enough to look at one row."""
    query = "SELECT amount FROM item WHERE id = %s"
    wanted = here.execute(query, [last]).fetchone()
    end = time.monotonic() + PATIENCE
    while there.execute(query, [last]).fetchone() != wanted:
        if time.monotonic() > end:
            raise TimeoutError(f"The {kind} has not arrived within {PATIENCE} seconds.")
        time.sleep(PAUSE)


def settle(here: psycopg.Connection[Any], there: psycopg.Connection[Any]) -> None:
    """Whatever has arrived is all there is, and old versions of rows slow nobody down."""
    query = "SELECT count(*), sum(amount), max(name) FROM item"
    assert here.execute(query).fetchone() == there.execute(query).fetchone()
    for connection in (here, there):
        connection.execute("VACUUM ANALYZE item")
