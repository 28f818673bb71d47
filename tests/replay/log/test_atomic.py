"""A run in one transaction on REMOTE: nobody there sees half of one of LOCAL's."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from itertools import pairwise
from typing import Any
from unittest.mock import Mock

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connections, transaction
from django.db.models import Sum
from hypothesis import given
from hypothesis import strategies as st

from synchro.core import call_synchronize
from synchro.exceptions import SynchroError
from synchro.models import Conflict
from synchro.replay.signals import step as step_signal
from tests.replay import driver, processes
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import (
    REMOTE,
    create_on_remote,
    let_time_pass,
    other_side,
    remote,
    remote_count,
    use_up_key_on_remote,
)
from tests.replay.faults.test_killed import STEPS, run_until_free
from tests.replay.histories.harness import rolled_back
from tests.replay.histories.shop import ONE_SIDE_ONLY, OPERATIONS, Step, steps
from tests.replay.hypothesis_settings import modest
from tests.replay.policies import more_cash
from tests.replay.writers import in_thread
from tests.shop.models import Artist, Book, Customer, Order, Publisher, Seat, Warehouse

TOGETHER = 1000

real_transactions = pytest.mark.django_db(transaction=True, databases=["default", "remote"])
pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.fixture
def accounts(settings: Any) -> list[int]:
    """Both sides have ten customers, who have so much cash together; a batch takes an odd number of entries."""
    ContentType.objects.clear_cache()
    use_up_key_on_remote(Customer, name="gone")
    found = [Customer.objects.create(name=f"{n}", cash=TOGETHER // 10).pk for n in range(10)]
    call_synchronize()
    settings.SYNCHRO_BATCH_SIZE = 3
    return found


def transfer(giver: int, taker: int, amount: int = 7) -> None:
    with transaction.atomic():
        for key, change in ((giver, -amount), (taker, amount)):
            customer = Customer.objects.get(pk=key)
            customer.cash += change
            customer.save()


def cash_that_others_see() -> int:
    """By a connection of their own."""

    def ask() -> int:
        try:
            return int(Customer.objects.using(REMOTE).aggregate(sum=Sum("cash"))["sum"])
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(ask).result()


@contextmanager
def at(wanted: str, action: Any) -> Iterator[None]:
    """Do it at each of these steps of a run."""

    def receive(step: str, batch: int, **kwargs: Any) -> None:
        if step == wanted:
            action(batch)

    step_signal.connect(receive)
    try:
        yield
    finally:
        step_signal.disconnect(receive)


@real_transactions
@pytest.mark.parametrize("atomic", [True, False])
def test_others_never_see_half_of_a_transaction(accounts: list[int], atomic: bool) -> None:
    """Without `atomic` they do, here where batches cut transactions in two."""
    for giver, taker in pairwise(accounts):
        transfer(giver, taker, amount=giver)
    seen: set[int] = set()

    def look(batch: int) -> None:
        seen.add(cash_that_others_see())

    with at("written", look), at("committed", look), at("acknowledged", look):
        report = call_synchronize(atomic=atomic)

    assert report.batches > 3
    assert (seen == {TOGETHER}) == atomic
    assert_same_rows(Customer)


@real_transactions
def test_what_commits_after_the_batches_were_formed_arrives_as_a_whole_or_not_at_all(
    accounts: list[int],
) -> None:
    """One account of the late transfer is named by an older entry, the other is not."""
    transfer(accounts[0], accounts[1])
    late = iter([(accounts[0], accounts[9]), (accounts[1], accounts[8])])

    with at("formed", lambda batch: transfer(*next(late))):
        call_synchronize(atomic=True)

    assert cash_that_others_see() == TOGETHER
    call_synchronize(atomic=True)
    assert_same_rows(Customer)


@real_transactions
def test_others_never_see_half_of_a_transaction_while_people_go_on(accounts: list[int]) -> None:
    is_over = threading.Event()

    def go_on() -> None:
        try:
            for number in range(25):
                transfer(accounts[number % 10], accounts[number * 7 % 10], amount=number)
        finally:
            is_over.set()

    seen = set()
    with ThreadPoolExecutor(1) as pool:
        writer = in_thread(pool, go_on)
        while not is_over.is_set():
            call_synchronize(atomic=True)
            seen.add(cash_that_others_see())
        writer.result()
    call_synchronize(atomic=True)
    seen.add(cash_that_others_see())

    assert seen == {TOGETHER}
    assert_same_rows(Customer)


def test_later_batches_know_the_rows_that_earlier_ones_made(settings: Any) -> None:
    settings.SYNCHRO_BATCH_SIZE = 2
    use_up_key_on_remote(Customer, name="gone")
    customers = [Customer.objects.create(name=f"{number}") for number in range(5)]
    for customer in customers:
        Order.objects.create(customer=customer, note="new")
        customer.cash = 5
        customer.save()
    publisher = Publisher.objects.create(name="Gollancz")
    Book.objects.create(publisher=publisher, title="Sourcery")
    publisher.city = "London"
    publisher.save()
    customers[0].delete()

    report = call_synchronize(atomic=True)

    assert report.batches > 5
    assert (remote_count(Customer), remote_count(Order), remote_count(Publisher)) == (4, 4, 1)
    assert_same_rows()
    with other_side():
        assert call_synchronize().entries == 0


def test_refused_change_leaves_remote_as_it_was(settings: Any) -> None:
    settings.SYNCHRO_BATCH_SIZE = 1
    create_on_remote(Seat, number=7, row="taken")
    Customer.objects.create(name="Vimes")
    Seat.objects.create(number=7, row="mine")

    with pytest.raises(SynchroError, match=r"shop\.Seat"):
        call_synchronize(atomic=True)

    assert remote_count(Customer) == 0
    Seat.objects.update(number=8)
    call_synchronize(atomic=True)
    assert (remote_count(Customer), remote_count(Seat)) == (1, 2)


def test_nothing_to_do_is_nothing_done() -> None:
    assert call_synchronize(atomic=True).batches == 0


def test_command_has_it_too(settings: Any) -> None:
    settings.SYNCHRO_BATCH_SIZE = 2
    for name in "abc":
        Artist.objects.create(name=name)
    for name in "abcd":
        Warehouse.objects.create(name=name)
    Warehouse.objects.get(name="a").delete()

    call_command("synchronize", atomic=True, verbosity=0)

    assert_same_rows()


def test_conflicts_are_decided_and_kept_as_ever(settings: Any) -> None:
    settings.SYNCHRO_BATCH_SIZE = 1
    settings.SYNCHRO_CONFLICT = more_cash
    for name in "ab":
        Customer.objects.create(name=name)
    call_synchronize()
    let_time_pass()
    for name, cash in (("a", 5), ("b", 1)):
        customer = Customer.objects.get(name=name)
        customer.cash = cash
        customer.save()
    with other_side():
        for customer in Customer.objects.all():
            customer.cash = 3
            customer.save()

    report = call_synchronize(atomic=True)

    assert (remote(Customer, name="a").cash, remote(Customer, name="b").cash) == (5, 3)
    assert report.conflicts == Conflict.objects.count() > 0
    assert call_synchronize(atomic=True).entries == 0
    assert_same_rows(Customer)


def test_values_are_merged_in_many_batches_at_once(settings: Any) -> None:
    decide = settings.SYNCHRO_CONFLICT = Mock(side_effect=more_cash)
    for name in "abcdefg":
        Customer.objects.create(name=name)
    call_synchronize()
    let_time_pass()
    settings.SYNCHRO_BATCH_SIZE = 1
    for _side, cash in ((nullcontext(), 5), (other_side(), 3)):
        with _side:
            for customer in Customer.objects.all():
                customer.cash = cash
                customer.save()

    report = call_synchronize(atomic=True)

    assert report.conflicts == decide.call_count == 7
    assert {customer.cash for customer in Customer.objects.using(REMOTE)} == {5}
    assert_same_rows(Customer)


@modest
@given(steps([*OPERATIONS, *ONE_SIDE_ONLY, "synchronize"]))
def test_any_history_arrives_in_one_transaction(history: list[Step]) -> None:
    known = OPERATIONS | ONE_SIDE_ONLY
    with pytest.MonkeyPatch.context() as patch, rolled_back():
        patch.setattr("django.conf.settings.SYNCHRO_BATCH_SIZE", 3, raising=False)
        for name, a, b in history:
            known[name](a, b) if name in known else call_synchronize(atomic=True)
        call_synchronize(atomic=True)

        assert_same_rows()
        assert call_synchronize(atomic=True).entries == 0


@modest
@given(st.lists(st.tuples(st.booleans(), steps([*OPERATIONS, "synchronize"])), max_size=4))
def test_any_histories_of_two_sides_meet_in_one_transaction_each(
    histories: list[tuple[bool, list[Step]]],
) -> None:
    with pytest.MonkeyPatch.context() as patch, rolled_back():
        patch.setattr("django.conf.settings.SYNCHRO_BATCH_SIZE", 3, raising=False)
        for here, history in histories:
            for name, a, b in history:
                if here:
                    OPERATIONS[name](a, b) if name in OPERATIONS else call_synchronize(atomic=True)
                else:
                    with other_side():
                        OPERATIONS[name](a, b) if name in OPERATIONS else call_synchronize(atomic=True)
        for _ in range(6):
            here_done = call_synchronize(atomic=True).entries
            with other_side():
                if not here_done and not call_synchronize(atomic=True).entries:
                    break

        assert_same_rows()


@real_transactions
@pytest.mark.parametrize(("step", "batch"), [*((step, 3) for step in STEPS), ("committed", 2)])
def test_killed_at_any_step_nothing_is_lost_or_doubled(
    accounts: list[int], monkeypatch: pytest.MonkeyPatch, step: str, batch: int
) -> None:
    for number, key in enumerate(accounts[:4]):
        Order.objects.create(customer=Customer.objects.create(name=f"New {number}"))
        transfer(key, accounts[9 - number])
    Customer.objects.get(pk=accounts[5]).delete()
    monkeypatch.setenv("SYNCHRO_TEST_ATOMIC", "1")

    assert processes.forked(driver.happening, "kill", step, str(batch)) == -signal.SIGKILL

    is_there = STEPS.index(step) >= STEPS.index("committed")
    assert remote_count(Customer) == (13 if is_there else 10)

    run_until_free()

    assert_same_rows()
    assert call_synchronize().entries == 0
