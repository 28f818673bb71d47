"""A process that is killed on its way, and one that comes after it."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeVar

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model

from synchro.core import Report, call_synchronize, reset_synchro
from synchro.exceptions import Busy
from tests.replay import driver, processes
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import let_time_pass, other_side, remote, remote_count, use_up_key_on_remote
from tests.replay.processes import Fork
from tests.replay.writers import in_thread, write_a_lot
from tests.shop.models import Album, Artist, Country, Customer, Measurement, Order, Publisher, Ticket

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "remote"])

T = TypeVar("T")

STEPS = ["formed", "read", "identified", "resolved", "written", "committed", "acknowledged"]
BATCH_SIZE = 20
#: For whoever looks for more: SYNCHRO_TEST_ROUNDS=50.
ROUNDS = int(os.environ.get("SYNCHRO_TEST_ROUNDS", "4"))


@pytest.fixture
def backlog(settings: object) -> None:
    """Batch 1 has arrived; three more are pending, each with every kind of change."""
    settings.SYNCHRO_BATCH_SIZE = BATCH_SIZE  # type: ignore[attr-defined]
    ContentType.objects.clear_cache()
    use_up_key_on_remote(Customer, name="gone")
    customers = [Customer.objects.create(name=f"Customer {number}") for number in range(20)]
    assert call_synchronize().batches == 1
    album = Album.objects.create(name="Blue")
    for number, customer in enumerate(customers[:12]):
        if number % 2:
            customer.delete()
        else:
            customer.cash = number
            customer.save()
        Order.objects.create(customer=Customer.objects.create(name=f"New {number}"))
        Country.objects.create(code=f"{number}")
        if number % 3 == 0:
            Publisher.objects.create(name=f"Publisher {number}")
            album.artists.add(Artist.objects.create(name=f"Artist {number}"))


def run_until_free() -> Report:
    return when_free(call_synchronize)


def when_free(do: Callable[[], T]) -> T:
    """A server may need a moment to notice that a killed process, which held the lock, is gone."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return do()
        except Busy:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.mark.parametrize("batch", [2, 3])
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_nothing_is_lost_or_doubled(backlog: None, step: str, batch: int) -> None:
    assert processes.forked(driver.happening, "kill", step, str(batch)) == -signal.SIGKILL

    run_until_free()

    assert_same_rows()
    assert remote_count(Customer) == Customer.objects.count()
    assert call_synchronize().entries == 0


@pytest.mark.usefixtures("all_receivers")
@pytest.mark.parametrize("model", [Measurement, Ticket])
def test_row_under_the_key_of_one_whose_deletion_was_cut_off_is_another(model: type[Model]) -> None:
    """Its reference would lead to what REMOTE has under the former row's key by now."""
    name = "short" if model is Measurement else "title"
    use_up_key_on_remote(model)
    here = model._base_manager.create(**{name: "first"}).pk
    call_synchronize()
    there = remote(model).pk
    model._base_manager.get().delete()
    assert processes.forked(driver.happening, "kill", "committed", "2") == -signal.SIGKILL
    run_until_free()

    with other_side():
        model._base_manager.create(pk=there, **{name: "REMOTE's"})
        call_synchronize()
    let_time_pass(3600)
    model._base_manager.create(pk=here, **{name: "LOCAL's"})
    call_synchronize()

    assert {getattr(row, name) for row in model._base_manager.using("remote").all()} == {
        "REMOTE's",
        "LOCAL's",
    }
    assert_same_rows(model)


def test_killed_twice_at_the_same_step_nothing_is_lost_or_doubled(backlog: None) -> None:
    for _ in range(2):
        for step, batch in (("written", "2"), ("committed", "2"), ("committed", "3")):
            processes.forked(driver.happening, "kill", step, batch)

    run_until_free()

    assert_same_rows()


def test_changes_made_between_the_kill_and_the_next_run_arrive(backlog: None) -> None:
    """Of rows whose references LOCAL does not know yet."""
    assert processes.forked(driver.happening, "kill", "committed", "2") == -signal.SIGKILL
    for customer in Customer.objects.filter(name__startswith="New"):
        customer.cash = 1000
        customer.save()
    Order.objects.all().delete()

    run_until_free()

    assert_same_rows()


def test_reset_between_the_kill_and_the_next_run_doubles_nothing(backlog: None) -> None:
    """The references of what has arrived are on REMOTE only."""
    assert processes.forked(driver.happening, "kill", "committed", "2") == -signal.SIGKILL
    arrived = {customer.name for customer in Customer.objects.using("remote").all()}

    when_free(partial(reset_synchro, is_copy=True))
    for customer in Customer.objects.filter(name__in=arrived):
        customer.cash = 1000
        customer.save()
    run_until_free()

    assert {
        customer.cash for customer in Customer.objects.using("remote").filter(name__startswith="New")
    } == {1000}
    assert remote_count(Customer) == len(arrived)


def test_killed_again_and_again_while_people_write_nothing_is_lost_or_doubled(settings: Any) -> None:
    use_up_key_on_remote(Customer, name="gone")
    settings.SYNCHRO_BATCH_SIZE = BATCH_SIZE
    chance = random.Random(1)
    with ExitStack() as runs, ThreadPoolExecutor(4) as pool:
        # They begin before there is another thread, and wait.
        replayers = [runs.enter_context(Fork(driver.loop)) for _ in range(ROUNDS)]
        writers = [in_thread(pool, write_a_lot, seed, 15 * ROUNDS) for seed in range(4)]
        for replayer in replayers:
            replayer.go_on()
            assert replayer.line() == "here"
            time.sleep(chance.random() / 2)
            replayer.kill()
            assert replayer.end() == -signal.SIGKILL
        for writer in writers:
            writer.result()

    run_until_free()
    run_until_free()

    assert_same_rows()
