"""Python interpreters of this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.backends.commands import run
from tests.backends.errors import BackendError

# The newest Django takes these; the oldest Python that this project takes is only used where none of them is.
PREFERRED = ("3.14", "3.13", "3.12")
OLDEST = (3, 11)


def newest() -> str:
    """
    The path of the newest Python that the project supports.

    Raises `BackendError` if there is none.
    """
    for candidate in _candidates():
        if _version(candidate) >= OLDEST:
            return candidate
    raise BackendError(f"no Python {'.'.join(map(str, OLDEST))} or newer was found")


def _candidates() -> Iterator[str]:
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in PREFERRED:
        on_path = shutil.which(f"python{version}")
        if on_path:
            yield on_path
        yield from (
            str(found) for found in sorted(pyenv.glob(f"{version}.*/bin/python3"), key=_patch, reverse=True)
        )
    yield shutil.which("python3") or "python3"


def _patch(interpreter: Path) -> int:
    """The last number of a folder such as ``3.13.5``; 0 for a development version."""
    number = interpreter.parts[-3].rpartition(".")[2]
    return int(number) if number.isdigit() else 0


def _version(interpreter: str) -> tuple[int, ...]:
    """Its version; (0,) if it does not run, as pyenv's stand-ins for versions that are not switched on."""
    try:
        printed = run([interpreter, "-c", "import sys; print(*sys.version_info[:2])"], timeout=20)
        return tuple(int(number) for number in printed.split())
    except (BackendError, ValueError):
        return (0,)
