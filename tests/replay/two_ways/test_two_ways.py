"""Two deployments, each replaying into the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from synchro.core import call_synchronize
from synchro.models import ChangeLog, Reference
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import (
    captured_alike_or,
    let_time_pass,
    other_side,
    remote,
    remote_count,
    synchronize_there,
    use_up_keys_of_the_shop_on_remote,
)
from tests.shop.models import (
    Album,
    Artist,
    Category,
    Country,
    Customer,
    Order,
    Passport,
    Pizzeria,
    Profile,
    Publisher,
)

MODELS = (Album, Artist, Category, Country, Customer, Order, Passport, Pizzeria, Profile, Publisher)

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.fixture(scope="module", params=["alike", "mixed"], autouse=True)
def _captured(request: Any, django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Both sides capture in the same way, or one by signals and the other by triggers."""
    with captured_alike_or(request.param, django_db_blocker, *(model.__name__ for model in MODELS)):
        yield


@pytest.fixture(autouse=True)
def other_keys_on_remote(db: None) -> None:
    use_up_keys_of_the_shop_on_remote()


def test_nothing_comes_back_as_an_echo() -> None:
    Customer.objects.create(name="Vimes")
    call_synchronize()

    reports = [synchronize_there(), call_synchronize(), synchronize_there()]

    assert [report.entries for report in reports] == [0, 0, 0]
    assert ChangeLog.objects.using("remote").count() == 0
    assert (Customer.objects.count(), remote_count(Customer)) == (1, 1)


def test_row_born_here_and_edited_there_comes_back_to_the_original() -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    let_time_pass()

    with other_side():
        found = Customer.objects.get()
        found.cash = 5
        found.save()
        call_synchronize()

    assert Customer.objects.get().pk == customer.pk
    assert Customer.objects.get().cash == 5
    assert remote(Customer).pk != customer.pk
    assert_same_rows()


def test_row_born_here_and_deleted_there_is_deleted_here() -> None:
    Customer.objects.create(name="Carrot")
    Customer.objects.create(name="Vimes")
    call_synchronize()
    let_time_pass()

    with other_side():
        Customer.objects.get(name="Vimes").delete()
        call_synchronize()

    assert Customer.objects.get().name == "Carrot"
    assert_same_rows()


def test_children_and_sets_of_a_row_come_back_to_the_original() -> None:
    customer = Customer.objects.create(name="Vimes")
    Profile.objects.create(customer=customer)
    Passport.objects.create(customer=customer, number="1")
    album, artist = Album.objects.create(name="Blue"), Artist.objects.create(name="Joni")
    album.artists.add(artist)
    Pizzeria.objects.create(name="Mario", owner=customer)
    call_synchronize()
    let_time_pass()

    with other_side():
        Order.objects.create(customer=Customer.objects.get(), note="from there")
        Profile.objects.get().delete()
        passport = Passport.objects.get()
        passport.number = "2"
        passport.save()
        Album.objects.get().artists.set([Artist.objects.create(name="James")])
        pizzeria = Pizzeria.objects.get()
        pizzeria.name, pizzeria.ovens = "Luigi", 3
        pizzeria.save()
        call_synchronize()

    assert Order.objects.get().customer == customer
    assert not Profile.objects.exists()
    assert Passport.objects.get().number == "2"
    assert [one.name for one in album.artists.all()] == ["James"]
    assert (Pizzeria.objects.get().name, Pizzeria.objects.get().ovens) == ("Luigi", 3)
    assert_same_rows()


def test_rows_born_on_both_sides_under_one_key_are_two() -> None:
    here = Customer.objects.create(name="Vimes")
    with other_side():
        Customer.objects.create(pk=here.pk, name="Rust")

    call_synchronize()
    synchronize_there()
    call_synchronize()
    synchronize_there()

    names = ["Rust", "Vimes"]
    assert list(Customer.objects.order_by("name").values_list("name", flat=True)) == names
    assert list(Customer.objects.using("remote").order_by("name").values_list("name", flat=True)) == names
    assert_same_rows()


def test_row_goes_back_and_forth_as_often_as_people_like() -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()

    for cash in range(1, 6):
        let_time_pass()
        with other_side():
            found = Customer.objects.get()
            found.cash += cash
            found.save()
            call_synchronize()
        let_time_pass()
        customer.refresh_from_db()
        customer.cash += 100
        customer.save()
        call_synchronize()

    assert (Customer.objects.get().cash, remote(Customer).cash) == (515, 515)
    assert_same_rows()


def test_older_change_loses_on_both_sides() -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    let_time_pass()

    customer.cash = 1
    customer.save()
    let_time_pass()
    with other_side():
        found = Customer.objects.get()
        found.cash = 2
        found.save()
    call_synchronize()
    synchronize_there()

    assert (Customer.objects.get().cash, remote(Customer).cash) == (2, 2)


