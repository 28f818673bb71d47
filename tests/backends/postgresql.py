"""PostgreSQL from Debian's packages."""

from __future__ import annotations

from pathlib import Path

from tests.backends import apt, sid
from tests.backends.commands import run
from tests.backends.errors import BackendError
from tests.backends.installation import Installation, existing_user
from tests.backends.server import DATABASE, PASSWORD, USER

VERSIONS = Path("usr/lib/postgresql")
CLUSTERS = Path("/etc/postgresql")
#: Tests put it in front of a server.
POOLER = ("pgbouncer",)
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "300",
    "max_prepared_transactions": "50",
    # So that a test can subscribe to another database.
    "wal_level": "logical",
    # The data need not outlive the machine. It must outlive a server that a test kills, so commits are still
    # written (synchronous_commit) and torn pages mended (full_page_writes), only not waited for on the disk.
    "fsync": "off",
    # The other kinds want a /dev/shm, which a chroot lacks.
    "dynamic_shared_memory_type": "mmap",
}


def newest() -> Installation:
    """PostgreSQL of Debian unstable."""
    apt.install(POOLER)
    return Installation("postgres", sid.root())


def of_this_release() -> Installation:
    """PostgreSQL of the running release, installed if need be."""
    if not _versions(Path("/")):
        had_clusters = CLUSTERS.exists()
        apt.install(["postgresql"])
        if not had_clusters:
            _drop_clusters_of_the_package()
    return Installation(existing_user("postgres"))


def _drop_clusters_of_the_package() -> None:
    """Installing PostgreSQL makes a cluster that would start with the machine; nobody asked for it."""
    for cluster in CLUSTERS.glob("*/main"):
        run(["pg_dropcluster", cluster.parent.name, "main"])


def program(installation: Installation, name: str) -> str:
    """The path of the program `name`, of the newest version in the installation."""
    versions = _versions(installation.root)
    if not versions:
        raise BackendError(f"no PostgreSQL in {installation.root / VERSIONS}")
    return f"/{VERSIONS}/{versions[-1]}/bin/{name}"


def _versions(root: Path) -> list[int]:
    return sorted(int(found.parts[-3]) for found in (root / VERSIONS).glob("[0-9]*/bin/postgres"))


def initialize(installation: Installation, folder: Path) -> None:
    """Make the data directory in `folder`, with a superuser and a database."""
    data = installation.seen(folder / "data")
    secret = folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    run(
        installation.command(
            program(installation, "initdb"),
            f"--pgdata={data}",
            f"--username={USER}",
            f"--pwfile={installation.seen(secret)}",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        )
    )
    single = installation.command(program(installation, "postgres"), "--single", "-F", "-D", data, "postgres")
    run(single, text=f"CREATE DATABASE {DATABASE};\n")


def command(installation: Installation, folder: Path, port: int) -> list[str]:
    """The command that starts the server on `port`."""
    options = {**OPTIONS, "port": str(port), "unix_socket_directories": installation.seen(folder)}
    settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    data = installation.seen(folder / "data")
    return installation.command(program(installation, "postgres"), "-D", data, *settings)


def version(installation: Installation) -> str:
    """Its version, such as "18.1"."""
    printed = run(installation.command(program(installation, "postgres"), "--version"))
    return printed.split()[2]


def client(installation: Installation) -> list[str]:
    """The start of a psql command. On this machine it runs as oneself, to read one's files."""
    psql = program(installation, "psql")
    return [psql] if installation.root == Path("/") else installation.command(psql)


def socket(folder: Path, port: int) -> Path:
    """Its socket. (As a host, libpq wants the folder.)"""
    return folder / f".s.PGSQL.{port}"
