"""Servers started on this machine from Debian's packages."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from tests.backends import mariadb, mysql, postgresql, processes
from tests.backends.errors import BackendError
from tests.backends.installation import PREFIX, Installation
from tests.backends.readiness import answers
from tests.backends.server import KINDS, Server

START_SECONDS = 90
MODULES: dict[str, ModuleType] = {"postgresql": postgresql, "mysql": mysql, "mariadb": mariadb}
INSTALLATIONS: dict[str, Callable[[], Installation]] = {
    "postgresql": postgresql.newest,
    "postgresql_old": postgresql.of_this_release,
    "mysql": mysql.newest,
    "mariadb": mariadb.of_this_release,
}
# Nobody needs the data afterwards: what ends the server fastest without leaving children or shared memory
# behind.
LAST_SIGNALS = {
    "postgresql": (signal.SIGQUIT, signal.SIGKILL),
    "mysql": (signal.SIGKILL,),
    "mariadb": (signal.SIGKILL,),
}
# An orderly end, in which open transactions are rolled back, before a start on the same data.
ORDERLY_SIGNALS = {
    "postgresql": (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL),
    "mysql": (signal.SIGTERM, signal.SIGKILL),
    "mariadb": (signal.SIGTERM, signal.SIGKILL),
}


def start(name: str, made: Callable[[Server], None]) -> Server:
    """
    Start the server of the backend `name` on an empty data directory.

    `made` is told of it before its process exists, so that whatever happens next it can be removed. Raises
    `BackendError` if it cannot be started.
    """
    if name not in INSTALLATIONS:
        raise BackendError("only had from a container, and there is no container engine with its image")
    installation = INSTALLATIONS[name]()
    module = MODULES[KINDS[name]]
    folder = installation.new_folder(name)
    port = processes.free_port()
    server = Server(
        name=name,
        kind=KINDS[name],
        origin="native",
        host="127.0.0.1",
        port=port,
        version=module.version(installation),
        client=module.client(installation),
        folder=str(folder),
        datadir=str(folder / "data"),
        socket=str(module.socket(folder, port)),
        log=str(folder / "log"),
        pidfile=str(folder / "pid"),
        command=module.command(installation, folder, port),
    )
    made(server)
    module.initialize(installation, folder)
    launch(server)
    return server


def launch(server: Server) -> None:
    """Start the process of `server` and wait until it answers. Raises `BackendError` if it does not."""
    log = Path(server.log)
    pidfile = Path(server.pidfile)
    for lockfile in (f"{server.socket}.lock", f"{server.datadir}/postmaster.pid"):
        processes.forget(Path(lockfile))
    processes.launch(server.command, pidfile, log)
    processes.wait_until(
        lambda: answers(server) or not processes.is_running(pidfile),
        START_SECONDS,
        lambda: f"{server.name} does not answer; its log ends with\n{processes.end_of_log(log)}",
    )
    if not processes.is_running(pidfile):
        raise BackendError(f"{server.name} ended at once; its log ends with\n{processes.end_of_log(log)}")


def end(server: Server, signals: tuple[int, ...]) -> None:
    """End the process of `server`, if it is there."""
    processes.stop(Path(server.pidfile), signals)


def remove(server: Server) -> None:
    """End the process of `server` and remove all that it wrote."""
    end(server, LAST_SIGNALS[server.kind])
    folder = Path(server.folder)
    if folder.name.startswith(PREFIX):
        shutil.rmtree(folder, ignore_errors=True)
