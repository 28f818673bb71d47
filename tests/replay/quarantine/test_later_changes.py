"""What becomes of a change that is set aside, and of later ones, until it arrives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from django.db.models.signals import pre_delete

from synchro.core import call_synchronize
from synchro.exceptions import Refused
from synchro.models import Batch, ChangeLog, Conflict, SetAside, options
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import create_on_remote, let_time_pass, other_side, remote, remote_count
from tests.replay.histories.harness import object_by_object
from tests.replay.log.test_pruning import let_days_pass
from tests.replay.refusals import aside, place, refusing
from tests.shop.models import (
    Customer,
    Order,
    Seat,
)

pytestmark = [
    pytest.mark.django_db(databases=["default", "remote"]),
    pytest.mark.usefixtures("quarantine"),
]


def test_object_that_was_never_there_and_is_deleted_is_set_aside_no_more() -> None:
    with refusing(Customer):
        cursed = Customer.objects.create(name="cursed")
        Order.objects.create(customer=cursed)
        call_synchronize()
        cursed.delete()

        assert call_synchronize().aside == 0
    assert (remote_count(Customer), remote_count(Order)) == (0, 0)


def test_newer_change_on_remote_is_not_overwritten_at_the_retry() -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    with refusing(Customer):
        customer.name = "cursed"
        customer.save()
        call_synchronize()
    let_time_pass(100)
    with other_side():
        there = Customer.objects.get()
        there.name = "newer"
        there.save()

    assert call_synchronize(retry=True).aside == 0

    assert remote(Customer).name == "newer"
    with other_side():
        call_synchronize()
    assert_same_rows()


def test_change_that_the_other_side_refused_is_not_overwritten_there_by_an_older_one() -> None:
    """It has been received, and yet it has not arrived."""
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    customer.name = "older"
    customer.save()
    let_time_pass(100)
    with refusing(Customer), other_side():
        there = Customer.objects.get()
        there.name = "cursed"
        there.save()
        assert call_synchronize().aside == 1

    call_synchronize()

    assert (remote(Customer).name, Customer.objects.get().name) == ("cursed", "older")
    with other_side():
        assert call_synchronize(retry=True).aside == 0
    assert Customer.objects.get().name == "cursed"


@pytest.fixture(params=["in bulk", "object by object"])
def _way(request: Any) -> Iterator[None]:
    """How rows get to REMOTE where nobody listens, and where somebody does."""
    with nullcontext() if request.param == "in bulk" else object_by_object():
        yield


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("is_pruned", [False, True])
@pytest.mark.parametrize(("policy", "name"), [("newer", "later"), ("local", "later"), ("remote", "cursed")])
def test_change_that_the_other_side_refused_long_ago_is_a_conflict_on_record(
    settings: Any, policy: str, name: str, is_pruned: bool
) -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    with refusing(Customer), other_side():
        there = Customer.objects.get()
        there.name = "cursed"
        there.save()
        let_time_pass(86_400)
        Seat.objects.create(number=1)
        assert call_synchronize().aside == 1
        if is_pruned:
            ChangeLog.objects.exclude(pk=ChangeLog.objects.latest("pk").pk).delete()
    customer.name = "later"
    customer.save()

    settings.SYNCHRO_CONFLICT = policy
    call_synchronize()

    assert remote(Customer).name == name
    conflict = Conflict.objects.get()
    assert conflict.decision == ("remote" if policy == "remote" else "local")
    assert '"name": "cursed"' in (conflict.remote_values or "")


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize(("policy", "count"), [("newer", 1), ("remote", 0)])
def test_deletion_that_the_other_side_refused_long_ago_is_a_conflict_on_record(
    settings: Any, policy: str, count: int
) -> None:
    customer = Customer.objects.create(name="cursed")
    call_synchronize()
    with refusing(Customer, signal=pre_delete), other_side():
        Customer.objects.filter(name="cursed").get().delete()
        let_time_pass(86_400)
        Seat.objects.create(number=1)
        assert call_synchronize().aside == 1
    customer.cash = 5
    customer.save()

    settings.SYNCHRO_CONFLICT = policy
    call_synchronize()

    assert remote_count(Customer) == count
    assert Conflict.objects.get().remote_values is None


def test_older_change_on_remote_is_overwritten_at_the_retry() -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    let_time_pass(100)
    with other_side():
        there = Customer.objects.get()
        there.name = "older"
        there.save()
    let_time_pass(100)
    with refusing(Customer):
        customer.name = "cursed"
        customer.save()
        call_synchronize()

    call_synchronize(retry=True)

    assert remote(Customer).name == "cursed"


def test_entries_are_pruned_and_nothing_that_is_set_aside_is_lost() -> None:
    obstacle = create_on_remote(Seat, number=7)
    Seat.objects.create(number=7)
    call_synchronize()
    let_days_pass(100)
    Customer.objects.create(name="Vimes")
    call_synchronize()
    assert Batch.objects.count() == 1
    obstacle.delete()

    call_synchronize(retry=True)

    assert_same_rows()


def test_reset_forgets_what_is_set_aside() -> None:
    from synchro.core import reset_synchro

    create_on_remote(Seat, number=7)
    Seat.objects.create(number=7)
    call_synchronize()

    reset_synchro(is_copy=True)

    assert aside() == set()


def test_checkpoint_set_forward_forgets_what_is_older() -> None:
    create_on_remote(Seat, number=7)
    Seat.objects.create(number=7)
    call_synchronize()
    let_time_pass(1)
    last = ChangeLog.objects.latest("id").date
    SetAside.objects.update(changed=last)

    options.last_check = last

    assert aside() == set()


def test_with_stop_again_what_is_set_aside_is_taken_up_with_the_next_batch(settings: Any) -> None:
    obstacle = create_on_remote(Seat, number=7)
    Seat.objects.create(number=7)
    call_synchronize()
    settings.SYNCHRO_ON_ERROR = "stop"
    Customer.objects.create(name="Vimes")

    with pytest.raises(Refused, match=r"shop\.Seat"):
        call_synchronize()
    with pytest.raises(Refused, match=r"shop\.Seat"):
        call_synchronize(retry=True)
    obstacle.delete()
    report = call_synchronize()

    assert report.aside == 0
    assert_same_rows()


def test_run_in_one_transaction_sets_aside_too(settings: Any) -> None:
    settings.SYNCHRO_BATCH_SIZE = 3
    with refusing(Customer):
        cursed = Customer.objects.create(name="cursed")
        Order.objects.create(customer=cursed)
        for number in range(4):
            Order.objects.create(customer=Customer.objects.create(name=f"{number}"))
        waiting = Order.objects.create(customer=cursed)
        report = call_synchronize(atomic=True)

        assert (report.aside, len(aside())) == (3, 3)
        assert place(cursed, waiting) < aside()
        assert (remote_count(Customer), remote_count(Order)) == (4, 4)
    assert call_synchronize(atomic=True, retry=True).aside == 0
    assert not SetAside.objects.exists()
    assert_same_rows()


def test_retry_in_parts_of_a_batch_brings_parents_first(settings: Any) -> None:
    with refusing(Customer):
        for _ in range(4):
            Order.objects.create(customer=Customer.objects.create(name="cursed"))
        call_synchronize()
    settings.SYNCHRO_BATCH_SIZE = 3

    assert call_synchronize(retry=True).aside == 0

    assert_same_rows()
