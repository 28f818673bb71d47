"""Load straight into a table where nothing is to be asked: fast, and as safe as the steps that it leaves out."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from datetime import time as day_time
from decimal import Decimal
from typing import Any, NoReturn
from uuid import UUID

import pytest
from django.db import connections

from synchro.exceptions import Busy
from synchro.load import Loaded, load
from synchro.models import Batch, ChangeLog, Conflict
from synchro.replay.signals import step as step_signal
from synchro.verify import verify
from tests.replay import processes
from tests.replay.deployments import BY_TRIGGERS, REMOTE, create_on_remote, remote_count, unlogged
from tests.replay.faults.test_killed import when_free
from tests.replay.writers import in_thread, write_a_lot
from tests.shop.models import Category, Customer, Measurement, Order, Parcel, Warehouse

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)

NASTY = "tab\tline\nback\\slash \\N \\t\r end 'quote' \"double\" %s %(a)s žluť 🐎 "


#: For whoever looks for more: SYNCHRO_TEST_ROUNDS=50.
ROUNDS = int(os.environ.get("SYNCHRO_TEST_ROUNDS", "3"))


@pytest.fixture(autouse=True)
def _small_batches(settings: Any) -> None:
    """Only what goes straight goes in batches of more rows."""
    settings.SYNCHRO_BATCH_SIZE = 3


@contextmanager
def uncaptured() -> Iterator[None]:
    """Inside, what LOCAL gets is not known to its log."""
    with unlogged("default"):
        yield
    ChangeLog.objects.all().delete()


@contextmanager
def at(wanted: str, happen: Callable[[], None]) -> Iterator[None]:
    """Inside, this happens once: at that step of the first batch of a load."""
    left = [happen]

    def receive(step: str, batch: int, **_kwargs: Any) -> None:
        if step == wanted and left and Batch.objects.filter(number=batch, part__isnull=False).exists():
            left.pop()()

    step_signal.connect(receive)
    try:
        yield
    finally:
        step_signal.disconnect(receive)
    assert not left, f"no batch of a load came to the step {wanted}"


def warehouses(count: int = 10) -> None:
    with uncaptured():
        for number in range(1, count + 1):
            Warehouse.objects.create(pk=number, name=f"house {number}")


def differences() -> dict[str, list[tuple[str, object]]]:
    return {
        result.model.__name__: [(each.kind, each.key) for each in result.differences]
        for result in verify("remote")
        if result.differences
    }


def loaded(model: type) -> Loaded:
    (found,) = [each for each in load("remote", [model]) if each.model is model]
    return found


def batches_of_loads() -> int:
    return Batch.objects.exclude(part=None).count()


@pytest.mark.parametrize("identity", ["pk", "reference"])
def test_every_value_arrives_as_it_is(identity: str, settings: Any) -> None:
    settings.SYNCHRO_IDENTITY = identity
    with uncaptured():
        Measurement.objects.create()
        for sign in (1, -1):
            Measurement.objects.create(
                moment=datetime(2020, 2, 29, 23, 59, 59, 999999, UTC),
                day=date(1582, 10, 5),
                hour=day_time(23, 59, 59, 999999),
                lasted=sign * timedelta(days=3, hours=23, microseconds=1),
                amount=sign * Decimal("12345.67890"),
                huge_amount=sign * Decimal("1234567.5"),
                ratio=sign * (0.1 + 0.2),
                data={"a": [1, 1.5, None, NASTY], "big": 2**53 - 1},
                raw=bytes(range(256)),
                token=UUID(int=7),
                yes=True,
                maybe=False,
                short=NASTY,
                long=NASTY * 300,
                address="2001:db8::1",
                number=sign * 2**31 - (sign > 0),
                big=sign * (2**63 - 1),
                slug="",
            )

    done = loaded(Measurement)

    assert (done.rows, done.sent, batches_of_loads()) == (3, 3, 1)
    assert differences() == {}
    assert loaded(Measurement).equal == 3


def test_rows_arrive_with_what_they_point_at() -> None:
    with unlogged(REMOTE):
        create_on_remote(Customer, name="REMOTE's own")
    with uncaptured():
        for number in range(10):
            customer = Customer.objects.create(name=f"customer {number}", cash=number)
            Order.objects.create(customer=customer, note="boots")
        parent = None
        for number in range(5):
            parent = Category.objects.create(name=f"{number}", parent=parent)

    load("remote", [Customer, Order, Category])

    assert {name: kinds for name, kinds in differences().items() if name != "Customer"} == {}
    assert remote_count(Customer) == 11
    assert sorted(
        order.customer.name for order in Order.objects.using(REMOTE).select_related("customer")
    ) == (sorted(f"customer {number}" for number in range(10)))


def test_what_a_writer_does_meanwhile_arrives() -> None:
    warehouses()

    def write() -> None:
        Warehouse.objects.filter(pk=2).first().delete()  # type: ignore[union-attr]
        changed = Warehouse.objects.get(pk=3)
        changed.name = "changed"
        changed.save()
        Warehouse.objects.create(name="new")

    with at("read", write):
        load("remote", [Warehouse])

    assert differences() == {}
    assert Warehouse.objects.using(REMOTE).get(pk=3).name == "changed"


def test_row_that_is_added_and_deleted_while_it_is_loaded_does_not_stay() -> None:
    warehouses()
    Warehouse.objects.filter(pk=5)._raw_delete("default")
    ChangeLog.objects.all().delete()

    def add() -> None:
        Warehouse.objects.create(pk=5, name="for a moment")

    def delete() -> None:
        Warehouse.objects.get(pk=5).delete()

    with at("formed", add), at("committed", delete):
        load("remote", [Warehouse])

    assert differences() == {}
    assert not Warehouse.objects.using(REMOTE).filter(pk=5).exists()


def test_rows_that_somebody_puts_there_meanwhile_are_decided_about_like_others() -> None:
    warehouses()

    def put() -> None:
        Warehouse.objects.using(REMOTE).create(pk=4, name="REMOTE's")

    with at("formed", put):
        load("remote", [Warehouse])

    name = Warehouse.objects.using(REMOTE).get(pk=4).name
    if BY_TRIGGERS:  # REMOTE's change is known there
        assert (name, Conflict.objects.get().decision) == ("REMOTE's", Conflict.REMOTE)
    else:
        assert (name, differences()) == ("house 4", {})
    assert remote_count(Warehouse) == 10


def test_rows_that_remote_deleted_itself_stay_deleted() -> None:
    if not BY_TRIGGERS:
        pytest.skip("by signals REMOTE's deployment captures, not this process")
    warehouses()
    with unlogged(REMOTE):
        create_on_remote(Warehouse, pk=4, name="house 4")
    Warehouse.objects.using(REMOTE).get(pk=4).delete()

    load("remote", [Warehouse])

    assert remote_count(Warehouse) == 9
    assert Conflict.objects.get().decision == Conflict.REMOTE


def test_new_rows_of_remote_get_keys_beyond_those_that_were_loaded() -> None:
    warehouses()
    load("remote", [Warehouse])

    with unlogged(REMOTE):
        assert create_on_remote(Warehouse, name="new").pk > 10


def test_keys_that_are_no_numbers_go_straight_too() -> None:
    with uncaptured():
        for _number in range(10):
            Parcel.objects.create()

    assert (loaded(Parcel).sent, batches_of_loads()) == (10, 1)
    assert differences() == {}


def _killed_at(wanted: str) -> int:
    def receive(step: str, batch: int, **_kwargs: Any) -> None:
        if step == wanted and Batch.objects.filter(number=batch, part__isnull=False).exists():
            os.kill(os.getpid(), signal.SIGKILL)

    step_signal.connect(receive)
    load("remote", [Warehouse, Order])
    return 0


@pytest.mark.parametrize("step", ["formed", "read", "written", "committed", "acknowledged"])
def test_killed_at_any_step_nothing_is_lost_or_doubled(step: str) -> None:
    warehouses()
    with uncaptured():
        customer = Customer.objects.create(name="one")
        for _number in range(5):
            Order.objects.create(customer=customer)
    connections.close_all()

    for _time in range(2):
        assert processes.forked(_killed_at, step) == -signal.SIGKILL
    load("remote")

    assert differences() == {}
    assert (remote_count(Warehouse), remote_count(Order)) == (10, 5)


def _load_again_and_again() -> NoReturn:
    """Wait for a line, write one, then load again and again until it is killed."""
    sys.stdin.readline()
    print("here", flush=True)
    while True:
        with suppress(Busy):  # a server may not have noticed yet that the one before was killed
            load("remote")


def test_killed_again_and_again_while_people_write_nothing_is_lost_or_doubled() -> None:
    chance = random.Random(1)
    with uncaptured():
        Warehouse.objects.bulk_create([Warehouse(name=f"house {number}") for number in range(200)])
        for number in range(40):
            customer = Customer.objects.create(name=f"customer {number}")
            Order.objects.create(customer=customer, note="old")
    with ExitStack() as runs, ThreadPoolExecutor(4) as pool:
        # They begin before there is another thread, and wait.
        loads = [runs.enter_context(processes.Fork(_load_again_and_again)) for _ in range(ROUNDS)]
        writers = [in_thread(pool, write_a_lot, seed, 8 * ROUNDS) for seed in range(4)]
        for each in loads:
            each.go_on()
            assert each.line() == "here"
            time.sleep(chance.random())
            each.kill()
            assert each.end() == -signal.SIGKILL
        for writer in writers:
            writer.result()

    when_free(lambda: load("remote"))

    assert differences() == {}
