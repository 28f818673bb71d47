"""Rows that are added, changed and deleted, each known only by its automatic key."""

from __future__ import annotations

import pytest
from django.db import connections
from django.db.models.signals import post_delete, post_save, pre_save

from synchro.core import call_synchronize, reset_synchro
from synchro.models import ChangeLog, Reference
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import REMOTE, create_on_remote, remote, remote_count, unlogged
from tests.shop.models import Customer

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


def test_added_row_arrives() -> None:
    Customer.objects.create(name="Vimes", cash=7)

    call_synchronize()

    assert remote(Customer).name == "Vimes"
    assert_same_rows()


def test_first_run_needs_no_reset_before() -> None:
    Customer.objects.create(name="Vimes")

    report = call_synchronize()

    assert report.entries == 1
    assert remote_count(Customer) == 1


def test_changed_row_is_changed() -> None:
    customer = Customer.objects.create(name="Vimes", cash=7)
    call_synchronize()
    key = remote(Customer).pk

    customer.cash = 8
    customer.save()
    call_synchronize()

    assert remote(Customer, pk=key).cash == 8
    assert_same_rows()


def test_change_of_named_fields_only_arrives() -> None:
    customer = Customer.objects.create(name="Vimes", cash=7)
    call_synchronize()

    customer.cash = 8
    customer.save(update_fields=["cash"])
    call_synchronize()

    assert_same_rows()


def test_deleted_row_is_deleted() -> None:
    Customer.objects.create(name="Colon")
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()

    customer.delete()
    call_synchronize()

    assert remote(Customer).name == "Colon"
    assert_same_rows()


def test_all_rows_of_a_deleted_queryset_are_deleted() -> None:
    for number in range(20):
        Customer.objects.create(name=f"Watchman {number}", cash=number)
    call_synchronize()

    Customer.objects.filter(cash__lt=15).delete()
    call_synchronize()

    assert remote_count(Customer) == 5
    assert_same_rows()


def test_many_rows_at_once_arrive_in_the_order_of_their_keys() -> None:
    for number in range(300):
        Customer.objects.create(name=f"Watchman {number}")

    call_synchronize()

    names = Customer.objects.using(REMOTE).order_by("pk").values_list("name", flat=True)
    assert list(names) == [f"Watchman {number}" for number in range(300)]


def test_many_changes_of_one_row_are_one_change() -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    for cash in range(1, 11):
        customer.cash = cash
        customer.save()

    report = call_synchronize()

    (model,) = report.models
    assert (report.entries, model.changed) == (10, 1)
    assert_same_rows()


def test_automatic_key_of_remote_is_not_overwritten() -> None:
    """A row of REMOTE that happens to have the same key is another row."""
    own = create_on_remote(Customer, name="Rust")
    Customer.objects.create(pk=own.pk, name="Vimes")

    call_synchronize()

    assert remote(Customer, pk=own.pk).name == "Rust"
    assert remote_count(Customer) == 2


def test_row_stays_tied_to_the_one_that_it_became() -> None:
    own = create_on_remote(Customer, name="Rust")
    customer = Customer.objects.create(pk=own.pk, name="Vimes")
    call_synchronize()
    key = remote(Customer, name="Vimes").pk

    customer.name = "Sir Samuel"
    customer.save()
    call_synchronize()

    assert key != own.pk
    assert remote(Customer, pk=key).name == "Sir Samuel"
    assert remote_count(Customer) == 2


def test_running_again_and_again_doubles_nothing() -> None:
    for number in range(10):
        Customer.objects.create(name=f"Watchman {number}")

    reports = [call_synchronize() for _ in range(4)]

    assert [report.entries for report in reports] == [10, 0, 0, 0]
    assert remote_count(Customer) == 10
    assert_same_rows()


@pytest.mark.usefixtures("all_receivers")
def test_row_added_and_deleted_within_one_run_touches_nothing_on_remote() -> None:
    customer = Customer.objects.create(name="Vimes")
    customer.delete()

    with _no_action_on(Customer, pre_save, post_save, post_delete):
        report = call_synchronize()

    assert report.entries == 2
    assert remote_count(Customer) == 0


