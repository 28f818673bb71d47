"""What depends on a change that is set aside waits for it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import Model
from django.db.models.signals import pre_save

from synchro.core import call_synchronize
from synchro.models import SetAside
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import REMOTE, create_on_remote, remote, remote_count
from tests.replay.refusals import Refusal, aside, place, refusing
from tests.shop.models import (
    Album,
    Artist,
    Category,
    Comment,
    Country,
    Currency,
    Customer,
    Order,
    Passport,
    Pizzeria,
    Place,
    Price,
    Profile,
    Restaurant,
    Visa,
)

pytestmark = [
    pytest.mark.django_db(databases=["default", "remote"]),
    pytest.mark.usefixtures("quarantine", "all_receivers"),
]


def child_of(parent: Customer, kind: str) -> Model:
    match kind:
        case "foreign key":
            return Order.objects.create(customer=parent)
        case "one to one":
            return Profile.objects.create(customer=parent)
        case "key":
            return Passport.objects.create(customer=parent, number="7")
        case "generic":
            return Comment.objects.create(target=parent, text="hello")
    return Pizzeria.objects.create(name="Gino's", owner=parent)


KINDS = ["foreign key", "one to one", "key", "generic", "multi-table"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("when", ["in the same batch", "in a later batch"])
def test_new_child_waits_for_its_parent(kind: str, when: str) -> None:
    with refusing(Customer):
        cursed = Customer.objects.create(name="cursed")
        if when == "in a later batch":
            call_synchronize()
        child = child_of(cursed, kind)
        other = child_of(Customer.objects.create(name="good"), kind)

        call_synchronize()

        assert place(cursed, child) <= aside()
        assert not place(other) & aside()
        assert remote_count(type(child)) == 1
        row = SetAside.objects.get(object_id=str(child.pk), content_type__model=child._meta.model_name)
        assert row.waits
        assert "shop.Customer" in row.cause or "shop.Restaurant" in row.cause
        assert call_synchronize().aside == len(aside())
    call_synchronize(retry=True)

    assert aside() == set()
    assert_same_rows()


def test_grandchildren_and_pairs_wait_too() -> None:
    with refusing(Artist), refusing(Customer):
        artist, album = Artist.objects.create(name="cursed"), Album.objects.create(name="Blue")
        album.artists.add(artist, Artist.objects.create(name="good"))
        customer, country = Customer.objects.create(name="cursed"), Country.objects.create(code="A")
        visa = Visa.objects.create(passport=Passport.objects.create(customer=customer), country=country)
        call_synchronize()

        assert place(artist, customer, visa) <= aside()
        assert (remote_count(Album), remote_count(Country), remote_count(Visa)) == (1, 1, 0)
        there: Any = remote(Album)
        assert [each.name for each in there.artists.all()] == ["good"]
    call_synchronize(retry=True)

    assert_same_rows()


def test_what_only_waited_arrives_with_the_change_that_mends_its_parent() -> None:
    with refusing(Customer):
        cursed = Customer.objects.create(name="cursed")
        Order.objects.create(customer=cursed)
        call_synchronize()
        assert len(aside()) == 2

        cursed.name = "blessed"
        cursed.save()

        assert call_synchronize().aside == 0
    assert_same_rows()


@pytest.mark.parametrize("refused", [Place, Restaurant, Pizzeria])
def test_object_of_several_tables_is_set_aside_whole(refused: type[Model]) -> None:
    def receive(instance: Any, using: str, **kwargs: Any) -> None:
        if using == REMOTE and instance.name == "cursed":
            raise Refusal

    pre_save.connect(receive, sender=refused)
    try:
        if refused is not Pizzeria:  # of a child's parents Django sends no signals
            refused._base_manager.create(name="cursed")
        else:
            Pizzeria.objects.create(name="cursed")
        Pizzeria.objects.create(name="good")
        call_synchronize()

        assert remote_count(Place) == 1
    finally:
        pre_save.disconnect(receive, sender=refused)
    call_synchronize(retry=True)
    assert_same_rows()


def test_row_that_is_deleted_waits_for_a_row_that_still_points_at_it() -> None:
    """Else REMOTE would delete the row too, with what it has of its own there."""
    old, new = Customer.objects.create(name="old"), Customer.objects.create(name="cursed")
    order = Order.objects.create(customer=old)
    with refusing(Customer):
        call_synchronize()
        order.customer = new
        order.save()
        call_synchronize()
        gone = place(old)
        old.delete()
        call_synchronize()

        assert gone <= aside()
        assert (remote_count(Order), remote_count(Customer)) == (1, 1)
    call_synchronize(retry=True)

    assert aside() == set()
    assert_same_rows()
    assert remote_count(Customer) == 1


def test_tree_waits_from_its_refused_branch_on() -> None:
    with refusing(Category):
        root = Category.objects.create(name="root")
        cursed = Category.objects.create(name="cursed", parent=root)
        leaves = [Category.objects.create(name="leaf", parent=cursed) for _ in range(2)]
        leaf = Category.objects.create(name="leaf of a leaf", parent=leaves[0])
        Category.objects.create(name="other", parent=root)
        call_synchronize()

        assert aside() == place(cursed, *leaves, leaf)
        assert remote_count(Category) == 2
    call_synchronize(retry=True)
    assert_same_rows()


def test_row_that_points_by_value_waits_too() -> None:
    create_on_remote(Currency, code="AMD", name="REMOTE's own")
    currency = Currency.objects.create(code="AMD")
    price = Price.objects.create(currency=currency, amount=1)
    call_synchronize()

    assert aside() == place(currency, price)
    Currency.objects.using(REMOTE).all().delete()
    call_synchronize(retry=True)
    assert_same_rows()
