"""A node gets another name by a reset: what the other side knew of it goes on under the new one."""

from __future__ import annotations

import pytest

from synchro.core import DisableSynchroLog, call_synchronize, reset_synchro
from synchro.models import Checkpoint, SetAside
from synchro.pending import all_pending
from synchro.status import remotes
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import (
    make_local_a_copy_of_remote,
    other_side,
    remote,
    remote_count,
)
from tests.replay.refusals import aside, place, refusing
from tests.shop.models import Customer

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.mark.usefixtures("quarantine")
def test_quarantine_towards_a_remote_that_was_reset_is_taken_up_again() -> None:
    with refusing(Customer):
        cursed = Customer.objects.create(name="cursed")
        assert call_synchronize().aside == 1
    with other_side():
        reset_synchro()

    assert call_synchronize().aside == 1
    assert aside() == place(cursed)
    assert call_synchronize(retry=True).aside == 0

    assert remote(Customer).name == "cursed"
    assert not SetAside.objects.filter(is_over=False).exists()
    assert [(one.aside, one.pending) for one in remotes()] == [(0, 0)]
    assert not any(all_pending())


@pytest.mark.usefixtures("quarantine")
def test_quarantine_survives_that_both_sides_are_reset_and_that_a_change_follows() -> None:
    with refusing(Customer):
        cursed = Customer.objects.create(name="cursed")
        call_synchronize()
        for _ in range(2):
            with other_side():
                reset_synchro()
            call_synchronize()
        Customer.objects.create(name="Vimes")
        assert call_synchronize().aside == 1
    cursed.name = "lifted"
    cursed.save()

    assert call_synchronize().aside == 0
    assert {one.name for one in Customer.objects.using("remote")} == {"lifted", "Vimes"}


def test_position_towards_the_former_name_holds_back_no_entries() -> None:
    Customer.objects.create(name="Vimes")
    call_synchronize()
    with other_side():
        reset_synchro()
    Customer.objects.create(name="Carrot")

    call_synchronize()

    assert Checkpoint.objects.count() == 1


def test_rows_of_a_copy_keep_their_keys_when_the_original_is_reset() -> None:
    with DisableSynchroLog():
        for name in ("Vimes", "Carrot"):
            Customer.objects.create(name=name)
    make_local_a_copy_of_remote(Customer)
    reset_synchro()
    call_synchronize()
    with other_side():
        reset_synchro()

    customer = Customer.objects.get(name="Carrot")
    customer.cash = 5
    customer.save()
    call_synchronize()

    assert remote_count(Customer) == 2
    assert remote(Customer, pk=customer.pk).cash == 5
    assert_same_rows()


def test_rows_of_a_copy_that_is_reset_once_more_keep_their_keys() -> None:
    with DisableSynchroLog():
        for name in ("Vimes", "Carrot"):
            Customer.objects.create(name=name)
    make_local_a_copy_of_remote(Customer)
    reset_synchro()
    call_synchronize()
    reset_synchro()

    customer = Customer.objects.get(name="Carrot")
    customer.cash = 5
    customer.save()
    call_synchronize()

    assert remote_count(Customer) == 2
    with other_side():
        there = Customer.objects.get(name="Vimes")
        there.cash = 7
        there.save()
        call_synchronize()
    assert Customer.objects.count() == 2
    assert_same_rows()
