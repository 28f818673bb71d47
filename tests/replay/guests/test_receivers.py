"""Who listens to a model's signals, and what a model's own methods do, goes for REMOTE's objects too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db.models import F
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save
from django.dispatch import Signal

from synchro.core import call_synchronize, disable_synchro_log
from synchro.exceptions import SynchroError
from synchro.models import ChangeLog
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import BY_TRIGGERS, REMOTE, let_time_pass, other_side, remote, remote_count
from tests.shop.models import (
    Article,
    Country,
    Customer,
    Delivery,
    Invoice,
    Order,
    Parcel,
    Pizzeria,
    Place,
    Profile,
    Seat,
    Ticket,
)

pytestmark = [
    pytest.mark.django_db(databases=["default", "remote"]),
    pytest.mark.usefixtures("all_receivers"),
]


@contextmanager
def listening(receiver: Callable[..., Any], signal: Signal, sender: type) -> Iterator[None]:
    signal.connect(receiver, sender=sender)
    try:
        yield
    finally:
        signal.disconnect(receiver, sender=sender)


@pytest.mark.parametrize("signal", [pre_save, post_save, pre_delete, post_delete])
def test_receiver_is_called_for_each_object_of_remote(signal: Signal) -> None:
    heard: list[tuple[str, int, str, str]] = []

    def hear(sender: type, instance: Delivery, using: str, **kwargs: Any) -> None:
        if using == REMOTE:
            heard.append((sender.__name__, instance.pk, instance.place, str(instance._state.db)))

    first = Delivery.objects.create(place="Ankh")
    second = Delivery.objects.create(place="Morpork")
    if signal in (pre_delete, post_delete):
        call_synchronize()
        keys = {found.place: found.pk for found in Delivery.objects.using(REMOTE)}
        first.delete()
        second.delete()
    with listening(hear, signal, Delivery):
        call_synchronize()
    if signal in (pre_save, post_save):
        keys = {found.place: found.pk for found in Delivery.objects.using(REMOTE)}

    assert sorted(place for _, _, place, _ in heard) == ["Ankh", "Morpork"]
    assert {alias for *_, alias in heard} <= ({REMOTE, "None"} if signal is pre_save else {REMOTE})
    if signal is not pre_save:
        assert {place: key for _, key, place, _ in heard} == keys


def test_receiver_is_told_whether_the_object_is_new() -> None:
    heard: list[bool] = []

    def hear(sender: type, created: bool, using: str, **kwargs: Any) -> None:
        if using == REMOTE:
            heard.append(created)

    delivery = Delivery.objects.create(place="Ankh")
    with listening(hear, post_save, Delivery):
        call_synchronize()
        delivery.place = "Morpork"
        delivery.save()
        call_synchronize()

    assert heard == [True, False]


def test_receiver_sees_remotes_keys_in_references() -> None:
    heard: list[str] = []

    def hear(sender: type, instance: Delivery, using: str, **kwargs: Any) -> None:
        if using == REMOTE and instance.customer is not None:
            heard.append(f"{instance.customer.name} of {instance.customer._state.db}")

    Customer.objects.using(REMOTE).create(name="Other")
    Delivery.objects.create(place="Ankh", customer=Customer.objects.create(name="Vimes"))
    with listening(hear, post_save, Delivery):
        call_synchronize()

    assert heard == ["Vimes of remote"]


def test_what_a_receiver_writes_to_remote_stays_there_and_is_not_captured_here() -> None:
    def write(sender: type, instance: Delivery, using: str, **kwargs: Any) -> None:
        if using == REMOTE:
            Place.objects.using(using).create(name=f"seen: {instance.place}")

    Delivery.objects.create(place="Ankh")
    before = ChangeLog.objects.count()
    with listening(write, post_save, Delivery):
        call_synchronize()

    assert remote(Place).name == "seen: Ankh"
    assert ChangeLog.objects.count() == before
    assert not Place.objects.exists()


def test_failing_receiver_stops_the_run_and_names_the_object() -> None:
    def fail(sender: type, instance: Delivery, using: str, **kwargs: Any) -> None:
        if using == REMOTE:
            raise ValueError("no delivery today")

    Customer.objects.create(name="Vimes")
    delivery = Delivery.objects.create(place="Ankh")
    with (
        listening(fail, post_save, Delivery),
        pytest.raises(SynchroError, match=rf"Delivery.*{delivery.pk}.*no delivery today"),
    ):
        call_synchronize()
    assert (remote_count(Delivery), remote_count(Customer)) == (0, 0)

    call_synchronize()
    assert_same_rows()


def test_columns_that_django_fills_in_end_with_locals_values_though_somebody_listens() -> None:
    invoice = Invoice.objects.create()
    with listening(ignore, post_save, Invoice):
        call_synchronize()
        assert_same_rows(Invoice)

        invoice.text = "paid"
        invoice.save()
        issued, changed = datetime(2001, 1, 1, tzinfo=UTC), datetime(2002, 2, 2, tzinfo=UTC)
        Invoice.objects.update(issued=issued, changed=changed)
        call_synchronize()

    assert_same_rows(Invoice)
    assert remote(Invoice).changed.year == 2002


def test_skipped_column_is_left_alone_though_somebody_listens() -> None:
    country = Country.objects.create(code="PL", visits=3)
    with listening(ignore, post_save, Country):
        call_synchronize()
        assert remote(Country).visits == 0
        Country.objects.using(REMOTE).update(visits=42)

        country.name = "Poland"
        country.save()
        call_synchronize()

    assert (remote(Country).name, remote(Country).visits) == ("Poland", 42)


def test_unique_values_that_two_rows_swap_arrive_though_somebody_listens() -> None:
    first, second = Seat.objects.create(number=1), Seat.objects.create(number=2)
    with listening(ignore, post_save, Seat):
        call_synchronize()
        for seat, number in ((first, 3), (second, 1), (first, 2)):
            seat.number = number
            seat.save()
        call_synchronize()

    assert_same_rows(Seat)


@pytest.mark.parametrize("batch_size", [1, 5000])
def test_new_row_gets_the_unique_value_of_one_that_is_gone_though_somebody_listens(
    settings: Any, batch_size: int
) -> None:
    settings.SYNCHRO_BATCH_SIZE = batch_size
    gone = Seat.objects.create(number=1)
    with listening(ignore, post_save, Seat):
        call_synchronize()
        number = ChangeLog.objects.latest("pk").pk
        gone.delete()
        Seat.objects.create(number=1)
        _turn_round(number)
        call_synchronize()

    assert_same_rows(Seat)
    assert remote_count(Seat) == 1


def _turn_round(after: int) -> None:
    """What was logged last comes first."""
    entries = list(ChangeLog.objects.filter(pk__gt=after).order_by("-pk"))
    ChangeLog.objects.filter(pk__gt=after).delete()
    for entry in entries:
        entry.pk = None
        entry.save()


def test_row_of_several_tables_arrives_though_somebody_listens() -> None:
    with listening(ignore, post_save, Pizzeria):
        pizzeria = Pizzeria.objects.create(name="Mario", seats=20, ovens=2)
        call_synchronize()
        assert_same_rows()

        pizzeria.name = "Luigi"
        pizzeria.save()
        call_synchronize()
        assert_same_rows()

        pizzeria.delete()
        call_synchronize()

    assert remote_count(Place) == 0


def test_deletion_does_what_django_does_though_somebody_listens() -> None:
    customer = Customer.objects.create(name="Vimes")
    Order.objects.create(customer=customer)
    Profile.objects.create(customer=customer)
    Parcel.objects.create(receiver=customer)
    with listening(ignore, post_delete, Customer):
        call_synchronize()
        customer.delete()
        call_synchronize()

    assert (remote_count(Order), remote_count(Profile)) == (0, 0)
    assert_same_rows()


def test_save_and_delete_of_the_models_own_are_used() -> None:
    ticket = Ticket.objects.create(title="to the opera")
    Ticket.calls.clear()
    call_synchronize()
    assert Ticket.calls == [("save", REMOTE)]

    Ticket.calls.clear()
    ticket.delete()
    Ticket.calls.clear()
    call_synchronize()

    assert Ticket.calls == [("delete", REMOTE)]
    assert remote_count(Ticket) == 0


def test_row_saved_by_a_method_of_the_models_own_has_locals_values() -> None:
    ticket = Ticket.objects.create(title="to the opera", customer=Customer.objects.create(name="Vimes"))
    Ticket.objects.update(title_upper="as LOCAL has it")
    call_synchronize()
    assert remote(Ticket).title_upper == "as LOCAL has it"

    ticket.refresh_from_db()
    ticket.title = "to the palace"
    ticket.save()
    call_synchronize()

    assert_same_rows()


def test_columns_that_a_save_changes_and_no_entry_names_end_as_local_has_them() -> None:
    ticket = Ticket.objects.create(title="to the opera")
    invoice = Invoice.objects.create(text="one")
    call_synchronize()

    ticket.title = "to the palace"
    ticket.save(update_fields=["title"])
    invoice.text = "other"
    invoice.save(update_fields=["text"])
    with listening(ignore, post_save, Invoice):
        call_synchronize()

    assert Ticket.objects.get().title_upper == "TO THE OPERA"
    assert_same_rows()


@pytest.mark.parametrize("signal", [post_save, post_delete])
def test_columns_of_other_rows_that_a_receiver_shifts_end_as_local_has_them(signal: Signal) -> None:
    """As long as the batch is about these rows."""
    customer, delivery = Customer.objects.create(name="Vimes", cash=5), Delivery.objects.create(place="Ankh")
    call_synchronize()

    customer.name = "Sir Samuel"
    customer.save(update_fields=["name"])
    if signal is post_delete:
        delivery.delete()
    else:
        delivery.save()
    with listening(charge_by_update, signal, Delivery):
        call_synchronize()

    assert (remote(Customer).cash, remote(Customer).name) == (5, "Sir Samuel")
    assert_same_rows()


def test_what_remote_changed_itself_in_a_column_that_a_receiver_shifts_stays() -> None:
    customer, delivery = Customer.objects.create(name="Vimes"), Delivery.objects.create(place="Ankh")
    call_synchronize()
    with other_side():
        there = Customer.objects.get()
        there.cash = 100
        there.save(update_fields=["cash"])
    let_time_pass()

    customer.name = "Sir Samuel"
    customer.save(update_fields=["name"])
    delivery.save()
    with listening(charge_by_update, post_save, Delivery):
        call_synchronize()

    # Where triggers capture, all that anybody changed arrives by itself.
    assert (remote(Customer).cash, remote(Customer).name) == (100 if BY_TRIGGERS else 101, "Sir Samuel")


def test_rows_that_the_default_manager_hides_are_synchronized() -> None:
    Article.everything.create(title="shown")
    hidden = Article.everything.create(title="hidden", published=False)
    call_synchronize()
    assert remote_count(Article) == 2

    hidden.title = "still hidden"
    hidden.save()
    call_synchronize()
    assert remote(Article, published=False).title == "still hidden"

    hidden.delete()
    call_synchronize()
    assert remote(Article).title == "shown"


def test_row_that_becomes_hidden_is_not_taken_for_deleted() -> None:
    article = Article.everything.create(title="shown")
    call_synchronize()

    article.published = False
    article.save()
    call_synchronize()

    assert remote(Article).published is False


def charge(sender: type, instance: Delivery, using: str, **kwargs: Any) -> None:
    """A receiver that changes another object on the side that it is called for."""
    customer = Customer.objects.using(using).get()
    customer.cash += 1
    customer.save(using=using)


def charge_by_update(sender: type, instance: Delivery, using: str, **kwargs: Any) -> None:
    Customer.objects.using(using).update(cash=F("cash") + 1)


NOT_CAPTURED = {"switch": disable_synchro_log(charge), "update": charge_by_update}


@pytest.mark.parametrize("receiver", NOT_CAPTURED.values(), ids=NOT_CAPTURED)
def test_what_receivers_do_on_both_sides_is_not_overwritten_where_it_is_not_captured(
    receiver: Callable[..., Any],
) -> None:
    """REMOTE's own earlier change of the customer's name survives, and both sides are charged once."""
    Customer.objects.create(name="Vimes")
    call_synchronize()
    with other_side():
        customer = Customer.objects.get()
        customer.name = "Sir Samuel"
        customer.save()
    let_time_pass()

    with listening(receiver, post_save, Delivery):
        Delivery.objects.create(place="Ankh")
        call_synchronize()

    assert Customer.objects.get().cash == 1
    assert (remote(Customer).cash, remote(Customer).name) == (1, "Sir Samuel")


def ignore(**kwargs: Any) -> None:
    """Somebody who listens makes the replayer write object by object."""
