"""
Databases by their own drivers: making, copying and reading them. Nothing here knows Django, nor synchro.

A migrated database is copied, since migrating takes half a minute.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import sql

Row = dict[str, Any]


@dataclass(frozen=True)
class Sqlite:
    """A file."""

    url: str

    @property
    def file(self) -> Path:
        """Where it is."""
        return Path(unquote(urlsplit(self.url).path[1:]))

    def make(self) -> None:
        """Begin with nothing."""
        for left in self.file.parent.glob(f"{self.file.name}*"):
            left.unlink()

    drop = make

    def copy_to(self, other: Sqlite) -> None:
        """Make `other` the same."""
        other.make()
        with closing(sqlite3.connect(self.file)) as source, closing(sqlite3.connect(other.file)) as target:
            source.backup(target)

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        """For reading."""
        with closing(sqlite3.connect(self.file)) as connection:
            yield connection.cursor()

    def tables(self) -> set[str]:
        """Their names."""
        with self.cursor() as cursor:
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
            return {name for (name,) in cursor.fetchall()}

    def contents(self, tables: Iterable[str]) -> dict[str, list[Row]]:
        """All rows of these tables, as the driver gives them."""
        with self.cursor() as cursor:
            return {table: _rows(cursor, f'SELECT * FROM "{table}"') for table in tables}


@dataclass(frozen=True)
class Mysql:
    """A database of a server."""

    url: str

    @property
    def name(self) -> str:
        """Of the database."""
        return urlsplit(self.url).path[1:]

    @contextmanager
    def cursor(self, name: str | None = None) -> Iterator[Any]:
        """In this database, or in the one named."""
        import MySQLdb  # which not every environment has

        parts = urlsplit(self.url)
        connection = MySQLdb.connect(
            host=parts.hostname, port=parts.port, user=parts.username, password=parts.password,
            database=self.name if name is None else name, charset="utf8mb4", autocommit=True,
        )  # fmt: skip
        with closing(connection):
            yield connection.cursor()

    def make(self) -> None:
        """Begin with nothing."""
        self.drop()
        with self.cursor("") as cursor:
            cursor.execute(f"CREATE DATABASE `{self.name}` CHARACTER SET utf8mb4")

    def drop(self) -> None:
        """Remove it, if it is there."""
        with self.cursor("") as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS `{self.name}`")

    def copy_to(self, other: Mysql) -> None:
        """Make `other` the same, triggers included, without a client program."""
        other.make()
        with other.cursor() as cursor:
            cursor.execute("SET foreign_key_checks = 0, unique_checks = 0")
            for table in sorted(self.tables()):
                cursor.execute(f"SHOW CREATE TABLE `{self.name}`.`{table}`")
                cursor.execute(cursor.fetchone()[1])
                cursor.execute(f"INSERT INTO `{table}` SELECT * FROM `{self.name}`.`{table}`")
            cursor.execute(f"SHOW TRIGGERS FROM `{self.name}`")
            for name, *_rest in cursor.fetchall():
                cursor.execute(f"SHOW CREATE TRIGGER `{self.name}`.`{name}`")
                cursor.execute(cursor.fetchone()[2].replace(f"`{self.name}`.", ""))

    def tables(self) -> set[str]:
        """Their names."""
        with self.cursor() as cursor:
            cursor.execute("SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'")
            return {name for name, _type in cursor.fetchall()}

    def contents(self, tables: Iterable[str]) -> dict[str, list[Row]]:
        """All rows of these tables, as the driver gives them."""
        with self.cursor() as cursor:
            return {table: _rows(cursor, f"SELECT * FROM `{table}`") for table in tables}


@dataclass(frozen=True)
class Postgresql:
    """A database of a server."""

    url: str

    @property
    def name(self) -> str:
        """Of the database."""
        return urlsplit(self.url).path[1:]

    @contextmanager
    def cursor(self, name: str | None = None) -> Iterator[Any]:
        """In this database, or in the one named."""
        with psycopg.connect(self.url, dbname=name or self.name, autocommit=True) as connection:
            connection.execute("SET TIME ZONE 'UTC'")
            yield connection.cursor()

    def make(self, template: str = "template1") -> None:
        """Begin with nothing, or with what `template` has."""
        self.drop()
        with self.cursor("postgres") as cursor:
            names = sql.Identifier(self.name), sql.Identifier(template)
            cursor.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))

    def drop(self) -> None:
        """Remove it, if it is there."""
        with self.cursor("postgres") as cursor:
            cursor.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(self.name))
            )

    def copy_to(self, other: Postgresql) -> None:
        """Make `other` the same."""
        other.make(self.name)

    def tables(self) -> set[str]:
        """Their names."""
        with self.cursor() as cursor:
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            return {name for (name,) in cursor.fetchall()}

    def contents(self, tables: Iterable[str]) -> dict[str, list[Row]]:
        """All rows of these tables, as the driver gives them."""
        with self.cursor() as cursor:
            return {table: _rows(cursor, f'SELECT * FROM "{table}"') for table in tables}

    def types(self) -> dict[tuple[str, str], str]:
        """The type of each column, by table and column."""
        return {(table, column): kind for table, column, kind, _places in self._columns()}

    def places(self) -> dict[tuple[str, str], int]:
        """How many decimal places a column has, of those that have any."""
        return {
            (table, column): places
            for table, column, kind, places in self._columns()
            if kind == "numeric" and places is not None
        }

    def _columns(self) -> list[tuple[str, str, str, int | None]]:
        with self.cursor() as cursor:
            cursor.execute(
                "SELECT table_name, column_name, data_type, numeric_scale FROM information_schema.columns"
                " WHERE table_schema = 'public'"
            )
            found: list[tuple[str, str, str, int | None]] = cursor.fetchall()
            return found

    def primary_keys(self) -> dict[str, tuple[str, bool]]:
        """The primary key of each table, and whether the database hands it out."""
        with self.cursor() as cursor:
            cursor.execute(
                "SELECT conrelid::regclass::text, attname, attidentity <> '' FROM pg_constraint"
                " JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY (conkey) WHERE contype = 'p'"
            )
            return {table.strip('"'): (column, is_automatic) for table, column, is_automatic in cursor}

    def foreign_keys(self) -> dict[tuple[str, str], str]:
        """The table that a column points at, by table and column."""
        with self.cursor() as cursor:
            cursor.execute(
                "SELECT conrelid::regclass::text, attname, confrelid::regclass::text FROM pg_constraint"
                " JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY (conkey) WHERE contype = 'f'"
            )
            return {(table.strip('"'), column): target.strip('"') for table, column, target in cursor}


Database = Sqlite | Mysql | Postgresql
KINDS: dict[str, type[Database]] = {"sqlite": Sqlite, "mysql": Mysql, "postgresql": Postgresql}


def _rows(cursor: Any, statement: str) -> list[Row]:
    cursor.execute(statement)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
