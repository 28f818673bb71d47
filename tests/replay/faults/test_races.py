"""What two processes do at the same moment, at the worst moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connections, transaction
from django.test import override_settings

from synchro.core import call_synchronize, reset_synchro
from synchro.exceptions import Busy, NotReady, UnknownState
from synchro.models import Batch, ChangeLog, Checkpoint, Conflict, Node, Receipt
from synchro.replay.log import batches
from synchro.replay.signals import step as step_signal
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import REMOTE, let_time_pass, other_side, remote, remote_count, unlogged
from tests.replay.histories.harness import object_by_object
from tests.replay.refusals import refusing
from tests.replay.writers import in_thread
from tests.shop.models import Country, Customer, Order, Ticket

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "remote"])


@contextmanager
def at_step(wanted: str, do: Callable[[], object], times: int = 1) -> Iterator[list[str]]:
    """Inside, `do` is called when a run comes to the step `wanted`."""
    seen: list[str] = []

    def happen(step: str, **kwargs: Any) -> None:
        if step == wanted and len(seen) < times:
            seen.append(step)
            do()

    step_signal.connect(happen)
    try:
        yield seen
    finally:
        step_signal.disconnect(happen)


def elsewhere(do: Callable[..., Any], *arguments: object) -> None:
    """Another process does it, by connections of its own, and has done when this returns."""
    with ThreadPoolExecutor(1) as pool:
        in_thread(pool, do, *arguments).result(60)


# -- batches ----------------------------------------------------------------------------------------------------


def test_batch_that_was_formed_for_another_remote_meanwhile_is_not_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Customer.objects.create(name="Vimes")
    call_synchronize()
    done = Batch.objects.latest("number").number
    Customer.objects.create(name="Carrot")
    lock = batches.locked_node

    @contextmanager
    def lock_late() -> Iterator[Node]:
        monkeypatch.setattr(batches, "locked_node", lock)
        elsewhere(batches.next_batch, done)
        Customer.objects.create(name="Angua")
        with lock() as node:
            yield node

    monkeypatch.setattr(batches, "locked_node", lock_late)

    call_synchronize()
    call_synchronize()

    assert_same_rows()


def test_run_ends_though_entries_come_all_the_time() -> None:
    Customer.objects.create(name="first")

    with at_step("committed", lambda: Customer.objects.create(name="another"), times=20) as seen:
        call_synchronize()

    assert len(seen) < 20
    call_synchronize()
    assert_same_rows()


def test_batch_that_was_pruned_before_a_new_remote_had_it_stops_the_run() -> None:
    """Pruning began before the new REMOTE was known."""
    for name in ("Vimes", "Carrot"):
        Customer.objects.create(name=name)
        batches.next_batch(Node.objects.get().batch if Node.objects.exists() else 0)

    def prune() -> None:
        with transaction.atomic():
            batch = Batch.objects.earliest("number")
            ChangeLog.objects.filter(pk__lte=int(batch.ranges)).delete()
            Node.objects.update(pruned=batch.number)
            batch.delete()

    with at_step("formed", prune), pytest.raises(UnknownState, match="pruned"):
        call_synchronize()

    assert not Customer.objects.using(REMOTE).exists()
    assert not Receipt.objects.using(REMOTE).filter(batch__gt=0).exists()


def test_other_run_that_took_the_batch_is_noticed() -> None:
    """The lock was lost with its connection, and another run has begun."""
    Customer.objects.create(name="Vimes")
    call_synchronize()
    Customer.objects.create(name="Carrot")

    def take() -> None:
        Receipt.objects.using(REMOTE).update(batch=Batch.objects.latest("number").number)

    with at_step("read", take), pytest.raises(UnknownState, match="Another run"):
        call_synchronize()


def test_remote_that_went_back_in_the_middle_of_a_run_stops_it() -> None:
    for name in ("Vimes", "Carrot"):
        Customer.objects.create(name=name)
        call_synchronize()
    Customer.objects.create(name="Angua")

    with (
        at_step("read", lambda: Receipt.objects.using(REMOTE).update(batch=1)),
        pytest.raises(UnknownState),
    ):
        call_synchronize()


def test_local_that_was_restored_and_has_numbered_its_batches_anew_stops_the_run() -> None:
    """For another REMOTE, say: a batch of the same number that holds other entries."""
    for name in ("Vimes", "Carrot"):
        Customer.objects.create(name=name)
        call_synchronize()
    Node.objects.update(batch=1)
    Checkpoint.objects.update(batch=1)
    Batch.objects.filter(number__gt=1).delete()
    Receipt.objects.using(REMOTE).update(date=Batch.objects.get().formed - timedelta(hours=1))
    Customer.objects.create(name="Angua")
    batches.next_batch(1)

    with pytest.raises(UnknownState, match="restored"):
        call_synchronize()


# -- transactions around a run ----------------------------------------------------------------------------------


@pytest.mark.parametrize("alias", ["default", REMOTE])
def test_run_inside_a_transaction_is_refused(alias: str) -> None:
    """Its rollback would take back what the other database was told."""
    Customer.objects.create(name="Vimes")

    with transaction.atomic(using=alias), pytest.raises(NotReady, match="transaction"):
        call_synchronize()

    assert remote_count(Customer) == 0
    call_synchronize()
    assert_same_rows()


# -- both ways at once ------------------------------------------------------------------------------------------


def run_the_other_way(prunes: bool = False) -> None:
    """Run REMOTE towards LOCAL; with `prunes`, REMOTE's log keeps nothing of what LOCAL has by then."""
    with other_side():
        if prunes:
            Country.objects.create(code="zz")  # the newest entry stays
        call_synchronize()
        if prunes:
            with override_settings(SYNCHRO_RETENTION=timedelta(0)):
                call_synchronize()


