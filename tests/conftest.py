"""Which tests run on which pair of databases."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import TransactionTestCase

HERE = Path(__file__).parent
#: What is about both databases at once, and so runs on pairs of two kinds too.
ABOUT_PAIRS = ("replay", "test_pair.py")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    What has nothing to do with an engine runs once; what is about one database, where both are of one kind; where
    capture is by triggers, what is about synchronizing. (Tests of one way to capture choose it themselves.)
    """
    by_triggers = os.environ.get("SYNCHRO_TEST_CAPTURE") == "triggers"
    pair = os.environ.get("SYNCHRO_TEST_PAIR", "sqlite-sqlite")
    local, _, remote = pair.partition("-")
    left_out = [
        item
        for item in items
        if (pair != "sqlite-sqlite" and item.get_closest_marker("once"))
        or ((by_triggers or local != remote) and item.path.relative_to(HERE).parts[0] not in ABOUT_PAIRS)
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


@pytest.fixture(autouse=True, scope="session")
def _quick_flush() -> Iterator[None]:
    """In place of what Django does after a test that commits."""

    from tests.flush import flush  # which needs the apps to be loaded

    def teardown(self: TransactionTestCase) -> None:
        for alias in self._databases_names(include_mirrors=False):
            flush(alias)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", teardown)
        yield
