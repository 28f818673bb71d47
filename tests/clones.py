"""Databases with the tables of another one, made much sooner than by `migrate`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder

from tests.flush import KEPT


def clone(template: BaseDatabaseWrapper, alias: str, folder: Path) -> dict[str, Any]:
    """
    Make a database with the tables of `template`, and return its entry of ``DATABASES``.

    SQLite's is a file in `folder`. On a server its name is that of the template, with `alias` at the end; one that an
    ended run has left there is replaced.
    """
    is_file = template.vendor == "sqlite"
    name = str(folder / f"{alias}.sqlite3") if is_file else f"{template.settings_dict['NAME']}_{alias}"
    copy(template, name)
    return {**template.settings_dict, "NAME": name, "TEST": {**template.settings_dict["TEST"], "NAME": name}}


def copy(template: BaseDatabaseWrapper, name: str) -> None:
    """Make the database `name` where `template` is, with its tables; one of that name is replaced."""
    make = {"sqlite": _copy_file, "postgresql": _copy_database, "mysql": _copy_tables}[template.vendor]
    make(template, name)


def _copy_file(template: BaseDatabaseWrapper, name: str) -> None:
    own = str(template.settings_dict["NAME"])
    for end in ("", "-wal", "-shm"):
        Path(name + end).unlink(missing_ok=True)
    with closing(sqlite3.connect(own, uri=True)) as source, closing(sqlite3.connect(name)) as target:
        source.backup(target)


def _copy_database(template: BaseDatabaseWrapper, name: str) -> None:
    quote = template.ops.quote_name
    template.close()  # nobody may be connected to it
    with template.creation._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {quote(name)}", None)
        cursor.execute(
            f"CREATE DATABASE {quote(name)} TEMPLATE {quote(str(template.settings_dict['NAME']))}", None
        )


def _copy_tables(template: BaseDatabaseWrapper, name: str) -> None:
    """Django's own way needs the program mysqldump."""
    own = str(template.settings_dict["NAME"])
    quoted = _quoted(name)
    with template.cursor() as cursor:
        tables = [table.name for table in template.introspection.get_table_list(cursor) if table.type == "t"]
        cursor.execute(f"DROP DATABASE IF EXISTS {quoted}", None)
        cursor.execute(f"CREATE DATABASE {quoted} CHARACTER SET utf8mb4", None)
        statements = []
        for table in tables:
            cursor.execute(f"SHOW CREATE TABLE {_quoted(table)}", None)
            statements.append(cursor.fetchone()[1])
        try:
            cursor.execute("SET SESSION foreign_key_checks = 0", None)
            cursor.execute(f"USE {quoted}", None)
            for statement in statements:
                cursor.execute(statement, None)
            for table in map(_quoted, sorted({*KEPT, MigrationRecorder.Migration._meta.db_table})):
                source = f"{_quoted(own)}.{table}"
                cursor.execute(f"INSERT INTO {table} SELECT * FROM {source}", None)
        finally:
            cursor.execute(f"USE {_quoted(own)}", None)
            cursor.execute("SET SESSION foreign_key_checks = 1", None)


def _quoted(name: str) -> str:
    """Of any name, as Django's own function does it of most."""
    return "`{}`".format(name.replace("`", "``"))