@pytest.mark.parametrize("first_here", [True, False])
def test_changes_at_the_very_same_time_end_alike_whoever_runs_first(first_here: bool) -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    let_time_pass()
    customer.cash = 1
    customer.save()
    with other_side():
        found = Customer.objects.get()
        found.cash = 2
        found.save()
    moment = ChangeLog.objects.latest("id").date
    for alias in ("default", "remote"):
        ChangeLog.objects.using(alias).update(date=moment)

    runs = [call_synchronize, synchronize_there]
    for run in (runs if first_here else runs[::-1]) * 2:
        run()

    assert Customer.objects.get().cash == remote(Customer).cash
    assert_same_rows()


def test_deletion_here_and_newer_change_there_end_with_the_row_on_both_sides() -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    let_time_pass()

    customer.delete()
    let_time_pass()
    with other_side():
        found = Customer.objects.get()
        found.cash = 2
        found.save()
    for _ in range(2):
        call_synchronize()
        synchronize_there()

    assert (Customer.objects.get().cash, remote(Customer).cash) == (2, 2)
    assert_same_rows()


def test_given_keys_go_both_ways() -> None:
    Country.objects.create(code="PL", name="Poland")
    with other_side():
        Country.objects.create(code="DE", name="Germany")

    call_synchronize()
    synchronize_there()

    assert Country.objects.count() == remote_count(Country) == 2
    assert_same_rows()


def test_references_are_kept_on_both_sides() -> None:
    customer = Customer.objects.create(name="Vimes")

    call_synchronize()

    own, theirs = Reference.objects.get(), Reference.objects.using("remote").get()
    assert (own.local_object_id, own.remote_object_id) == (str(customer.pk), str(remote(Customer).pk))
    assert (theirs.local_object_id, theirs.remote_object_id) == (own.remote_object_id, own.local_object_id)


def test_tree_grown_by_both_sides_is_one_tree() -> None:
    root = Category.objects.create(name="root")
    call_synchronize()
    let_time_pass()

    Category.objects.create(name="branch from here", parent=root)
    with other_side():
        Category.objects.create(name="branch from there", parent=Category.objects.get(name="root"))
    call_synchronize()
    synchronize_there()

    assert {one.name for one in root.category_set.all()} == {"branch from here", "branch from there"}
    assert_same_rows()


@pytest.mark.parametrize("first_here", [True, False])
def test_older_deletion_there_does_not_undo_a_newer_change_here(first_here: bool) -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    let_time_pass()

    with other_side():
        Customer.objects.get().delete()
    let_time_pass()
    customer.cash = 1
    customer.save()
    runs = [call_synchronize, synchronize_there]
    for run in (runs if first_here else runs[::-1]) * 2:
        run()

    assert Customer.objects.get().cash == remote(Customer).cash == 1
    assert_same_rows()


@pytest.mark.parametrize("first_here", [True, False])
@pytest.mark.parametrize("model", [Country, Publisher])
def test_row_that_was_deleted_there_and_is_created_here_later_stays(
    model: type[Country | Publisher], first_here: bool
) -> None:
    """By its given or its natural key it is the same row to both sides, though neither saw the other's."""
    with other_side():
        model(pk="PL", name="Poland").save() if model is Country else model(name="Poland").save()
        let_time_pass()
        model.objects.get().delete()
    let_time_pass()

    model(pk="PL", name="Poland").save() if model is Country else model(name="Poland").save()
    runs = [call_synchronize, synchronize_there]
    for run in (runs if first_here else runs[::-1]) * 2:
        run()

    assert (model.objects.count(), remote_count(model)) == (1, 1)
    assert_same_rows()


@pytest.mark.parametrize("first_here", [True, False])
def test_child_born_there_of_a_parent_deleted_here_ends_alike_on_both_sides(first_here: bool) -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    let_time_pass()

    customer.delete()
    let_time_pass()
    with other_side():
        Order.objects.create(customer=Customer.objects.get(), note="newer than the deletion")
    runs = [call_synchronize, synchronize_there]
    for run in (runs if first_here else runs[::-1]) * 3:
        run()

    assert Customer.objects.count() == remote_count(Customer)
    assert Order.objects.count() == remote_count(Order)
    assert_same_rows()


@pytest.mark.parametrize("first_here", [True, False])
def test_row_whose_key_was_given_and_taken_back_there_ends_alike_on_both_sides(first_here: bool) -> None:
    """What was born and is gone on one side is no deletion on the other, whoever looks at it."""
    Country.objects.create(code="PL", name="here")
    let_time_pass()
    with other_side():
        Country.objects.create(code="PL", name="there").delete()

    for here in (first_here, not first_here, first_here):
        with nullcontext() if here else other_side():
            call_synchronize()

    assert [country.name for country in Country.objects.all()] == ["here"]
    assert_same_rows(Country)


def test_row_that_the_other_side_brought_back_is_deleted_there_too() -> None:
    """It was added and deleted here before, so that its first entry says that it is new."""
    Country.objects.create(code="XX", name="ours").delete()
    with other_side():
        Country.objects.create(code="XX", name="theirs")
        call_synchronize()
    Country.objects.get().delete()

    call_synchronize()

    assert remote_count(Country) == 0
