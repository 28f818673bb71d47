"""Whether the package is there of which PostgreSQL's triggers are made."""

from __future__ import annotations

import re
from functools import cache
from importlib import metadata

PACKAGE = "django-pgtrigger"
#: The lowest version that is tested, as pyproject.toml has it.
LOWEST = (4, 16)


@cache
def lacking() -> str:
    """Return what to install, as a sentence; nothing where all is there."""
    try:
        version = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        found = "is not installed"
    else:
        if tuple(map(int, re.findall(r"\d+", version)[:2])) >= LOWEST:
            return ""
        found = f"is installed as {version}"
    lowest = ".".join(map(str, LOWEST))
    return (
        f"Capture by triggers on PostgreSQL needs the package {PACKAGE} {lowest} or newer, which {found}. "
        "Run: pip install 'django-synchro[postgresql]'"
    )
