"""The link to a server is cut, or stalls, at any byte."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from django.db import DatabaseError, connections

from synchro.core import call_synchronize
from synchro.exceptions import SynchroError
from tests.faults.links import through_proxy
from tests.faults.proxy import Link, Proxy
from tests.replay import driver
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import remote_count, use_up_key_on_remote
from tests.replay.faults.test_connections import at_step
from tests.replay.processes import Fork
from tests.shop.models import Customer, Order

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "remote"])

#: For whoever looks for more: SYNCHRO_TEST_ROUNDS=50.
ROUNDS = int(os.environ.get("SYNCHRO_TEST_ROUNDS", "3"))


def stall_for_a_while(link: Link) -> None:
    link.stall()
    threading.Timer(0.1, link.go_on).start()


FAULTS: dict[str, Callable[[Link], None]] = {
    "stalls": stall_for_a_while,
    "resets": Link.reset,
    "drops": Link.close,
}


def change_a_lot() -> None:
    for number in range(10):
        Order.objects.create(customer=Customer.objects.create(name=f"Customer {number}"))
    for customer in Customer.objects.order_by("pk")[:5]:
        customer.cash += 1
        customer.save()
    Customer.objects.order_by("-pk")[2:3].get().delete()


def bytes_of_a_run(proxy: Proxy) -> int:
    before = proxy.passed
    call_synchronize()
    return proxy.passed - before


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("alias", ["default", "remote"])
def test_link_that_is_cut_at_any_byte_loses_and_doubles_nothing(alias: str, fault: str) -> None:
    if connections[alias].vendor == "sqlite":
        pytest.skip("SQLite has no link to cut")
    use_up_key_on_remote(Customer, name="gone")
    chance = random.Random(f"{alias} {fault}")
    happened = 0
    with through_proxy(alias) as proxy:
        for _ in range(2):  # the second is one like those that are cut
            change_a_lot()
            size = bytes_of_a_run(proxy)
        for _ in range(ROUNDS):
            change_a_lot()
            proxy.after(chance.randrange(size), FAULTS[fault])
            with suppress(SynchroError, DatabaseError):
                call_synchronize()
            happened += proxy.happened.is_set()
            connections[alias].close()

    call_synchronize()

    assert happened >= ROUNDS / 2
    assert remote_count(Customer) == Customer.objects.count()
    assert_same_rows()


#: What docs/failure.md says to set, with shorter times.
IMPATIENT = {
    "postgresql": {"connect_timeout": 5, "options": "-c idle_in_transaction_session_timeout=500"},
    "mysql": {
        "connect_timeout": 5,
        "read_timeout": 1,
        "write_timeout": 1,
        "init_command": "SET SESSION wait_timeout = 1",
    },
}


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """In front of REMOTE, with the timeouts of the documentation."""
    vendor = connections["remote"].vendor
    if vendor == "sqlite":
        pytest.skip("SQLite has no link that stalls")
    with through_proxy("remote", **IMPATIENT[vendor]) as proxy:
        yield proxy


def test_run_whose_link_stalls_for_ever_is_killed_and_the_next_is_not_held_up(proxy: Proxy) -> None:
    """The server ends the session that was left behind in the middle of a batch, and with it its locks."""
    use_up_key_on_remote(Customer, name="gone")
    change_a_lot()
    with Fork(driver.happening, "pause", "written", "1") as process:
        assert process.line() == "here"
        connections["remote"].close()  # the next run is another process, with a connection of its own
        proxy.stall()
        process.kill()

    call_synchronize()

    assert remote_count(Customer) == Customer.objects.count()
    assert_same_rows()


def test_run_whose_link_stalls_for_ever_begins_anew_where_the_driver_waits_no_longer(proxy: Proxy) -> None:
    if connections["remote"].vendor != "mysql":
        pytest.skip("libpq has no time limit for an answer")
    use_up_key_on_remote(Customer, name="gone")
    change_a_lot()

    with at_step("written", proxy.stall) as seen:
        call_synchronize()

    assert seen == ["written"]
    assert remote_count(Customer) == Customer.objects.count()
    assert_same_rows()
