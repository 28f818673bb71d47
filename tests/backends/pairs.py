"""The pairs of databases that the suite runs on, LOCAL's backend and REMOTE's, and how changes are captured there."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.backends.errors import BackendError
from tests.backends.server import KINDS
from tests.backends.state import PROJECT, State

SQLITE = "sqlite"
#: How labels of pairs that capture by triggers end.
TRIGGERS = "-triggers"
DATABASES = PROJECT / ".cache" / "databases"

# The folders of tests, by the pairs that they run on. (A test in `tests/project/test_backends.py` misses none.)
#: How rows and values get from one database into another.
EVERY_PAIR = ("tests/test_pair.py", "tests/replay/apply", "tests/replay/identity", "tests/replay/values")
#: What the newest server of a kind may do otherwise than others, captured by signals, and on PostgreSQL by triggers.
NEWEST = (
    "tests/protocol",
    "tests/replay/conflicts",
    "tests/replay/guests",
    "tests/replay/histories",
    "tests/replay/relations",
    "tests/replay/schema",
)
#: What knows nothing of how changes were captured: receipts, locks, batches, crashes.
BY_SIGNALS = ("tests/replay/faults", "tests/replay/log", "tests/replay/nodes")
#: What no server decides otherwise than SQLite does.
SQLITE_SUFFICES = ("tests/replay/quarantine",)
#: What is about one database: on pairs of two of a kind.
ONE_DATABASE = ("tests/admin", "tests/commands", "tests/signals", "tests/spicy", "tests/triggers")
#: What has nothing to do with databases.
ONCE = ("tests/checks", "tests/project")
#: What restarts servers, which other pairs use at the same time.
RESTARTS = "tests/restarts"


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
    def paths(self) -> tuple[str, ...]:
        """The folders and files of tests that the suite runs on it, for pytest."""
        paths = [*EVERY_PAIR]
        is_new = not self.local.endswith("_old") and not self.django and self.local != "mariadb"
        is_the_one_of_its_kind = self.local == self.remote and is_new
        runs_everything = os.environ.get("SYNCHRO_TEST_EVERYTHING") == "1"
        if self.local == self.remote and self.capture == "signals":
            paths += [*ONE_DATABASE, *(str(path.relative_to(PROJECT)) for path in _single_files())]
        if runs_everything or (
            is_the_one_of_its_kind and (self.capture == "signals" or self.local == "postgresql")
        ):
            paths += NEWEST
        if runs_everything or (is_the_one_of_its_kind and self.capture == "signals"):
            paths += BY_SIGNALS
        if runs_everything or (is_the_one_of_its_kind and self.capture == "signals" and self.local == SQLITE):
            paths += SQLITE_SUFFICES
        if self == Pair(SQLITE, SQLITE):
            paths += ONCE
        return tuple(paths)

    @property
    def owns_servers(self) -> bool:
        """Whether tests that restart servers run on it: among such pairs, no two have a server in common."""
        return (
            len(self.servers) == 1
            and self.remote == self.local
            and self.capture == "signals"
            and not self.django
        )


# The slowest ones first: then none of them is what everyone waits for in the end.
_BY_SIGNALS = (
    Pair("mariadb", "mariadb"),
    Pair("mariadb_old", "mariadb_old"),
    Pair("mysql", "mysql"),
    Pair("mysql_old", "mysql_old"),
    Pair("postgresql", "postgresql"),
    Pair("postgresql_old", "postgresql_old"),
    Pair(SQLITE, SQLITE),
    Pair(SQLITE, SQLITE, django="5.2"),
    Pair("mysql", "postgresql"),
)
PAIRS = (
    *_BY_SIGNALS,
    # Of older servers, what is about triggers alone is tested with the rest.
    *(
        dataclasses.replace(pair, capture="triggers")
        for pair in _BY_SIGNALS
        if pair in {Pair("mysql", "mysql"), Pair("postgresql", "postgresql"), Pair(SQLITE, SQLITE)}
    ),
    Pair("mariadb", SQLITE, capture="triggers"),
)


def _single_files() -> list[Path]:
    return sorted(path for path in (PROJECT / "tests").glob("test_*.py") if path.name != "test_pair.py")


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


def environment(pair: Pair, current: State) -> dict[str, str]:
    """The environment variables that tell `tests.settings` about `pair`."""
    return {
        "SYNCHRO_TEST_PAIR": pair.name,
        "SYNCHRO_TEST_CAPTURE": pair.capture,
        "SYNCHRO_TEST_LOCAL": _url(pair, pair.local, current),
        "SYNCHRO_TEST_REMOTE": _url(pair, pair.remote, current),
    }


def _url(pair: Pair, name: str, current: State) -> str:
    """
    The URL of one side.

    The database's name is the pair's and the clone's own, since pairs run at the same time, and so do clones
    with one set of servers.
    """
    if name == SQLITE:
        DATABASES.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{DATABASES / pair.label}"
    address = urlsplit(current.servers[name].url)
    clone = hashlib.sha256(str(PROJECT).encode()).hexdigest()[:6]
    database = f"{pair.label}_{clone}".replace("-", "_")
    return address._replace(path=f"/{database}").geturl()
