"""``options.last_check``: the time that people see, and may set."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from synchro.core import call_synchronize, reset_synchro
from synchro.models import ChangeLog, options
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import REMOTE, let_time_pass, remote, remote_count, unlogged
from tests.shop.models import Customer

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


def forget_on_remote() -> None:
    """REMOTE loses its rows by a hand that nobody logged."""
    with unlogged(REMOTE), connections[REMOTE].cursor() as cursor:
        cursor.execute("DELETE FROM shop_customer")


def test_run_moves_the_checkpoint_to_its_own_time() -> None:
    Customer.objects.create(name="Vimes")
    before = timezone.now()

    call_synchronize()

    assert options.last_check is not None
    assert before <= options.last_check <= timezone.now()


def test_checkpoint_keeps_its_microseconds() -> None:
    moment = timezone.now().replace(microsecond=123_456)

    options.last_check = moment

    assert options.last_check == moment


def test_what_was_logged_after_a_checkpoint_that_was_set_back_is_replayed_again() -> None:
    Customer.objects.create(name="Vimes")
    let_time_pass(3600)
    Customer.objects.create(name="Carrot")
    call_synchronize()
    forget_on_remote()

    options.last_check = timezone.now() - timedelta(minutes=30)
    call_synchronize()

    assert remote(Customer).name == "Carrot"


def test_replaying_again_doubles_nothing() -> None:
    for number in range(10):
        Customer.objects.create(name=f"Watchman {number}")
    call_synchronize()

    options.last_check = timezone.now() - timedelta(hours=1)
    report = call_synchronize()

    assert report.entries == 10
    assert remote_count(Customer) == 10
    assert_same_rows()
    assert call_synchronize().entries == 0


def test_what_was_logged_before_a_checkpoint_that_was_set_forward_is_forgotten() -> None:
    Customer.objects.create(name="Vimes")
    let_time_pass()

    options.last_check = timezone.now()
    Customer.objects.create(name="Carrot")
    call_synchronize()

    assert remote(Customer).name == "Carrot"


def test_what_a_checkpoint_that_was_set_forward_forgets_is_said_with_numbers(caplog: Any) -> None:
    Customer.objects.create(name="Vimes")
    call_synchronize()
    for name in ("Carrot", "Nobby"):
        Customer.objects.create(name=name)
    let_time_pass()

    options.last_check = timezone.now()

    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "the database remote" in record.message
    assert "2 entries that were pending, 0 changes in quarantine" in record.message


def test_nothing_is_said_where_nothing_is_forgotten(caplog: Any) -> None:
    Customer.objects.create(name="Vimes")
    call_synchronize()

    options.last_check = timezone.now() - timedelta(hours=1)

    assert not caplog.records


def test_checkpoint_that_is_set_to_where_it_was_changes_nothing() -> None:
    Customer.objects.create(name="Vimes")
    call_synchronize()

    options.last_check = options.last_check
    report = call_synchronize()

    assert report.entries == 0


def test_entry_older_than_the_checkpoint_is_replayed_all_the_same() -> None:
    """A transaction that was open for long; the time of its entry decides nothing."""
    Customer.objects.create(name="Vimes")
    call_synchronize()
    Customer.objects.create(name="Carrot")
    let_time_pass(3600)

    call_synchronize()

    assert_same_rows()
    assert remote_count(Customer) == 2


def test_entry_that_was_deleted_by_hand_is_not_missed() -> None:
    Customer.objects.create(name="Vimes")
    ChangeLog.objects.all().delete()
    Customer.objects.create(name="Carrot")

    call_synchronize()

    assert remote(Customer).name == "Carrot"


def test_emptied_log_whose_ids_begin_again_loses_nothing() -> None:
    """By the next run its ids have come to those of before, and beyond."""
    for name in ("Vimes", "Carrot", "Nobby"):
        Customer.objects.create(name=name)
    call_synchronize()
    last = ChangeLog.objects.latest("pk").pk
    ChangeLog.objects.all().delete()
    for number in range(5):
        Customer.objects.create(name=f"New {number}")
    for number, entry in enumerate(ChangeLog.objects.order_by("pk")):
        ChangeLog.objects.filter(pk=entry.pk).update(id=last - 2 + number)

    assert call_synchronize().entries == 5
    assert_same_rows()
    assert call_synchronize().entries == 0


def test_emptied_log_is_known_by_the_time_of_an_entry_about_the_same_object() -> None:
    customer = Customer.objects.create(name="Vimes", cash=1)
    customer.cash = 2
    customer.save()
    call_synchronize()
    last = ChangeLog.objects.latest("pk").pk
    ChangeLog.objects.all().delete()
    Customer.objects.create(name="Carrot")
    customer.cash = 3
    customer.save()
    for number, entry in enumerate(ChangeLog.objects.order_by("pk")):
        ChangeLog.objects.filter(pk=entry.pk).update(id=last - 1 + number)

    assert call_synchronize().entries == 2
    assert_same_rows()


def test_reset_forgets_what_was_logged() -> None:
    Customer.objects.create(name="Vimes")

    reset_synchro()
    report = call_synchronize()

    assert report.entries == 0
    assert not ChangeLog.objects.exists()
    assert remote_count(Customer) == 0


def test_reset_keeps_rows_tied_to_what_they_became() -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    key = remote(Customer).pk

    reset_synchro(is_copy=True)
    customer.name = "Sir Samuel"
    customer.save()
    call_synchronize()

    assert remote(Customer).name == "Sir Samuel"
    assert remote(Customer).pk == key
