"""Debian packages: which are missing, installing them, and the mirror this machine uses."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.backends.commands import run
from tests.backends.errors import BackendError

POLICY = Path("/usr/sbin/policy-rc.d")
FORBID_STARTING = (
    "#!/bin/sh\n# Written by the test suite of django-synchro while it installs packages.\nexit 101\n"
)
SOURCES = Path("/etc/apt")
# A mirror that is a frozen copy keeps an index whose date has passed.
APT = ("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Check-Valid-Until=false")
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}

_one_at_a_time = threading.Lock()


def missing(packages: Sequence[str]) -> list[str]:
    """Those of `packages` that dpkg does not know as installed."""
    return [name for name in packages if not _is_installed(name)]


def _is_installed(package: str) -> bool:
    try:
        return "install ok installed" in run(["dpkg-query", "-W", "-f", "${Status}", package])
    except BackendError:
        return False


def install(packages: Sequence[str]) -> None:
    """
    Install those of `packages` that are missing, without starting any service.

    Raises `BackendError` where that cannot be done: no Debian, not root, no such package.
    """
    with _one_at_a_time:
        wanted = missing(packages)
        if not wanted:
            return
        if shutil.which("apt-get") is None:
            raise BackendError(f"this needs {', '.join(wanted)}, and only Debian packages can be installed")
        if os.geteuid() != 0:
            raise BackendError(
                f"not installed, and this is not root: run 'apt-get install {' '.join(wanted)}'"
            )
        with _services_held_back():
            _install_with_fresh_lists(wanted)


def _install_with_fresh_lists(packages: list[str]) -> None:
    """Fetching package lists takes long, so that is only done where the lists at hand are not enough."""
    command = [*APT, "install", "--no-install-recommends", *packages]
    try:
        run(command, environment=QUIET)
    except BackendError:
        run([*APT, "update"])
        run(command, environment=QUIET)


@contextlib.contextmanager
def _services_held_back() -> Iterator[None]:
    """Debian starts a server's service when its package is installed; ``policy-rc.d`` is how to say no."""
    kept = POLICY.with_name("policy-rc.d.synchro-tests")
    if POLICY.exists():
        POLICY.rename(kept)
    try:
        POLICY.write_text(FORBID_STARTING)
        POLICY.chmod(0o755)
        yield
    finally:
        POLICY.unlink(missing_ok=True)
        if kept.exists():
            kept.rename(POLICY)


def mirror() -> str:
    """The address this machine gets Debian itself from. Raises `BackendError` if its sources name none."""
    for source in [SOURCES / "sources.list", *sorted((SOURCES / "sources.list.d").glob("*"))]:
        if source.suffix in {".list", ".sources"} and source.exists():
            found = mirror_in(source.read_text(errors="replace"))
            if found:
                return found
    raise BackendError(f"no Debian mirror found in {SOURCES}/sources.list or {SOURCES}/sources.list.d")


def mirror_in(sources: str) -> str | None:
    """The first mirror of Debian itself in the text of a file of sources, of either format."""
    listed: list[str] = re.findall(r"^deb\s+(?:\[[^]]*\]\s+)?(\S+)", sources, re.MULTILINE)
    listed += re.findall(r"^URIs:\s*(\S+)", sources, re.MULTILINE)
    for address in listed:
        if address.rstrip("/").endswith("/debian"):
            return address.rstrip("/")
    return None