@pytest.mark.usefixtures("all_receivers")
def test_row_changed_and_deleted_within_one_run_is_only_deleted() -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    customer.name = "Sir Samuel"
    customer.save()
    customer.delete()

    with _no_action_on(Customer, pre_save, post_save):
        call_synchronize()

    assert remote_count(Customer) == 0


def test_row_that_takes_the_key_of_a_deleted_one_is_another_row() -> None:
    first = Customer.objects.create(name="Vimes")
    key = first.pk
    call_synchronize()

    first.delete()
    Customer.objects.create(pk=key, name="Carrot")
    call_synchronize()

    assert remote(Customer).name == "Carrot"
    assert_same_rows()


def test_row_added_deleted_and_added_again_before_the_first_run_arrives_once() -> None:
    first = Customer.objects.create(name="Vimes")
    key = first.pk
    first.delete()
    second = Customer.objects.create(pk=key, name="Carrot")
    second.cash = 3
    second.save()

    call_synchronize()

    assert remote(Customer).cash == 3
    assert_same_rows()


def test_row_of_remote_that_was_never_exchanged_is_not_deleted() -> None:
    """The same automatic key does not make it the same row."""
    own = create_on_remote(Customer, name="Rust")
    customer = Customer.objects.create(pk=own.pk, name="Vimes")
    reset_synchro()

    customer.delete()
    call_synchronize()

    assert remote(Customer).name == "Rust"


def test_row_that_was_deleted_on_remote_by_hand_comes_back_when_changed() -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    with unlogged(REMOTE), connections[REMOTE].cursor() as cursor:
        cursor.execute("DELETE FROM shop_customer")

    customer.cash = 9
    customer.save()
    call_synchronize()

    assert remote(Customer).cash == 9
    assert_same_rows()


def test_deletion_of_a_row_that_remote_has_lost_is_no_failure() -> None:
    customer = Customer.objects.create(name="Vimes")
    Customer.objects.create(name="Carrot")
    call_synchronize()
    with unlogged(REMOTE), connections[REMOTE].cursor() as cursor:
        cursor.execute("DELETE FROM shop_customer WHERE name = 'Vimes'")

    customer.delete()
    call_synchronize()

    assert remote(Customer).name == "Carrot"
    assert_same_rows()


def test_row_deleted_behind_the_log_blocks_nothing_that_comes_after() -> None:
    """Its entry names a row that is gone."""
    Customer.objects.create(name="Vimes")
    with connections["default"].cursor() as cursor:
        cursor.execute("DELETE FROM shop_customer")
    Customer.objects.create(name="Carrot")

    call_synchronize()

    assert remote(Customer).name == "Carrot"
    assert_same_rows()


def test_references_of_deleted_rows_go_with_them() -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    before = Reference.objects.count()

    customer.delete()
    call_synchronize()

    assert before == 1
    assert Reference.objects.count() == 0
    assert Reference.objects.using(REMOTE).count() == 0


def test_what_was_replayed_is_not_captured_as_a_change_of_remotes_own() -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    customer.cash = 5
    customer.save()
    call_synchronize()
    customer.delete()
    call_synchronize()

    assert ChangeLog.objects.using(REMOTE).count() == 0


def _no_action_on(model: type[Customer], *signals: object) -> _Silence:
    return _Silence(model, signals)


class _Silence:
    """Inside, each of the signals that is sent for REMOTE's objects of `model` is a failure."""

    def __init__(self, model: type[Customer], signals: tuple[object, ...]) -> None:
        self.model = model
        self.signals = signals
        self.seen: list[object] = []

    def _receive(self, sender: object, using: str, **kwargs: object) -> None:
        if using == REMOTE:
            self.seen.append(kwargs["signal"])

    def __enter__(self) -> _Silence:
        for signal in self.signals:
            signal.connect(self._receive, sender=self.model)  # type: ignore[attr-defined]
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        for signal in self.signals:
            signal.disconnect(self._receive, sender=self.model)  # type: ignore[attr-defined]
        assert self.seen == []
