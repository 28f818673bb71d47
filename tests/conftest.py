"""Which tests run on which pair of databases."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import TransactionTestCase

HERE = Path(__file__).parent
#: What is about both databases at once, and so runs on pairs of two kinds too.
ABOUT_PAIRS = ("move", "replay", "protocol", "verify", "test_pair.py")
PAIR = os.environ.get("SYNCHRO_TEST_PAIR", "sqlite-sqlite")
BY_TRIGGERS = os.environ.get("SYNCHRO_TEST_CAPTURE") == "triggers"


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """
    What is about one database runs where both are of one kind; where capture is by triggers, what is about
    synchronizing. (Tests of one way to capture choose it themselves.) What is left out is not even loaded.
    """
    if HERE not in collection_path.parents:
        return None
    local, _, remote = PAIR.partition("-")
    is_about_pairs = collection_path.relative_to(HERE).parts[0] in ABOUT_PAIRS
    return True if (BY_TRIGGERS or local != remote) and not is_about_pairs else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What has nothing to do with an engine runs once."""
    is_elsewhere = PAIR != "sqlite-sqlite" or BY_TRIGGERS
    left_out = [item for item in items if is_elsewhere and item.get_closest_marker("once")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def pytest_collection_finish() -> None:
    """What has been loaded stays: the cycle collector need not walk over it again and again, a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


@pytest.fixture(scope="session")
def _own_apps_last() -> Iterator[pytest.MonkeyPatch]:
    """
    Until it is undone, `migrate` makes the tables of the tests' apps after all others: each migration that comes after
    them makes classes of their many models anew.
    """
    from django.apps import apps
    from django.db.migrations.graph import MigrationGraph

    leaf_nodes = MigrationGraph.leaf_nodes

    def own_last(self: MigrationGraph, app: str | None = None) -> list[tuple[str, str]]:
        return sorted(leaf_nodes(self, app), key=lambda node: (apps.is_installed(f"tests.{node[0]}"), node))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MigrationGraph, "leaf_nodes", own_last)
        yield patch


@pytest.fixture(scope="session")
def _remote_copied_from_local() -> Iterator[None]:
    """Where both databases are of one kind, REMOTE gets its tables from LOCAL, in place of all migrations once more."""
    from django.conf import settings
    from django.db import connections
    from django.db.backends.base.creation import BaseDatabaseCreation

    create = BaseDatabaseCreation.create_test_db

    def copied(self: BaseDatabaseCreation, *arguments: Any, **options: Any) -> str:
        local, own = connections["default"].settings_dict, self.connection.settings_dict
        if self.connection.alias != "remote" or any(
            local[one] != own[one] for one in ("ENGINE", "HOST", "PORT")
        ):
            return create(self, *arguments, **options)
        from tests.clones import copy
        from tests.flush import flush

        name: str = self._get_test_db_name()
        copy(connections["default"], name)
        self.connection.close()
        settings.DATABASES["remote"]["NAME"] = own["NAME"] = name
        flush("remote")  # what is LOCAL's own, such as its node id
        return name

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseCreation, "create_test_db", copied)
        yield


@pytest.fixture(scope="session")
def django_db_modify_db_settings(_own_apps_last: pytest.MonkeyPatch, _remote_copied_from_local: None) -> None:
    """What the plugin asks for before it makes the databases."""


@pytest.fixture(scope="session")
def django_db_setup(_own_apps_last: pytest.MonkeyPatch, django_db_setup: None) -> None:
    """The plugin's; what tests migrate is migrated in Django's own order."""
    _own_apps_last.undo()


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
