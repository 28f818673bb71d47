"""Running other programs, with errors that a person can act upon."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from tests.backends.errors import BackendError

TAIL_LINES = 15


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """The last lines of `text`, indented, for the end of an error message."""
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[-lines:])


def run(
    command: Sequence[str],
    *,
    timeout: float = 600,
    environment: Mapping[str, str] | None = None,
    text: str | None = None,
) -> str:
    """
    What `command` prints, standard error included.

    `environment` is added to the one of this process and `text` is the standard input. Raises `BackendError`
    with the end of the output if the command is not there, fails or takes longer than `timeout` seconds.
    """
    shown = " ".join(command)
    try:
        done = subprocess.run(
            command,
            check=True,
            timeout=timeout,
            env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            input=text or "",
            text=True,
            errors="replace",
        )
    except FileNotFoundError:
        raise BackendError(f"{command[0]!r} is not installed") from None
    except subprocess.TimeoutExpired:
        raise BackendError(f"gave up after {timeout:.0f} s: {shown}") from None
    except subprocess.CalledProcessError as error:
        raise BackendError(f"exit {error.returncode} from: {shown}\n{tail(error.output)}") from None
    return done.stdout


def succeeds(command: Sequence[str], *, timeout: float = 20) -> bool:
    """Whether `command` is there and exits with 0 in time."""
    try:
        run(command, timeout=timeout)
    except BackendError:
        return False
    return True
