"""What was started and is to be stopped, in a JSON file that survives the process that wrote it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.backends.errors import BackendError
from tests.backends.server import Server

# Names the file for whoever wants to look at a server or restart it.
VARIABLE = "SYNCHRO_TEST_BACKENDS_STATE"
# Moves the folder of all state files, so that two sets of servers can live side by side.
FOLDER_VARIABLE = "SYNCHRO_TEST_BACKENDS_FOLDER"
PROJECT = Path(__file__).resolve().parents[2]


def folder() -> Path:
    """Where state files are kept."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named).resolve() if named else PROJECT / ".cache" / "backends"


def background_file() -> Path:
    """The state file of the servers that ``start`` leaves running."""
    return folder() / "background.json"


@dataclass
class State:
    """Servers that run, folders and containers to remove, and what could not be had."""

    path: Path
    # The process to which the servers belong, by pid; 0 if they are meant to outlive it.
    owner: int = 0
    servers: dict[str, Server] = field(default_factory=dict)
    # The name of the compose project, if one was started.
    project: str = ""
    # The reason why a backend is not there, by its name.
    skipped: dict[str, str] = field(default_factory=dict)

    def save(self) -> None:
        """Write the file as a whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        values = {
            "owner": self.owner,
            "project": self.project,
            "servers": {name: server.as_json() for name, server in self.servers.items()},
            "skipped": self.skipped,
        }
        half = self.path.with_suffix(".half")
        half.write_text(json.dumps(values, indent=2) + "\n")
        half.replace(self.path)


def load(path: Path) -> State:
    """The state in the file `path`. Raises `BackendError` if it cannot be read."""
    try:
        values: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BackendError(f"{path} does not tell which servers run: {error}") from None
    servers = {name: Server.from_json(fields) for name, fields in values["servers"].items()}
    return State(path, values["owner"], servers, values["project"], values["skipped"])


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Keep other processes from starting or stopping servers of the same state folder meanwhile."""
    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
