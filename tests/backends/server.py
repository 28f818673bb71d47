"""What is known about one server that tests may use."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from tests.backends.errors import BackendError

# The name of a backend, and the kind of server that answers to it. The order is the one of all listings.
KINDS = {
    "postgresql": "postgresql",
    "postgresql_old": "postgresql",
    "mysql": "mysql",
    "mysql_old": "mysql",
    "mariadb": "mariadb",
    "mariadb_old": "mariadb",
}
# Debian has one MySQL and one MariaDB at a time: these two are only there where containers are.
CONTAINER_ONLY = frozenset({"mysql_old", "mariadb_old"})
DEFAULT_PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}

USER = PASSWORD = DATABASE = "synchro"


def variable(name: str) -> str:
    """The environment variable that names the server of the backend `name`."""
    return f"SYNCHRO_TEST_{name.upper()}_URL"


@dataclass
class Server:
    """One server. What stands below `client` is only known of a server that was started natively."""

    name: str
    kind: str
    # How it was had: "environment", "compose" or "native".
    origin: str
    host: str
    port: int
    user: str = USER
    password: str = PASSWORD
    database: str = DATABASE
    version: str = ""
    # The start of a command that runs its client program; empty where there is none.
    client: list[str] = field(default_factory=list)

    # Everything it wrote lives in this folder, and is removed with it.
    folder: str = ""
    datadir: str = ""
    socket: str = ""
    log: str = ""
    pidfile: str = ""
    # The command that starts it (again).
    command: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its address in the form that `tests.databases` reads."""
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"{self.kind}://{login}@{self.host}:{self.port}/{quote(self.database, safe='')}"

    def as_json(self) -> dict[str, Any]:
        """Its fields and its url."""
        return {**dataclasses.asdict(self), "url": self.url}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Server:
        """The opposite of `as_json`."""
        return cls(**{key: value for key, value in values.items() if key != "url"})


def from_url(name: str, url: str) -> Server:
    """The server that a person named for the backend `name`. Raises `BackendError` if `url` cannot be one."""
    parts = urlsplit(url)
    kind = KINDS[name]
    if parts.scheme != kind:
        raise BackendError(f"{variable(name)} must begin with {kind}://, not with {parts.scheme}://")
    if not parts.hostname or not parts.path.strip("/"):
        raise BackendError(f"{variable(name)} must look like {kind}://user:password@host:port/database")
    return Server(
        name=name,
        kind=kind,
        origin="environment",
        host=parts.hostname,
        port=parts.port or DEFAULT_PORTS[kind],
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=unquote(parts.path.strip("/")),
    )
