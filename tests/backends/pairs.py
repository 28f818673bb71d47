"""The pairs of databases that the suite runs on, LOCAL's backend and REMOTE's, and how changes are captured there."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.backends.errors import BackendError
from tests.backends.server import KINDS
from tests.backends.state import PROJECT, State

SQLITE = "sqlite"
#: How labels of pairs that capture by triggers end.
TRIGGERS = "-triggers"
DATABASES = PROJECT / ".cache" / "databases"


@dataclass(frozen=True)
class Pair:
    """Two backends by name, the Django series to run on (empty: the newest one), and SYNCHRO_CAPTURE."""

    local: str
    remote: str
    django: str = ""
    capture: str = "signals"

    @property
    def name(self) -> str:
        """What the tests find in ``SYNCHRO_TEST_PAIR``."""
        return f"{self.local}-{self.remote}"

    @property
    def label(self) -> str:
        """What people read, and may write in ``PAIRS``."""
        django = f"-django{self.django.replace('.', '')}" if self.django else ""
        return f"{self.name}{django}{TRIGGERS if self.capture == 'triggers' else ''}"

    @property
    def servers(self) -> set[str]:
        """The backends that it needs. SQLite needs none."""
        return {self.local, self.remote} - {SQLITE}

    @property
    def owns_servers(self) -> bool:
        """Whether tests that restart servers run on it: among such pairs, no two have a server in common."""
        return (
            len(self.servers) == 1
            and self.remote == self.local
            and self.capture == "signals"
            and not self.django
        )


_BY_SIGNALS = (
    Pair(SQLITE, SQLITE),
    Pair("postgresql", "postgresql"),
    Pair("mysql", "mysql"),
    Pair(SQLITE, SQLITE, django="5.2"),
    Pair("mysql_old", "mysql_old"),
    Pair("mariadb_old", "mariadb_old"),
    Pair("mariadb", "mariadb"),
    Pair("postgresql_old", "postgresql_old"),
    Pair("mysql", "postgresql"),
    Pair(SQLITE, "postgresql"),
)
# Of older servers, what is about triggers alone is tested with the rest.
_BY_TRIGGERS = (
    Pair("postgresql", "postgresql", capture="triggers"),
    Pair("mysql", "mysql", capture="triggers"),
    Pair(SQLITE, SQLITE, capture="triggers"),
    Pair("mariadb", SQLITE, capture="triggers"),
)
#: The slowest ones first: then none of them is what everyone waits for in the end.
PAIRS = (*_BY_SIGNALS[:4], _BY_TRIGGERS[0], *_BY_SIGNALS[4:8], *_BY_TRIGGERS[1:], *_BY_SIGNALS[8:])


def find(label: str) -> Pair:
    """
    The pair of this label; a single backend's name stands for that backend on both sides.

    Any two backends make a pair, also one that the suite does not run by itself, and ``-triggers`` may follow.
    Raises `BackendError` if `label` is none.
    """
    if label.endswith(TRIGGERS):
        return dataclasses.replace(find(label.removesuffix(TRIGGERS)), capture="triggers")
    for pair in _BY_SIGNALS:
        if label in {pair.label, pair.local if pair.local == pair.remote and not pair.django else None}:
            return pair
    local, _dash, remote = label.partition("-")
    for name in (local, remote):
        if name not in {*KINDS, SQLITE}:
            raise BackendError(
                f"{label!r} is no pair: write two of {SQLITE}, {', '.join(KINDS)} with a dash between them"
            )
    return Pair(local, remote)


def environment(pair: Pair, current: State, part: str = "") -> dict[str, str]:
    """The environment variables that tell `tests.settings` about `pair`; each `part` has databases of its own."""
    return {
        "SYNCHRO_TEST_PAIR": pair.name,
        "SYNCHRO_TEST_CAPTURE": pair.capture,
        "SYNCHRO_TEST_LOCAL": _url(pair.label + part, pair.local, current),
        "SYNCHRO_TEST_REMOTE": _url(pair.label + part, pair.remote, current),
    }


def _url(label: str, name: str, current: State) -> str:
    """
    The URL of one side.

    The database's name is the label's and the clone's own, since pairs run at the same time, and so do clones
    with one set of servers.
    """
    if name == SQLITE:
        DATABASES.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{DATABASES / label}"
    address = urlsplit(current.servers[name].url)
    clone = hashlib.sha256(str(PROJECT).encode()).hexdigest()[:6]
    database = f"{label}_{clone}".replace("-", "_")
    return address._replace(path=f"/{database}").geturl()
