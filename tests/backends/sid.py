"""
A small Debian unstable in the cache folder: the newest PostgreSQL and the real MySQL, on any Debian machine.

Debian's stable releases carry MariaDB in MySQL's place. The unstable one has both, so its servers are started
from there by chroot. It is made once, in under two minutes, and shared by all clones and all runs of one
user.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.backends import apt
from tests.backends.commands import run
from tests.backends.errors import BackendError

PACKAGES = ("mysql-server-core", "mysql-client-core", "postgresql-18")
USERS = ("mysql", "postgres")
READY = "srv/synchro-tests-ready"


def cache_folder() -> Path:
    """Where big things that every clone can use are kept."""
    named = os.environ.get("SYNCHRO_CACHE")
    base = Path(named or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "django-synchro"


def root() -> Path:
    """The root folder of the unstable Debian, made if need be. Raises `BackendError` where that cannot be."""
    if os.geteuid() != 0:
        raise BackendError("needs root, since its server runs in a chroot")
    folder = cache_folder() / "sid"
    with _only_one_builder(folder):
        if _stamp() != _read(folder / READY):
            _make(folder)
    return folder


def command(folder: Path, user: str, *argv: str) -> list[str]:
    """The command that runs `argv` as `user` inside the Debian in `folder`."""
    return ["chroot", f"--userspec={user}:{user}", str(folder), *argv]


def _stamp() -> str:
    return " ".join(PACKAGES)


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@contextlib.contextmanager
def _only_one_builder(folder: Path) -> Iterator[None]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "sid.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(folder: Path) -> None:
    """It is made under another name, so that a broken attempt is never taken for a whole one."""
    apt.install(["debootstrap"])
    half = folder.with_name("sid.half")
    shutil.rmtree(half, ignore_errors=True)
    run(["debootstrap", "--variant=minbase", "sid", str(half), apt.mirror()])
    _unpack_packages(half)
    _add_users(half)
    (half / READY).write_text(_stamp())
    shutil.rmtree(folder, ignore_errors=True)
    half.rename(folder)


def _unpack_packages(folder: Path) -> None:
    """
    Unpack the servers without running the scripts of their packages.

    The servers need no more than their files. The scripts would make a cluster and a service that nobody
    wants, and some of them insist on a mounted /proc, which a container may not be allowed to have.
    """
    inside = ["chroot", str(folder)]
    run([*inside, *apt.APT, "update"])
    run([*inside, *apt.APT, "install", "--download-only", "--no-install-recommends", *PACKAGES])
    for archive in sorted((folder / "var/cache/apt/archives").glob("*.deb")):
        run([*inside, "dpkg-deb", "--extract", f"/{archive.relative_to(folder)}", "/"])
    run([*inside, "ldconfig"])
    run([*inside, *apt.APT, "clean"])


def _add_users(folder: Path) -> None:
    """Neither server runs as root. MySQL also insists on a folder for files, even an unused one."""
    for user in USERS:
        run(["chroot", str(folder), "useradd", "--system", "--user-group", "--no-create-home", user])
    (folder / "var/lib/mysql-files").mkdir(mode=0o750, parents=True, exist_ok=True)
    run(["chroot", str(folder), "chown", "mysql:mysql", "/var/lib/mysql-files"])
