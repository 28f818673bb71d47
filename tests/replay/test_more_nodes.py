"""Three nodes: more than one sender to a database is refused before it can lose a change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from synchro.core import call_synchronize, reset_synchro
from synchro.exceptions import NotConfigured
from synchro.models import Receipt
from tests.replay.sides import other_side
from tests.shop.models import Customer

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True, databases="__all__")]


@pytest.fixture(scope="module", autouse=True)
def third_database(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """A database `branch`, with all tables."""
    file = str(tmp_path_factory.mktemp("third") / "branch.sqlite3")
    settings.DATABASES["branch"] = {**connections["remote"].settings_dict, "NAME": file, "OPTIONS": {}}
    with django_db_blocker.unblock():
        call_command("migrate", database="branch", verbosity=0)
    yield
    with django_db_blocker.unblock():
        connections["branch"].close()
    del connections["branch"], settings.DATABASES["branch"]


@contextmanager
def as_branch() -> Iterator[None]:
    """Inside, this process is the deployment whose own database is `branch`."""
    _exchange()
    try:
        yield
    finally:
        _exchange()


def _exchange() -> None:
    local, branch = connections["default"], connections["branch"]
    local.alias, branch.alias = "branch", "default"
    connections["default"], connections["branch"] = branch, local
    databases = connections.databases
    databases["default"], databases["branch"] = databases["branch"], databases["default"]
    ContentType.objects.clear_cache()


def add(name: str) -> None:
    Customer.objects.create(name=name)


def names_on(alias: str) -> list[str]:
    return sorted(Customer.objects.using(alias).values_list("name", flat=True))


def test_second_node_that_sends_to_the_same_database_is_refused() -> None:
    add("Vimes")
    call_synchronize()
    with as_branch():
        add("Carrot")
        call_synchronize()
    add("Nobby")

    with pytest.raises(NotConfigured, match="sends changes to the database “remote” too"):
        call_synchronize()

    assert names_on("remote") == ["Carrot", "Vimes"]


def test_what_others_sent_to_local_is_not_thought_to_reach_remote() -> None:
    with other_side():
        add("Rust")
        with override_settings(SYNCHRO_REMOTE="branch"):
            call_synchronize()
    add("Vimes")
    call_synchronize()

    with (
        other_side(),
        override_settings(SYNCHRO_REMOTE="branch"),
        pytest.raises(NotConfigured, match="sends changes to LOCAL, which are not passed on"),
    ):
        call_synchronize()


def test_node_that_sends_no_more_can_be_taken_away() -> None:
    with as_branch():
        add("Carrot")
        call_synchronize()
    add("Vimes")
    call_synchronize()
    with as_branch():
        add("Nobby")
        with pytest.raises(NotConfigured) as refused:
            call_synchronize()
        uuid = str(refused.value).rpartition("peer__uuid=“")[2].partition("”")[0]
        Receipt.objects.using("remote").filter(peer__uuid=uuid).delete()

        call_synchronize()

    assert names_on("remote") == ["Carrot", "Nobby", "Vimes"]


def test_node_that_gets_a_new_name_is_no_second_sender() -> None:
    for name in ("Vimes", "Carrot"):
        add(name)
        call_synchronize()
        reset_synchro()
        call_synchronize()
    with other_side():
        add("Rust")
        call_synchronize()

    assert {"Vimes", "Carrot", "Rust"} <= set(names_on("default"))
