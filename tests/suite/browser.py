"""A real browser, and the rules of accessibility: what the tests of the dashboard need beyond Python."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

from tests.backends import apt
from tests.backends.commands import run
from tests.backends.errors import BackendError
from tests.backends.state import PROJECT

PACKAGES = ("chromium", "chromium-driver", "fonts-dejavu-core")
AXE = "axe-core@4.14.1"
FOLDER = PROJECT / ".cache" / "browser"


def ensure() -> Path:
    """
    Install Debian's Chromium with its driver where it is missing; return the path of axe-core.

    Raises `BackendError` where that cannot be done.
    """
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        apt.install(PACKAGES)
    script = FOLDER / "package" / "axe.min.js"
    if not script.exists():
        _fetch_axe()
    return script


def _fetch_axe() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    if shutil.which("npm") is None:
        apt.install(("npm",))
    run(["npm", "pack", "--silent", "--pack-destination", str(FOLDER), AXE], timeout=300)
    packed = sorted(FOLDER.glob("axe-core-*.tgz"))
    if not packed:
        raise BackendError(f"npm did not bring {AXE}")
    with tarfile.open(packed[-1]) as archive:
        archive.extractall(FOLDER, filter="data")


def is_required() -> bool:
    """Whether it must be there, as in CI."""
    return bool(os.environ.get("CI"))
