"""Starting all backends by the first way that works for each, and stopping them."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.backends import compose, native, processes, state
from tests.backends.errors import BackendError
from tests.backends.readiness import answers
from tests.backends.server import CONTAINER_ONLY, Server, from_url, variable
from tests.backends.state import State

Report = Callable[[str], None]
NAMED_SECONDS = 10


def exports(current: State) -> dict[str, str]:
    """The environment variables that tell tests where the servers are."""
    urls = {variable(name): server.url for name, server in current.servers.items()}
    return {**urls, state.VARIABLE: str(current.path)}


def is_required(name: str) -> bool:
    """Whether the backend `name` must be there: in CI all must that a machine without containers can have."""
    return bool(os.environ.get("CI")) and name not in CONTAINER_ONLY


def start(current: State, names: Iterable[str], report: Report) -> None:
    """
    Start the backends `names`, and note the reason for each that cannot be had in ``current.skipped``.

    `report` is told a line about each. Whatever this started is in the state file at every moment.
    """
    wanted = [name for name in names if not _use_named(current, name, report)]
    wanted = _start_in_containers(current, wanted, report)
    note = threading.Lock()

    def start_one(name: str) -> None:
        def made(server: Server) -> None:
            with note:
                current.servers[name] = server
                current.save()

        try:
            server = native.start(name, made)
        except BackendError as error:
            with note:
                _give_up(current, name, str(error), report)
        else:
            report(f"{name}: {server.version}, from Debian's packages, on port {server.port}")

    with ThreadPoolExecutor(max_workers=max(1, len(wanted))) as pool:
        for outcome in [pool.submit(start_one, name) for name in wanted]:
            outcome.result()
    current.save()


def _use_named(current: State, name: str, report: Report) -> bool:
    """Whether the environment names a server for `name`. One that does not answer is not replaced."""
    url = os.environ.get(variable(name))
    if not url:
        return False
    try:
        server = from_url(name, url)
        processes.wait_until(
            lambda: answers(server), NAMED_SECONDS, lambda: f"{variable(name)} does not answer"
        )
    except BackendError as error:
        _give_up(current, name, str(error), report)
    else:
        current.servers[name] = server
        report(f"{name}: at {server.host}:{server.port}, named by {variable(name)}")
    return True


def _start_in_containers(current: State, names: list[str], report: Report) -> list[str]:
    """Start what can be had as containers; the backends that are left."""

    def made(project: str) -> None:
        current.project = project
        current.save()

    if not names:
        return []
    try:
        found = compose.start(names, made)
    except BackendError as error:
        report(f"containers: {error}")
        return names
    current.servers |= found
    current.save()
    for server in found.values():
        report(f"{server.name}: in a container, on port {server.port}")
    return [name for name in names if name not in found]


def _give_up(current: State, name: str, reason: str, report: Report) -> None:
    """Forget what there is of the backend; its folder goes too."""
    server = current.servers.pop(name, None)
    if server is not None and server.origin == "native":
        native.remove(server)
    current.skipped[name] = reason
    current.save()
    report(f"{name}: not available: {reason}")


def stop(current: State) -> None:
    """Stop and remove all that was started, the state file last. Raises `BackendError` if something stays."""
    started = [server for server in current.servers.values() if server.origin == "native"]
    with ThreadPoolExecutor(max_workers=max(1, len(started))) as pool:
        list(pool.map(native.remove, started))
    if current.project:
        compose.remove(current.project)
    current.path.unlink(missing_ok=True)


def clean_up_after_the_killed() -> None:
    """Stop the servers of earlier runs that were killed before they could do it themselves."""
    for path in sorted(state.folder().glob("run-*.json")):
        left = state.load(path)
        if not Path(f"/proc/{left.owner}").exists():
            stop(left)


def all_alive(current: State) -> bool:
    """Whether every server of `current` answers."""
    return all(answers(server) for server in current.servers.values())


@contextlib.contextmanager
def running(names: Iterable[str], report: Report) -> Iterator[State]:
    """Servers that are there within the block and never after it, however it ends."""
    current = State(state.folder() / f"run-{os.getpid()}.json", owner=os.getpid())
    with state.locked():
        clean_up_after_the_killed()
    try:
        start(current, names, report)
        yield current
    finally:
        stop(current)


def end_on_signals() -> None:
    """Let signals that ask this process to end raise an exception, so that servers are stopped first."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
