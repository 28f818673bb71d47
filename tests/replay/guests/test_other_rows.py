"""Code of others that runs for REMOTE's objects writes other rows too: they end as if LOCAL alone had been at work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.db import connections, transaction
from django.db.models import F, Model
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save
from django.dispatch import Signal

from synchro.core import DisableSynchroLog, call_synchronize, disable_synchro_log
from synchro.exceptions import Refused, WrongDatabase
from synchro.models import ChangeLog
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import (
    BY_TRIGGERS,
    REMOTE,
    create_on_remote,
    let_time_pass,
    other_side,
    remote,
    remote_count,
    save_unlogged,
    use_up_key_on_remote,
)
from tests.shop.models import (
    Album,
    Artist,
    Category,
    Country,
    Currency,
    Customer,
    Delivery,
    Invoice,
    Measurement,
    Order,
    Parcel,
    Passport,
    Pizzeria,
    Place,
    Profile,
    Publisher,
    Seat,
    Ticket,
    Visa,
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


def charge_by_save(using: str, **kwargs: Any) -> None:
    for customer in Customer.objects.using(using):
        customer.cash += 1
        customer.save(using=using)


def charge_by_update(using: str, **kwargs: Any) -> None:
    Customer.objects.using(using).update(cash=F("cash") + 1)


def charge_by_bulk_update(using: str, **kwargs: Any) -> None:
    customers = list(Customer.objects.using(using))
    for customer in customers:
        customer.cash += 1
    Customer.objects.using(using).bulk_update(customers, ["cash"])


def charge_by_sql(using: str, **kwargs: Any) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute("UPDATE shop_customer SET cash = cash + %s /* WHERE */ WHERE name <> %s", [1, "it's"])


def charge_by_related_update(using: str, **kwargs: Any) -> None:
    Customer.objects.using(using).filter(order__note="first").update(cash=F("cash") + 1)


@pytest.mark.parametrize("signal", [post_save, post_delete])
def test_change_that_capture_sees_on_local_is_not_made_on_remote_by_others(signal: Signal) -> None:
    Customer.objects.create(name="Vimes")
    delivery = Delivery.objects.create(place="Ankh")
    call_synchronize()
    if signal is post_save:
        delivery.save()
    else:
        delivery.delete()
    with listening(charge_by_save, signal, Delivery):
        call_synchronize()

    assert remote(Customer).cash == 0
    assert_same_rows()


@pytest.mark.skipif(not BY_TRIGGERS, reason="signals do not see these, so they are left to the receivers")
@pytest.mark.parametrize(
    "charge", [charge_by_update, charge_by_bulk_update, charge_by_sql, charge_by_related_update]
)
def test_triggers_see_all_changes_on_local_so_none_is_made_on_remote_by_others(
    charge: Callable[..., None],
) -> None:
    customer = Customer.objects.create(name="Vimes")
    Order.objects.create(customer=customer, note="first")
    call_synchronize()
    with listening(charge, post_save, Delivery):
        Delivery.objects.create(place="Ankh")
        report = call_synchronize()

    assert (Customer.objects.get().cash, remote(Customer).cash) == (1, 1)
    assert report.warnings == ()
    assert_same_rows()


def test_change_of_remotes_own_in_a_row_that_a_receiver_saves_survives() -> None:
    Customer.objects.create(name="Vimes")
    call_synchronize()
    with other_side():
        there = Customer.objects.get()
        there.cash = 100
        there.save(update_fields=["cash"])
    let_time_pass()

    Delivery.objects.create(place="Ankh")
    with listening(charge_by_save, post_save, Delivery):
        call_synchronize()

    assert remote(Customer).cash == 100


def test_row_that_remote_alone_has_is_left_to_the_code_that_runs_there() -> None:
    create_on_remote(Customer, name="REMOTE's own")
    Delivery.objects.create(place="Ankh")
    with listening(charge_by_save, post_save, Delivery):
        call_synchronize()

    assert remote(Customer).cash == 1


def test_row_that_no_run_has_met_is_known_by_its_natural_key() -> None:
    def move(using: str, **kwargs: Any) -> None:
        for publisher in Publisher.objects.using(using):
            publisher.city = "moved"
            publisher.save(using=using)

    create_on_remote(Publisher, name="REMOTE's own")
    create_on_remote(Publisher, name="Acme", city="Ankh")
    save_unlogged(Publisher(name="Acme", city="Ankh"))
    Delivery.objects.create(place="Ankh")
    with listening(move, post_save, Delivery):
        call_synchronize()

    assert (remote(Publisher, name="Acme").city, remote(Publisher, name="REMOTE's own").city) == (
        "Ankh",
        "moved",
    )


def shift(instance: Category, using: str, **kwargs: Any) -> None:
    """As a tree numbers its nodes anew."""
    Category.objects.using(using).exclude(pk=instance.pk).update(name="shifted")


def test_rows_that_a_tree_shifts_end_as_local_has_them() -> None:
    for name in ("root", "branch"):
        Category.objects.create(name=name)
    call_synchronize()
    with DisableSynchroLog():
        Category.objects.filter(name="branch").update(name="shifted otherwise")
    Category.objects.create(name="leaf", parent=Category.objects.get(name="root"))
    with listening(shift, post_save, Category):
        call_synchronize()

    names = set(Category.objects.using(REMOTE).values_list("name", flat=True))
    # Where triggers capture, what is switched off is meant to stay off.
    assert names == {"root", "branch" if BY_TRIGGERS else "shifted otherwise", "leaf"}


def test_rows_of_the_batch_that_a_tree_shifts_end_as_local_has_them() -> None:
    root, leaf = Category.objects.create(name="root"), Category.objects.create(name="leaf")
    call_synchronize()
    leaf.parent = root
    leaf.save(update_fields=["parent"])
    if not BY_TRIGGERS:
        Category.objects.filter(pk=leaf.pk).update(name="shifted otherwise")
    root.save()
    with listening(shift, post_save, Category):
        call_synchronize()

    assert_same_rows()


@pytest.mark.skipif(BY_TRIGGERS, reason="by triggers all that REMOTE changes is captured there")
def test_what_remote_changed_itself_in_a_row_that_a_tree_shifts_stays() -> None:
    Category.objects.create(name="root")
    call_synchronize()
    with other_side():
        there = Category.objects.get()
        there.name = "REMOTE's own"
        there.save()
    let_time_pass()
    Category.objects.create(name="leaf")
    with listening(shift, post_save, Category):
        call_synchronize()

    assert Category.objects.using(REMOTE).filter(name="REMOTE's own").exists()


def test_what_code_of_others_does_with_capture_switched_off_stays() -> None:
    Customer.objects.create(name="Vimes")
    call_synchronize()
    Delivery.objects.create(place="Ankh")
    with listening(disable_synchro_log(charge_by_save), post_save, Delivery):
        report = call_synchronize()

    assert remote(Customer).cash == 1
    assert report.warnings == ()


def remove_all(using: str, **kwargs: Any) -> None:
    Order.objects.using(using).all().delete()
    Country.objects.using(using).all().delete()


@pytest.mark.parametrize("signal", [post_save, pre_delete])
def test_rows_that_a_receiver_deletes_are_there_again_with_their_skipped_columns(signal: Signal) -> None:
    Country.objects.create(code="AM", name="Ankh-Morpork")
    customer = Customer.objects.create(name="Vimes")
    Order.objects.create(customer=customer)
    delivery = Delivery.objects.create(place="Ankh")
    call_synchronize()
    Country.objects.using(REMOTE).update(visits=7)
    if signal is post_save:
        delivery.save()
    else:
        delivery.delete()
    with listening(remove_all, signal, Delivery):
        call_synchronize()

    assert remote(Country).visits == 7
    assert_same_rows()


@pytest.mark.parametrize(("name", "most"), [("MOST_ROWS", 2), ("MOST_LETTERS", 20)])
def test_rows_that_are_too_many_to_be_kept_are_told(name: str, most: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(f"synchro.replay.guests.touched.{name}", most)
    for number in range(3):
        Customer.objects.create(name=f"{number} Vimes")
    call_synchronize()
    Delivery.objects.create(place="Ankh")
    with listening(charge_by_save if most == 20 else charge_by_sql, post_save, Delivery):
        report = call_synchronize()

    (warning,) = (each for each in report.warnings if "shop_customer" in each)
    assert "not kept as they had been" in warning
    assert "SYNCHRO_BATCH_SIZE" in warning

    Order.objects.bulk_create(
        Order(customer=customer, note="a longer note") for customer in Customer.objects.all()
    )
    for order in Order.objects.all():
        order.save()
    call_synchronize()
    Delivery.objects.create(place="Ankh")
    with (
        listening(remove_all, post_save, Delivery),
        pytest.raises(Refused, match=r"remove_all .* deleted shop_order"),
    ):
        call_synchronize()
    assert remote_count(Order) == 3


def fell(using: str, **kwargs: Any) -> None:
    Category.objects.using(using).update(parent=None)
    Category.objects.using(using).all().delete()


def test_tree_and_circle_that_a_receiver_deletes_are_there_again(settings: Any) -> None:
    """MySQL looks at each row by itself: whether what it points at is there already."""
    leaf, root = Category.objects.create(name="leaf"), Category.objects.create(name="root")
    leaf.parent = root
    leaf.save()
    one = Category.objects.create(name="one")
    one.parent = Category.objects.create(name="other", parent=one)
    one.save()
    call_synchronize()
    settings.SYNCHRO_BATCH_SIZE = 1
    Delivery.objects.create(place="Ankh")
    root.name = "the root"
    root.save()  # in a later batch

    with listening(fell, post_save, Delivery):
        call_synchronize()

    assert_same_rows()


def test_rows_that_code_of_others_deletes_on_both_sides_are_gone() -> None:
    Country.objects.create(code="AM", name="Ankh-Morpork")
    Order.objects.create(customer=Customer.objects.create(name="Vimes"))
    call_synchronize()
    with listening(remove_all, post_save, Delivery):
        Delivery.objects.create(place="Ankh")
        call_synchronize()

    assert (remote_count(Country), remote_count(Order)) == (0, 0)
    assert_same_rows()


def test_members_that_a_receiver_removes_are_there_again() -> None:
    def clear(using: str, **kwargs: Any) -> None:
        album: Any = Album.objects.using(using).get()
        album.artists.clear()

    album: Any = Album.objects.create(name="Blue")
    album.artists.add(Artist.objects.create(name="Joni"))
    call_synchronize()
    Delivery.objects.create(place="Ankh")
    with listening(clear, post_save, Delivery):
        call_synchronize()

    assert_same_rows()


def write_on_remote(instance: Delivery, using: str, **kwargs: Any) -> None:
    Place.objects.using(using).create(name=f"seen: {instance.place}")


def write_in_bulk(instance: Delivery, using: str, **kwargs: Any) -> None:
    Place.objects.using(using).bulk_create([Place(name=f"seen: {instance.place}")])


@pytest.mark.parametrize("write", [write_on_remote, write_in_bulk])
def test_rows_that_code_of_others_adds_on_remote_stay_and_are_told(write: Callable[..., None]) -> None:
    Delivery.objects.create(place="Ankh")
    before = ChangeLog.objects.count()
    with listening(write, post_save, Delivery):
        report = call_synchronize()

    assert remote(Place).name == "seen: Ankh"
    assert ChangeLog.objects.count() == before
    (warning,) = report.warnings
    assert "test_other_rows.write" in warning
    assert "shop.Place" in warning
    assert "DisableSynchroLog" in warning
    assert "SYNCHRO_RECEIVERS = ['all', '-tests.replay.guests.test_other_rows.write" in warning


def test_rows_of_the_batch_and_members_that_local_has_too_are_not_told_of() -> None:
    def add_all(instance: Album, using: str, **kwargs: Any) -> None:
        album: Any = Album.objects.using(using).get(pk=instance.pk)
        album.artists.add(*Artist.objects.using(using).all())

    Artist.objects.create(name="Joni")
    album: Any = Album.objects.create(name="Blue")
    album.artists.add(Artist.objects.get())
    with listening(add_all, post_save, Album), listening(lambda **_kwargs: None, m2m_changed, Model):
        report = call_synchronize()

    assert report.warnings == ()
    assert_same_rows()


def open_account(instance: Customer, using: str, created: bool, **kwargs: Any) -> None:
    """As many projects do for each new user."""
    if created:
        Profile.objects.using(using).create(customer=instance, text=f"made in {using}")
        Passport.objects.using(using).create(customer=instance, number="1")


def test_row_that_a_receiver_adds_on_both_sides_is_one_row_where_unique_values_say_so() -> None:
    use_up_key_on_remote(Customer, name="of REMOTE's own")
    with listening(open_account, post_save, Customer):
        customer = Customer.objects.create(name="Vimes")
        Visa.objects.create(
            passport=Passport.objects.get(), country=Country.objects.create(code="AM", name="Ankh-Morpork")
        )
        report = call_synchronize()
        assert report.warnings == ()
        assert_same_rows()

        Profile.objects.update(text="changed")
        Profile.objects.get().save()
        call_synchronize()
        customer.delete()
        call_synchronize()

    assert (remote_count(Profile), remote_count(Passport), remote_count(Customer)) == (0, 0, 0)
    assert_same_rows()


def test_key_that_a_receiver_used_up_for_a_row_of_its_own_is_not_given_to_another() -> None:
    Delivery.objects.create(place="Ankh")
    place = Place.objects.create(name="of LOCAL")
    with listening(write_on_remote, post_save, Delivery):
        call_synchronize()

    assert set(Place.objects.using(REMOTE).values_list("name", flat=True)) == {"seen: Ankh", place.name}


@pytest.mark.parametrize("how", ["of a new object", "of one that is there"])
def test_row_that_a_save_makes_besides_that_of_its_object_is_told(how: str, monkeypatch: Any) -> None:
    def save(self: Ticket, *args: Any, **kwargs: Any) -> None:
        super(Ticket, self).save(*args, **kwargs)
        if kwargs.get("using") == REMOTE:
            Ticket(title="a copy").save_base(using=REMOTE)

    ticket = Ticket.objects.create(title="to the opera")
    if how == "of one that is there":
        call_synchronize()
        ticket.title = "to the palace"
        ticket.save()
    monkeypatch.setattr(Ticket, "save", save)

    (warning,) = call_synchronize().warnings

    assert "shop.Ticket" in warning
    assert remote_count(Ticket) == 2


def test_column_that_django_fills_in_a_parents_table_is_locals_where_the_child_alone_changed() -> None:
    """`Model.save()` writes the tables of all that the model inherits from."""
    Pizzeria.objects.create(name="Mario", seats=20, ovens=2)
    call_synchronize()
    Pizzeria.objects.update(ovens=3)
    pizzeria = Pizzeria.objects.get()
    pizzeria.save(update_fields=["ovens"])

    def rename(instance: Pizzeria, **kwargs: Any) -> None:
        instance.name = "renamed as it is saved"

    with listening(rename, pre_save, Pizzeria):
        call_synchronize()

    assert_same_rows()


def rewrite(using: str, **kwargs: Any) -> None:
    statements = {
        "sqlite": "INSERT OR REPLACE INTO shop_country (code, name, visits) VALUES ('AM', 'other', 0)",
        "mysql": "REPLACE INTO shop_country (code, name, visits) VALUES ('AM', 'other', 0)",
        "postgresql": "INSERT INTO shop_country (code, name, visits) VALUES ('AM', 'other', 0) "
        "ON CONFLICT (code) DO UPDATE SET name = 'other'",
    }
    with connections[using].cursor() as cursor:
        cursor.execute(statements[connections[using].vendor])


def test_sql_that_does_not_tell_which_rows_it_writes_is_told() -> None:
    Country.objects.create(code="AM", name="Ankh-Morpork")
    call_synchronize()
    Delivery.objects.create(place="Ankh")
    with listening(rewrite, post_save, Delivery):
        report = call_synchronize()

    (warning,) = report.warnings
    assert "test_other_rows.rewrite" in warning
    assert "shop_country" in warning


def test_what_django_does_at_a_deletion_is_left_alone() -> None:
    """The receiver changes a row that Django itself empties a column of, or deletes, a moment later."""

    def touch(using: str, **kwargs: Any) -> None:
        for model in (Parcel, Profile):
            for row in model.objects.using(using):
                row.save(using=using)
        Parcel.objects.using(using).update(weight=F("weight") + 1)

    customer = Customer.objects.create(name="Vimes")
    Parcel.objects.create(receiver=customer)
    Profile.objects.create(customer=customer)
    call_synchronize()
    customer.delete()
    with listening(touch, pre_delete, Customer):
        call_synchronize()

    assert_same_rows()


def test_columns_that_django_fills_in_where_a_receiver_saves_another_row_are_locals() -> None:
    def save_all(using: str, **kwargs: Any) -> None:
        for row in (*Invoice.objects.using(using), *Ticket.objects.using(using)):
            row.save(using=using)

    Invoice.objects.create(text="one")
    Ticket.objects.create(title="to the opera")
    call_synchronize()
    Delivery.objects.create(place="Ankh")
    with listening(save_all, post_save, Delivery):
        call_synchronize()

    assert_same_rows()


@pytest.mark.parametrize("how", ["save", "delete"])
def test_object_of_local_is_not_written_over_the_row_that_has_its_key_on_remote(how: str) -> None:
    """As a receiver may keep one from an earlier call."""
    create_on_remote(Customer, name="REMOTE's own")
    Delivery.objects.create(place="Ankh")
    customer = Customer.objects.create(pk=remote(Customer).pk, name="Vimes")

    def write(using: str, **kwargs: Any) -> None:
        if using == REMOTE:
            with suppress(WrongDatabase):
                getattr(customer, how)(using=using)

    words = (
        r"Delivery \d+: .*<locals>.write .* what it had read from the database “default”: shop.Customer \d+"
    )
    with listening(write, post_save, Delivery), pytest.raises(WrongDatabase, match=words):
        call_synchronize()

    assert remote(Customer).name == "REMOTE's own"
    call_synchronize()
    assert set(Customer.objects.using(REMOTE).values_list("name", flat=True)) == {"REMOTE's own", "Vimes"}


@pytest.mark.django_db(databases=["default", "remote"], transaction=True)
def test_what_a_receiver_writes_to_remote_after_the_commit_is_told() -> None:
    def later(using: str, **kwargs: Any) -> None:
        transaction.on_commit(lambda: charge_by_update(using), using=using)

    Customer.objects.create(name="Vimes")
    Delivery.objects.create(place="Ankh")
    with listening(later, post_save, Delivery):
        report = call_synchronize()

    (warning,) = report.warnings
    assert "test_what_a_receiver_writes_to_remote_after_the_commit_is_told.<locals>.later" in warning
    assert "shop_customer" in warning


def test_change_of_others_by_a_receiver_of_a_set_that_loses_members_is_put_back() -> None:
    album: Any = Album.objects.create(name="Blue")
    album.artists.add(Artist.objects.create(name="Joni"))
    Customer.objects.create(name="Vimes")
    call_synchronize()
    album.artists.clear()
    with listening(charge_by_save, m2m_changed, Album.artists.through):
        call_synchronize()

    assert remote(Customer).cash == 0
    assert_same_rows()


def test_skipped_columns_that_a_receiver_changes_in_other_rows_stay() -> None:
    """Nothing of them travels: each side keeps its own."""

    def visit(using: str, **kwargs: Any) -> None:
        country = Country.objects.using(using).get()
        country.visits += 1
        country.name = f"visited on {using}"
        country.save(using=using)

    Country.objects.create(code="AM", name="Ankh-Morpork")
    Delivery.objects.create(place="Ankh")
    call_synchronize()
    Delivery.objects.create(place="Morpork")
    with listening(visit, post_save, Delivery):
        call_synchronize()

    there = remote(Country)
    assert (there.name, there.visits) == ("Ankh-Morpork", 1)


def insert_or_update(using: str, **kwargs: Any) -> None:
    """The conflict is that of another unique value than the key, which is new."""
    connection = connections[using]
    target = ["code"] if connection.features.supports_update_conflicts_with_target else None
    Currency.objects.using(using).bulk_create(
        [Currency(pk=999, code="AMD", name="other")],
        update_conflicts=True,
        update_fields=["name"],
        unique_fields=target,
    )


def test_row_that_is_met_by_another_unique_value_than_its_key_is_told() -> None:
    Currency.objects.create(code="AMD", name="dollar")
    call_synchronize()
    Delivery.objects.create(place="Ankh")
    with listening(insert_or_update, post_save, Delivery):
        report = call_synchronize()

    (warning,) = report.warnings
    assert "shop_currency" in warning


def test_table_that_is_only_read_for_one_that_is_not_watched_is_not_told_of() -> None:
    def forget(using: str, **kwargs: Any) -> None:
        names = Customer.objects.using(using).values("name")
        Session.objects.using(using).filter(session_key__in=names).update(session_data="")
        Session.objects.using(using).filter(session_key__in=names).delete()

    Delivery.objects.create(place="Ankh")
    with listening(forget, post_save, Delivery):
        report = call_synchronize()

    assert report.warnings == ()


def test_values_that_a_receiver_hands_from_one_row_to_another_are_back() -> None:
    """One at a time they cannot go back: each stands in the other's way."""

    def swap(using: str, **kwargs: Any) -> None:
        first, second = Seat.objects.using(using).order_by("number")
        for seat, number in ((first, -1), (second, 1), (first, 2)):
            seat.number = number
            seat.save(using=using)

    Seat.objects.create(number=1, guest="Vimes")
    Seat.objects.create(number=2, guest="Carrot")
    call_synchronize()
    Delivery.objects.create(place="Ankh")
    with listening(swap, post_save, Delivery):
        call_synchronize()

    assert_same_rows()


