"""The real MySQL, which only Debian unstable carries, and what MySQL and MariaDB have in common."""

from __future__ import annotations

from pathlib import Path

from tests.backends import sid
from tests.backends.commands import run
from tests.backends.installation import Installation
from tests.backends.server import DATABASE, PASSWORD, USER

SERVER = "/usr/sbin/mysqld"
# Run by the server at each start, before it takes connections.
FIRST_STATEMENTS = f"""\
CREATE DATABASE IF NOT EXISTS {DATABASE};
CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';
GRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION;
"""
OPTIONS = (
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--max-connections=300",
    "--character-set-server=utf8mb4",
    "--local-infile=1",
    "--innodb-buffer-pool-size=256M",
    # The data need not outlive the machine. It must outlive a server that a test kills, so every commit is
    # still written (0 would lose the last second), only not waited for on the disk.
    "--innodb-flush-log-at-trx-commit=2",
    "--sync-binlog=0",
)
#: Its folder is not in memory, and it waits for the disk several times whenever a table is made.
ITS_OWN = ("--innodb-flush-method=nosync", "--innodb-doublewrite=OFF", "--mysqlx=OFF")


def newest() -> Installation:
    """MySQL of Debian unstable."""
    return Installation("mysql", sid.root())


def initialize(installation: Installation, folder: Path) -> None:
    """Make the data directory in `folder`."""
    data = installation.seen(folder / "data")
    run(installation.command(SERVER, "--no-defaults", "--initialize-insecure", f"--datadir={data}"))


def command(installation: Installation, folder: Path, port: int) -> list[str]:
    """The command that starts the server on `port`."""
    return [*server_command(installation, SERVER, folder, port), *ITS_OWN]


def server_command(installation: Installation, program: str, folder: Path, port: int) -> list[str]:
    """What starts either server: `program` with the options that both understand."""
    statements = folder / "first.sql"
    statements.write_text(FIRST_STATEMENTS)
    statements.chmod(0o644)
    return installation.command(
        program,
        "--no-defaults",  # must be the first one
        f"--datadir={installation.seen(folder / 'data')}",
        f"--socket={installation.seen(socket(folder, port))}",
        f"--pid-file={installation.seen(folder / 'own.pid')}",
        f"--init-file={installation.seen(statements)}",
        f"--port={port}",
        *OPTIONS,
    )


def version(installation: Installation) -> str:
    """Its version, such as "9.7.4"."""
    return version_printed(run(installation.command(SERVER, "--no-defaults", "--version")))


def version_printed(text: str) -> str:
    """The version in a line such as ``mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))``."""
    return text.partition("Ver ")[2].split("-")[0].split()[0]


def client(installation: Installation) -> list[str]:
    """The start of a command of the client program."""
    return installation.command("/usr/bin/mysql", "--no-defaults")


def socket(folder: Path, port: int) -> Path:
    """Its socket."""
    return folder / "server.sock"
