"""Which tests run on which pair of databases."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import TransactionTestCase

HERE = Path(__file__).parent
#: What is about both databases at once, and so runs on pairs of two kinds too.
ABOUT_PAIRS = ("replay", "test_pair.py")

#: Of tests/replay, what `Pair.leaves_out` names. What is left is every kind of value, key, relation, set and conflict,
#: two ways, receivers, refusals, and the random histories.
FAULTS = (
    "command", "connections", "full_disk", "killed", "links", "one_at_a_time", "pruning", "quarantine_killed",
    "receipts", "remote_without_tables", "retry", "rights",
    "changed_identity", "pooler", "renamed_peers", "row_security", "session_settings",
)  # fmt: skip
RULES = (
    "chains", "changed_identity", "checkpoint", "conflicts_of_owners", "conflicts_of_sets", "copies", "deciders",
    "foreign_triggers", "guard", "knots_histories", "made_again", "models_without_a_table", "quarantine", "receivers",
    "renamed_peers", "topologies_histories", "unwatched_entries", "whole", "wholesale_references",
    "wholesale_relations",
)  # fmt: skip
PROTOCOL = (*FAULTS, *RULES, "batches", "races", "topologies", "writers")
MOST = (
    *PROTOCOL, "any_raw_values", "conflicts", "histories", "knots_of_deletions", "knots_of_references", "listeners",
    "many_to_many", "names_that_change", "natural_keys", "odd_models", "quarantine_histories", "relations", "two_ways",
    "wholesale_histories",
)  # fmt: skip
GROUPS = {"": (), "rules": RULES, "protocol": PROTOCOL, "most": MOST}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    What has nothing to do with an engine runs once; what is about one database, where both are of one kind; where
    capture is by triggers, what is about synchronizing. (Tests of one way to capture choose it themselves.)
    """
    done_elsewhere = GROUPS[os.environ.get("SYNCHRO_TEST_LEAVES_OUT", "")]
    by_triggers = os.environ.get("SYNCHRO_TEST_CAPTURE") == "triggers"
    pair = os.environ.get("SYNCHRO_TEST_PAIR", "sqlite-sqlite")
    local, _, remote = pair.partition("-")
    left_out = [
        item
        for item in items
        if (pair != "sqlite-sqlite" and item.get_closest_marker("once"))
        or ((by_triggers or local != remote) and item.path.relative_to(HERE).parts[0] not in ABOUT_PAIRS)
        or _is_among(item, done_elsewhere)
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def pytest_collection_finish() -> None:
    """What has been loaded stays: the cycle collector need not walk over it again and again, a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


def _is_among(item: pytest.Item, files: tuple[str, ...]) -> bool:
    folder, name = item.path.parent.name, item.path.stem.removeprefix("test_")
    return folder == "replay" and any(name == one or name.startswith(f"{one}_") for one in files)


@pytest.fixture(autouse=True, scope="session")
def _quick_flush() -> Iterator[None]:
    """In place of what Django does after a test that commits."""

    from tests.flush import flush, set_free  # which need the apps to be loaded

    def teardown(self: TransactionTestCase) -> None:
        aliases = self._databases_names(include_mirrors=False)
        left = [alias for alias in aliases if set_free(alias)]
        for alias in aliases:
            flush(alias)
        assert not left, f"the connection to {left} was left inside a transaction"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", teardown)
        yield
