"""What a test may do to a server: look at it, run its client program, kill it, restart it."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path

from tests.backends import compose, native, state
from tests.backends.errors import BackendError
from tests.backends.processes import wait_until
from tests.backends.readiness import answers
from tests.backends.server import Server


def find(name: str) -> Server:
    """
    The server of the backend `name`, such as "mysql".

    Raises `BackendError` if it was not started by `tests.backends`: such a server belongs to someone, and a
    test that wants to restart it is to be skipped.
    """
    return _find(name)[1]


def _find(name: str) -> tuple[state.State, Server]:
    path = os.environ.get(state.VARIABLE)
    if not path:
        raise BackendError(f"no server was started by tests.backends ({state.VARIABLE} is not set)")
    known = state.load(Path(path))
    if name not in known.servers:
        raise BackendError(f"{name} is none of the servers in {path}: {', '.join(known.servers) or 'none'}")
    server = known.servers[name]
    if server.origin == "environment":
        raise BackendError(f"{name} was named by the environment, so it is not ours to touch")
    return known, server


def kill(name: str) -> None:
    """End the server of `name` the hard way, as a crash would. It stays down until `start`."""
    known, server = _find(name)
    if server.origin == "compose":
        compose.control(known.project, "kill", name)
    else:
        native.end(server, (signal.SIGKILL,))


def start_again(name: str) -> None:
    """Start the server of `name` on its old data after `kill`, and wait until it answers."""
    known, server = _find(name)
    if server.origin == "compose":
        compose.control(known.project, "start", name)
        _wait(server)
    else:
        native.launch(server)


def restart(name: str) -> None:
    """End the server of `name` in an orderly way, start it again on its data, and wait until it answers."""
    known, server = _find(name)
    if server.origin == "compose":
        compose.control(known.project, "restart", name)
        _wait(server)
    else:
        native.end(server, native.ORDERLY_SIGNALS[server.kind])
        native.launch(server)


def _wait(server: Server) -> None:
    wait_until(lambda: answers(server), native.START_SECONDS, lambda: f"{server.name} does not answer")


def client_command(server: Server, database: str) -> list[str]:
    """
    The command of the server's own client program (psql, mysql, mariadb), connected to `database`.

    The caller adds the statement (``-c``, or ``-e``), or writes to its standard input. Raises `BackendError`
    where there is no such program.
    """
    if not server.client:
        raise BackendError(f"the client program of {server.kind} is not installed")
    if server.kind == "postgresql":
        url = dataclasses.replace(server, database=database).url
        return [*server.client, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={url}"]
    login = [f"--host={server.host}", f"--port={server.port}", "--protocol=TCP", f"--user={server.user}"]
    return [*server.client, *login, f"--password={server.password}", f"--database={database}"]
