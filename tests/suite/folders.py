"""
Which folders of tests run on which pair.

Every folder is in one of the lists below; `tests/project/test_suite.py` sees to that.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from tests.backends.pairs import SQLITE, Pair
from tests.backends.state import PROJECT

#: How rows and values get from one database into another: on every pair.
EVERY_PAIR = (
    "tests/test_pair.py",
    "tests/replay/apply",
    "tests/replay/identity",
    "tests/replay/remotes",
    "tests/replay/values",
    "tests/verify",
)
#: What a kind of server may do otherwise than others: by signals on the newest of each kind, by triggers on PostgreSQL.
EVERY_KIND = (
    "tests/protocol",
    "tests/replay/guests",
    "tests/replay/histories",
    "tests/replay/relations",
    "tests/replay/schema",
    "tests/replay/two_ways",
)
#: How a database is moved: to another kind, and to one of its own.
MOVES = ("tests/move",)
#: Of these, what MariaDB does otherwise than MySQL, which looks at foreign keys at once, too.
ON_MARIADB = ("tests/replay/relations/test_circular_references.py",)
#: What knows nothing of how changes were captured: by signals on the newest of each kind.
EVERY_KIND_BY_SIGNALS = ("tests/operate", "tests/replay/faults", "tests/replay/log", "tests/replay/nodes")
#: Who wins and what is set aside, which no server decides otherwise than SQLite does.
ON_SQLITE = ("tests/replay/conflicts", "tests/replay/quarantine")
#: What is about one database: on every pair of two of a kind, by signals. (Tests of triggers choose them themselves.)
ONE_DATABASE = (
    "tests/admin",
    "tests/checks",
    "tests/commands",
    "tests/signals",
    "tests/spicy",
    "tests/triggers",
    *sorted(
        f"tests/{path.name}" for path in (PROJECT / "tests").glob("test_*.py") if path.name != "test_pair.py"
    ),
)
#: What has nothing to do with a database: once.
ONCE = ("tests/project",)
#: The dashboard in a real browser: on SQLite, since the pages know nothing of engines.
IN_A_BROWSER = ("tests/browser",)
#: What restarts servers, which other pairs use at the same time: when nothing else runs any more.
RESTARTS = ("tests/restarts",)

#: Between which databases, by signals: a move says itself how changes are captured.
MOVED = (Pair(SQLITE, SQLITE), Pair("postgresql", "postgresql"), Pair("mysql", "postgresql"))
#: A pair on which nothing else runs.
ONLY_MOVED = Pair(SQLITE, "postgresql")

SYNCHRONIZING = ("tests/protocol", "tests/move", "tests/replay", "tests/verify")


def paths(pair: Pair) -> tuple[str, ...]:
    """The folders and files of tests that the suite runs on a pair, for pytest."""
    everything = os.environ.get("SYNCHRO_TEST_EVERYTHING") == "1"
    if pair == ONLY_MOVED and not everything:
        return MOVES
    by_signals = pair.capture == "signals"
    is_of_one_kind = pair.local == pair.remote
    is_newest_of_its_kind = (
        is_of_one_kind and not pair.local.endswith("_old") and not pair.django and pair.local != "mariadb"
    )
    runs_every_kind = everything or (is_newest_of_its_kind and (by_signals or pair.local == "postgresql"))
    lists = [
        (EVERY_PAIR, True),
        (EVERY_KIND, runs_every_kind),
        (MOVES, everything or (by_signals and pair in MOVED)),
        (ON_MARIADB, not runs_every_kind and by_signals and pair.local == pair.remote == "mariadb"),
        (EVERY_KIND_BY_SIGNALS, everything or (is_newest_of_its_kind and by_signals)),
        (ON_SQLITE, everything or (is_newest_of_its_kind and by_signals and pair.local == SQLITE)),
        (ONE_DATABASE, is_of_one_kind and by_signals),
        (ONCE, pair == Pair(SQLITE, SQLITE)),
        (IN_A_BROWSER, pair == Pair(SQLITE, SQLITE)),
    ]
    return tuple(path for folders, runs in lists if runs for path in folders)


def names_tests(arguments: Sequence[str]) -> bool:
    """Whether some of these `arguments` for pytest are paths of tests, which take the place of all others then."""
    return any((PROJECT / argument.partition("::")[0]).exists() for argument in arguments)


def parts(pair: Pair) -> tuple[tuple[str, ...], ...]:
    """Its paths: where they are many, in two parts that may run at the same time."""
    all_paths = paths(pair)
    others = tuple(path for path in all_paths if not path.startswith(SYNCHRONIZING))
    if not {*EVERY_KIND_BY_SIGNALS} <= {*all_paths} or len(others) < 2:
        return (all_paths,)
    return tuple(path for path in all_paths if path.startswith(SYNCHRONIZING)), others
