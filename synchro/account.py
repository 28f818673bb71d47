"""Who started this process."""

from __future__ import annotations

import getpass
import os


def account() -> str:
    """Return the name of the account of the process, or its number where it has no name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid()) if hasattr(os, "getuid") else "?"
