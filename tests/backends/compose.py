"""Servers in containers, by ``docker/compose.yaml``."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from tests.backends import processes
from tests.backends.commands import run, succeeds
from tests.backends.errors import BackendError
from tests.backends.server import KINDS, Server
from tests.backends.state import PROJECT

FILE = PROJECT / "docker" / "compose.yaml"
ENGINES = ("docker", "podman")
PULL_SECONDS = 300
START_SECONDS = 180


def start(names: Iterable[str], made: Callable[[str], None]) -> dict[str, Server]:
    """
    Start those of the backends `names` whose images are here or can be had.

    `made` is told the name of the compose project before it exists. Raises `BackendError` if there is no
    engine, no image at all, or a container does not become healthy.
    """
    engine = _engine()
    project = f"synchro-tests-{uuid.uuid4().hex[:8]}"
    ports = {name: processes.free_port() for name in names}
    environment = {f"SYNCHRO_{name.upper()}_PORT": str(port) for name, port in ports.items()}
    compose = [*_compose(engine), "--project-name", project, "--file", str(FILE)]
    # all at once: where the registry does not answer, the time to find out is spent once
    with ThreadPoolExecutor(max_workers=len(ports)) as pool:
        found = pool.map(lambda name: _has_image(engine, compose, name), ports)
        available = [name for name, here in zip(ports, found, strict=True) if here]
    if not available:
        raise BackendError(f"{engine} runs, but none of the images is here and none can be pulled")
    made(f"{engine}:{project}")
    run(
        [*compose, "up", "--detach", "--wait", *available],
        timeout=START_SECONDS,
        environment=environment,
    )
    return {name: _server(name, ports[name]) for name in available}


def _server(name: str, port: int) -> Server:
    kind = KINDS[name]
    program = shutil.which({"postgresql": "psql"}.get(kind, kind))
    client = [program] if program else []
    return Server(name=name, kind=kind, origin="compose", host="127.0.0.1", port=port, client=client)


def control(project: str, verb: str, name: str) -> None:
    """Do `verb` (restart, kill, start) with the container of the backend `name`."""
    run([*_running(project), verb, name], timeout=START_SECONDS)


def remove(project: str) -> None:
    """Stop and remove all containers of `project`."""
    run([*_running(project), "down", "--volumes", "--timeout", "0"], timeout=START_SECONDS)


def _running(project: str) -> list[str]:
    engine, _colon, name = project.partition(":")
    return [*_compose(engine), "--project-name", name, "--file", str(FILE)]


def _compose(engine: str) -> list[str]:
    return [engine, "compose"]


def _engine() -> str:
    """The first engine that is there, runs and knows compose. Raises `BackendError` if none does."""
    for engine in ENGINES:
        if shutil.which(engine) and succeeds([engine, "info"]) and succeeds([*_compose(engine), "version"]):
            return engine
    raise BackendError("no container engine runs here")


def _has_image(engine: str, compose: list[str], name: str) -> bool:
    """Pulling an image that is here already would ask the registry, which may be slow or not there."""
    image = run([*compose, "config", "--images", name]).strip().splitlines()[-1]
    if succeeds([engine, "image", "inspect", image]):
        return True
    if os.environ.get("SYNCHRO_TEST_NO_PULL"):
        return False
    return succeeds([engine, "pull", "--quiet", image], timeout=PULL_SECONDS)
