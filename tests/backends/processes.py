"""Processes that outlive their starter, known by a pid file; waiting for a condition; free ports."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.backends.commands import tail
from tests.backends.errors import BackendError

# Below the range from which the system takes ports for outgoing connections: a server that is stopped and
# started again must find its port free.
PORTS = range(20_000, 32_000)
# Writes its own pid, which stays the same through every exec, and becomes the command.
_LAUNCHER = 'echo $$ > "$1"; shift; exec "$@"'


def wait_until(condition: Callable[[], bool], seconds: float, complaint: Callable[[], str]) -> None:
    """Return once `condition` holds. Raises `BackendError` with the `complaint` if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise BackendError(f"{complaint()} (waited {seconds:.0f} s)")
        time.sleep(0.05)


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    for _attempt in range(200):
        port = random.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise BackendError(f"no free port between {PORTS.start} and {PORTS.stop}")


def launch(command: Sequence[str], pidfile: Path, log: Path) -> None:
    """
    Start `command` as a process of its own, that neither ends with this one nor hears its Ctrl-C.

    Its pid is in `pidfile` on return, and what it prints goes to `log`.
    """
    pidfile.unlink(missing_ok=True)
    with log.open("ab") as output:
        subprocess.run(
            ["setsid", "--fork", "sh", "-c", _LAUNCHER, "sh", str(pidfile), *command],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    wait_until(lambda: _pid(pidfile) is not None, 10, lambda: f"{command[0]} did not start")


def is_running(pidfile: Path) -> bool:
    """
    Whether the process that was launched with `pidfile` is alive.

    Pids are used again, so its command line is looked at too: the name of the pid file's folder is unique,
    and occurs in the command of each of our servers.
    """
    return _running_pid(pidfile) is not None


def stop(pidfile: Path, signals: Sequence[int], seconds: float = 20) -> None:
    """
    Send each of `signals` until the process is gone, waiting `seconds` after each.

    Nothing happens if it is gone already. Raises `BackendError` if it survives them all.
    """
    for number in signals:
        pid = _running_pid(pidfile)
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        with contextlib.suppress(BackendError):
            wait_until(lambda: not is_running(pidfile), seconds, lambda: "")
    _kill_children(pidfile.parent)
    if is_running(pidfile):
        names = ", ".join(signal.Signals(number).name for number in signals)
        raise BackendError(f"process {_pid(pidfile)} is still there after {names}")


def forget(lockfile: Path) -> None:
    """
    Remove a server's `lockfile` if it names a process that has ended but is still listed.

    In a container the first process may not ask for the exit codes of orphans. They stay in the list of
    processes then, and a server that finds its own old pid there refuses to start.
    """
    pid = _pid(lockfile)
    if pid is not None and Path(f"/proc/{pid}").exists() and not Path(f"/proc/{pid}/cmdline").read_bytes():
        lockfile.unlink()


def _kill_children(folder: Path) -> None:
    """PostgreSQL's processes live on for a moment after their parent was killed, and still write."""

    def all_gone() -> bool:
        pids = _working_in(folder)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not pids

    wait_until(all_gone, 10, lambda: f"processes that work in {folder} do not end")


def _working_in(folder: Path) -> list[int]:
    """The pids of our processes whose current directory is below `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").readlink().is_relative_to(folder):
                found.append(int(entry.name))
    return found


def end_of_log(log: Path) -> str:
    """The last lines of `log`, for an error message."""
    return tail(log.read_text(errors="replace")) if log.exists() else ""


def _pid(pidfile: Path) -> int | None:
    try:
        return int(pidfile.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _running_pid(pidfile: Path) -> int | None:
    pid = _pid(pidfile)
    if pid is None:
        return None
    try:
        command = _command_of(pid)
    except OSError:
        return None
    return pid if os.fsencode(pidfile.parent.name) in command else None


def _command_of(pid: int) -> bytes:
    """
    The command line of the process; empty once it has ended, even while its parent has not asked for its exit code.

    It is empty for a moment, too, while one program takes the place of another (a shell's, of the server's).
    """
    process = Path(f"/proc/{pid}")
    for _attempt in range(100):
        command = (process / "cmdline").read_bytes()
        has_ended = (process / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        if command or has_ended:
            return command
        time.sleep(0.01)
    return b""