def test_copy_of_an_object_of_local_with_a_key_of_its_own_is_no_stranger() -> None:
    Place.objects.create(name="of LOCAL")
    call_synchronize()
    place = Place.objects.get()
    Delivery.objects.create(place="Ankh")

    def copy(using: str, **kwargs: Any) -> None:
        place.pk, place._state.adding = None, True
        place.save(using=using)

    with listening(copy, post_save, Delivery):
        call_synchronize()

    assert remote_count(Place) == 2


@pytest.mark.skipif(connections[REMOTE].vendor != "sqlite", reason="other servers take no such value")
def test_row_that_cannot_be_read_does_not_stop_the_code_that_writes_it() -> None:
    Measurement.objects.create()
    call_synchronize()
    with connections[REMOTE].cursor() as cursor:
        cursor.execute("UPDATE shop_measurement SET token = 'no token'")
    Delivery.objects.create(place="Ankh")

    def count(using: str, **kwargs: Any) -> None:
        Measurement.objects.using(using).update(number=1)

    with listening(count, post_save, Delivery):
        report = call_synchronize()

    (warning,) = report.warnings
    assert "shop_measurement" in warning
    assert Measurement.objects.using(REMOTE).values_list("number", flat=True).get() == 1


@pytest.mark.django_db(databases=["default", "remote"], transaction=True)
def test_row_is_not_put_back_to_point_at_one_that_local_has_deleted_since(settings: Any) -> None:
    """Of what the receiver did on LOCAL the batch has the beginning."""

    def leave(using: str, **kwargs: Any) -> None:
        for parcel in Parcel.objects.using(using):
            parcel.receiver = None
            parcel.weight += 1
            parcel.save(using=using)
        for customer in Customer.objects.using(using):
            customer.delete(using=using)

    settings.SYNCHRO_BATCH_SIZE = 1
    Parcel.objects.create(receiver=Customer.objects.create(name="Vimes"))
    call_synchronize()
    with listening(leave, post_save, Delivery):
        Delivery.objects.create(place="Ankh")
        call_synchronize()

    assert remote(Parcel).weight == 1
    assert_same_rows()
