"""MariaDB of the running Debian release."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.backends import apt, mysql
from tests.backends.commands import run
from tests.backends.installation import Installation, existing_user

# The core packages bring the programs, and no service.
PACKAGES = ("mariadb-server-core", "mariadb-client-core")
SERVER = "/usr/sbin/mariadbd"

socket = mysql.socket


def of_this_release() -> Installation:
    """MariaDB, installed if need be."""
    if not Path(SERVER).exists() or shutil.which("mariadb") is None:
        apt.install(PACKAGES)
    return Installation(existing_user("mysql", "nobody"))


def initialize(installation: Installation, folder: Path) -> None:
    """Make the data directory in `folder`."""
    data = installation.seen(folder / "data")
    run(
        installation.command(
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
            "--skip-name-resolve",
            "--skip-test-db",
        )
    )


def command(installation: Installation, folder: Path, port: int) -> list[str]:
    """The command that starts the server on `port`."""
    return mysql.server_command(installation, SERVER, folder, port)


def version(installation: Installation) -> str:
    """Its version, such as "10.11.6"."""
    return mysql.version_printed(run([SERVER, "--no-defaults", "--version"]))


def client(installation: Installation) -> list[str]:
    """The start of a command of the client program."""
    return ["mariadb", "--no-defaults"]