@pytest.mark.parametrize("way", ["in groups", "object by object"])
@pytest.mark.parametrize("prunes", [False, True])
def test_run_the_other_way_between_reading_and_writing_does_not_undo_the_newer_change(
    prunes: bool, way: str
) -> None:
    customer = Customer.objects.create(name="Vimes", cash=1)
    call_synchronize()
    with other_side():
        call_synchronize()
    let_time_pass(20)
    customer.cash = 2
    customer.save()
    let_time_pass(10)
    with other_side():
        there = Customer.objects.get()
        there.cash = 3
        there.save()

    listening = object_by_object() if way == "object by object" else nullcontext()
    with listening, at_step("read", lambda: run_the_other_way(prunes)):
        call_synchronize()

    customer.refresh_from_db()
    assert (customer.cash, remote(Customer).cash) == (3, 3)


def test_run_ends_in_words_where_remote_sends_and_prunes_again_and_again() -> None:
    customer = Customer.objects.create(name="Vimes", cash=1)
    call_synchronize()
    customer.cash = 2
    customer.save()
    numbers, is_inside = count(), False

    def send_and_prune() -> None:
        nonlocal is_inside
        if is_inside:  # a step of the run the other way
            return
        is_inside = True
        with other_side():
            Country.objects.create(code=f"{next(numbers)}")
            call_synchronize()
            Country.objects.create(code=f"{next(numbers)}")
        run_the_other_way()
        with override_settings(SYNCHRO_RETENTION=timedelta(0)):
            run_the_other_way()
        is_inside = False

    hook = at_step("read", send_and_prune, times=100)
    with object_by_object(), hook, pytest.raises(NotReady, match="again and again"):
        call_synchronize()
    assert remote(Customer).cash == 1

    call_synchronize()
    assert remote(Customer).cash == 2


@pytest.mark.parametrize("prunes", [False, True])
@pytest.mark.usefixtures("all_receivers")
def test_run_the_other_way_that_deletes_a_row_between_reading_and_writing_leaves_none_behind(
    prunes: bool,
) -> None:
    """It takes the reference along; without that, the row that was read looks like a new one."""
    ticket = Ticket.objects.create(title="to the opera")
    call_synchronize()
    let_time_pass(20)
    ticket.title = "to the theatre"
    ticket.save()
    let_time_pass(10)

    def delete_there() -> None:
        with other_side():
            Ticket.objects.get().delete()
        run_the_other_way(prunes)

    with at_step("read", delete_there):
        call_synchronize()

    assert (Ticket.objects.count(), remote_count(Ticket)) == (0, 0)


