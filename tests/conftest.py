"""Which tests run on which pair of databases."""

from __future__ import annotations

import os

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What has nothing to do with an engine need not run on each of them."""
    if os.environ.get("SYNCHRO_TEST_PAIR", "sqlite-sqlite") == "sqlite-sqlite":
        return
    once = [item for item in items if item.get_closest_marker("once")]
    if once:
        config.hook.pytest_deselected(items=once)
        items[:] = [item for item in items if not item.get_closest_marker("once")]
