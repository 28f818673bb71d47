"""A small disk of its own for a database: a tmpfs, which only root can make."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from tests import backends

MEBIBYTE = 2**20


class CannotMount(Exception):
    """This process may not mount, or the server's files are out of reach."""


class Disk:
    """A mounted tmpfs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self, leave: int) -> None:
        """Have at most `leave` bytes free."""
        about = os.statvfs(self.folder)
        size = about.f_bavail * about.f_frsize - leave
        with self._filler.open("wb") as filler:
            for _ in range(max(0, size) // MEBIBYTE + 1):
                filler.write(bytes(min(size, MEBIBYTE)))
                size -= MEBIBYTE

    def make_room(self) -> None:
        self._filler.unlink(missing_ok=True)


@contextmanager
def mounted(folder: Path, size: int, owner: Path) -> Iterator[Disk]:
    """A disk of `size` bytes over the empty `folder`, for whoever owns `owner`."""
    who = owner.stat()
    options = f"size={size},mode=0700,uid={who.st_uid},gid={who.st_gid}"
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "synchro", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise CannotMount(made.stderr.strip())
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def on_small_disk(alias: str, server_name: str, folder: Path, size: int = 40 * MEBIBYTE) -> Iterator[Disk]:
    """
    Inside, `alias` is another database, empty, whose files are on a small disk.

    `folder` is an empty one of this process. Raises `CannotMount`.
    """
    if os.geteuid() != 0:
        raise CannotMount("only root may mount")
    connection = connections[alias]
    name = connection.settings_dict["NAME"]
    with ExitStack() as stack:
        if connection.vendor == "sqlite":
            disk, other = _sqlite(stack, folder, size)
        else:
            try:
                server = backends.find(server_name)
            except backends.BackendError as error:
                raise CannotMount(str(error)) from error
            if server.kind == "mariadb":
                raise CannotMount("MariaDB ends itself when a page of its does not fit onto the disk")
            if not server.datadir:
                raise CannotMount("the server's files are in a container")
            make = _postgresql if connection.vendor == "postgresql" else _mysql
            disk, other = make(stack, connection, Path(server.datadir), size)
        connection.close()
        connection.settings_dict["NAME"] = other
        try:
            yield disk
        finally:
            disk.make_room()
            connection.close()
            connection.settings_dict["NAME"] = name


def _sqlite(stack: ExitStack, folder: Path, size: int) -> tuple[Disk, str]:
    disk = stack.enter_context(mounted(folder, size, folder))
    return disk, str(folder / "small.sqlite3")


def _postgresql(
    stack: ExitStack, connection: BaseDatabaseWrapper, datadir: Path, size: int
) -> tuple[Disk, str]:
    """A database in a tablespace of its own: the server's log of transactions stays where there is room."""
    name = f"small_{os.getpid()}"
    folder = datadir.parent / name
    folder.mkdir()
    stack.callback(folder.rmdir)
    disk = stack.enter_context(mounted(folder, size, datadir))
    with connection.cursor() as cursor:
        cursor.execute("SHOW data_directory")
        seen = Path(cursor.fetchone()[0]).parent / name
        cursor.execute(f"CREATE TABLESPACE {name} LOCATION '{seen}'")
        stack.callback(_execute, connection, f"DROP TABLESPACE {name}")
        cursor.execute(f"CREATE DATABASE {name} TABLESPACE {name}")
        stack.callback(_execute, connection, f"DROP DATABASE {name} WITH (FORCE)")
    return disk, name


def _mysql(stack: ExitStack, connection: BaseDatabaseWrapper, datadir: Path, size: int) -> tuple[Disk, str]:
    """A database whose folder is the disk: the server's log and its undo log stay where there is room."""
    name = f"small_{os.getpid()}"
    _execute(connection, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    stack.callback(_execute, connection, f"DROP DATABASE {name}")
    disk = stack.enter_context(mounted(datadir / name, size, datadir))
    stack.callback(_drop_tables, connection, name)
    return disk, name


def _drop_tables(connection: BaseDatabaseWrapper, name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = %s", [name])
        tables = ", ".join(f"`{name}`.`{table}`" for (table,) in cursor.fetchall())
        cursor.execute("SET foreign_key_checks = 0")
        cursor.execute(f"DROP TABLE IF EXISTS {tables}" if tables else "DO 0")
        cursor.execute("SET foreign_key_checks = 1")


def _execute(connection: BaseDatabaseWrapper, sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