@pytest.mark.parametrize("later", [True, False])
@pytest.mark.parametrize("first_here", [True, False])
@pytest.mark.parametrize(
    ("moment", "prunes"), [("formed", False), ("read", False), ("read", True), ("committed", False)]
)
def test_object_that_one_run_deletes_and_the_other_takes_along_for_a_row_ends_alike(
    moment: str, prunes: bool, first_here: bool, later: bool
) -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    let_time_pass(60)

    def order_there() -> None:
        with other_side():
            Order.objects.create(customer=Customer.objects.get())
        let_time_pass()

    def delete_here() -> None:
        customer.delete()
        let_time_pass()

    for do in (delete_here, order_there) if later else (order_there, delete_here):
        do()
    inner, outer = (
        other_side() if first_here else nullcontext(),
        nullcontext() if first_here else other_side(),
    )

    with outer, at_step(moment, lambda: run_the_other_way(prunes)):
        call_synchronize()
    with inner:
        call_synchronize()
    for side in (nullcontext, other_side, nullcontext):
        with side():
            call_synchronize()

    assert (Customer.objects.count(), remote_count(Customer)) == (later, later)
    assert (Order.objects.count(), remote_count(Order)) == (later, later)
    assert_same_rows()
    assert Conflict.objects.exists() or Conflict.objects.using(REMOTE).exists()


# -- REMOTE's own writers ---------------------------------------------------------------------------------------


def test_row_that_remote_adds_under_the_same_key_meanwhile_is_weighed_not_overwritten() -> None:
    if connections[REMOTE].vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    Country.objects.create(code="PL", name="older")
    let_time_pass()

    with at_step("identified", lambda: elsewhere(add_on_remote)):
        call_synchronize()

    assert remote(Country).name == "newer"


def add_on_remote() -> None:
    with transaction.atomic(using=REMOTE), unlogged(REMOTE):
        Country.objects.using(REMOTE).create(code="PL", name="newer")
        log_on_remote(Country, "PL", 1)


def log_on_remote(model: Any, key: str, action: int) -> None:
    kind = ContentType.objects.db_manager(REMOTE).get_for_model(model)
    ChangeLog.objects.using(REMOTE).create(content_type_id=kind.pk, object_id=key, action=action)


def test_parent_that_remote_deletes_meanwhile_is_made_again() -> None:
    if connections[REMOTE].vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    Order.objects.create(customer=customer)

    with at_step("resolved", lambda: elsewhere(delete_on_remote)):
        call_synchronize()

    assert_same_rows()


def delete_on_remote() -> None:
    with transaction.atomic(using=REMOTE), unlogged(REMOTE), connections[REMOTE].cursor() as cursor:
        cursor.execute("DELETE FROM shop_customer")


# -- a deletion cut from a change -------------------------------------------------------------------------------


def test_deletion_in_a_later_batch_than_a_change_that_lost_is_not_forgotten(settings: Any) -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    let_time_pass(30)
    customer.cash = 2
    customer.save()
    let_time_pass(10)
    with other_side():
        there = Customer.objects.get()
        there.cash = 3
        there.save()
    let_time_pass(10)
    customer.delete()
    settings.SYNCHRO_BATCH_SIZE = 1

    call_synchronize()

    assert remote_count(Customer) == 0


def test_reset_during_a_run_is_refused() -> None:
    """The run would go on under the former name, and what it brings would be unknown on the way back."""
    call_synchronize()
    Customer.objects.create(name="Vimes")
    node = Node.objects.get().uuid
    refused: list[Busy] = []

    def reset() -> None:
        try:
            reset_synchro()
        except Busy as error:
            refused.append(error)

    with at_step("committed", lambda: elsewhere(reset)):
        call_synchronize()

    assert refused
    assert Node.objects.get().uuid == node


def test_newer_change_that_leaves_quarantine_while_rows_are_read_is_not_overwritten(settings: Any) -> None:
    """LOCAL receives it after its row was read, so the older change must still be compared. (tests/protocol)"""
    settings.SYNCHRO_ON_ERROR = "quarantine"
    Country.objects.create(code="AM", name="Ankh")
    call_synchronize()
    let_time_pass()
    Country.objects.filter(code="AM").get().save()
    let_time_pass()
    with other_side(), refusing(Country):
        country = Country.objects.get(code="AM")
        country.name = "cursed"
        country.save()
        assert call_synchronize().aside == 1

    def take_up_again() -> None:
        with other_side():
            assert call_synchronize(retry=True).aside == 0

    with at_step("read", take_up_again) as seen:
        call_synchronize()

    assert seen
    assert remote(Country, code="AM").name == "cursed"
    assert_same_rows(Country)
