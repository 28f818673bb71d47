"""Whatever people do in whatever order, both sides end up with the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeAlias

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Model
from django.db.models.signals import post_save
from django.test.utils import override_settings
from hypothesis import given
from hypothesis import strategies as st

from synchro.core import call_synchronize
from tests.replay.compare import assert_same_rows, differences
from tests.replay.deployments import BY_TRIGGERS, other_side
from tests.replay.hypothesis_settings import modest
from tests.shop.models import (
    Album,
    Artist,
    Book,
    Category,
    Comment,
    Country,
    Customer,
    Holding,
    Membership,
    Order,
    Parcel,
    Pizzeria,
    Place,
    Profile,
    Publisher,
    Seat,
)

pytestmark = pytest.mark.django_db(databases=["default", "remote"])

Step: TypeAlias = tuple[str, int, int]

OPERATIONS: dict[str, Callable[[int, int], Any]] = {}


def operation(function: Callable[[int, int], Any]) -> Callable[[int, int], Any]:
    OPERATIONS[function.__name__] = function
    return function


def some(model: type[Model], number: int) -> Any:
    """One of the rows that there are, or None."""
    rows = list(model._base_manager.order_by("pk"))
    return rows[number % len(rows)] if rows else None


def change(row: Any, **values: Any) -> None:
    if row is not None:
        for name, value in values.items():
            setattr(row, name, value)
        row.save()


def delete(row: Any) -> None:
    if row is not None:
        row.delete()


@operation
def add_customer(a: int, b: int) -> None:
    Customer.objects.create(name=f"Customer {a}", cash=b)


@operation
def change_customer(a: int, b: int) -> None:
    change(some(Customer, a), cash=b)


@operation
def delete_customer(a: int, b: int) -> None:
    """
    With its comments: one that points nowhere says nothing to the other side. Nor do signals say whose foreign keys
    the deletion empties (docs/limits.md).
    """
    if customer := some(Customer, a):
        if not BY_TRIGGERS:
            for parcel in Parcel.objects.filter(receiver=customer):
                change(parcel, receiver=None)
            for pizzeria in Pizzeria.objects.filter(owner=customer):
                change(pizzeria, owner=None)
        kind = ContentType.objects.get_for_model(Customer)
        for comment in Comment.objects.filter(content_type=kind, object_id=customer.pk):
            comment.delete()
        delete(customer)


@operation
def add_order(a: int, b: int) -> None:
    if customer := some(Customer, a):
        Order.objects.create(customer=customer, note=f"{b}")
        Comment.objects.create(target=customer, text=f"{b}")
        Parcel.objects.create(receiver=customer, weight=b)


@operation
def pass_order_on(a: int, b: int) -> None:
    if customer := some(Customer, b):
        change(some(Order, a), customer=customer)


@operation
def delete_order(a: int, b: int) -> None:
    delete(some(Order, a))


@operation
def add_category(a: int, b: int) -> None:
    Category.objects.create(name=f"{a}", parent=some(Category, b) if b % 2 else None)


@operation
def move_category(a: int, b: int) -> None:
    change(some(Category, a), parent=some(Category, b))


@operation
def delete_category(a: int, b: int) -> None:
    delete(some(Category, a))


@operation
def add_album(a: int, b: int) -> None:
    Album.objects.create(name=f"{a}").artists.add(Artist.objects.create(name=f"{b}"))


@operation
def change_artists(a: int, b: int) -> None:
    if album := some(Album, a):
        album.artists.set(list(Artist.objects.order_by("pk"))[b : b + 3])


@operation
def delete_artist(a: int, b: int) -> None:
    delete(some(Artist, a))


@operation
def befriend(a: int, b: int) -> None:
    if (one := some(Artist, a)) and one != (other := some(Artist, b)):
        one.friends.remove(other) if other in one.friends.all() else one.friends.add(other)


@operation
def save_country(a: int, b: int) -> None:
    Country(code=f"{a}", name=f"{b}").save()


@operation
def delete_country(a: int, b: int) -> None:
    delete(some(Country, a))


@operation
def add_book(a: int, b: int) -> None:
    publisher, _ = Publisher.objects.get_or_create(name=f"{a % 3}")
    Book.objects.get_or_create(publisher=publisher, title=f"{b % 3}")


@operation
def change_book(a: int, b: int) -> None:
    change(some(Book, a), pages=b)


@operation
def delete_publisher(a: int, b: int) -> None:
    delete(some(Publisher, a))


@operation
def add_pizzeria(a: int, b: int) -> None:
    Pizzeria.objects.create(name=f"{a}", ovens=b, owner=some(Customer, a))


@operation
def change_pizzeria(a: int, b: int) -> None:
    change(some(Pizzeria, a), name=f"changed {b}", seats=b)


@operation
def delete_pizzeria(a: int, b: int) -> None:
    delete(some(Pizzeria, a))


@operation
def change_place(a: int, b: int) -> None:
    """Of an object of three tables only the first."""
    change(some(Place, a), name=f"place {b}")


@operation
def make_publisher_again(a: int, b: int) -> None:
    if publisher := some(Publisher, a):
        name = publisher.name
        publisher.delete()
        Book.objects.create(publisher=Publisher.objects.create(name=name, city=f"{b}"), title=f"{b % 3}")


@operation
def add_holding(a: int, b: int) -> None:
    """A row whose key names another row."""
    if customer := some(Customer, a):
        Holding.objects.get_or_create(customer=customer, article=f"{b % 3}")


ONE_SIDE_ONLY = {}


def one_side_only(function: Callable[[int, int], Any]) -> Callable[[int, int], Any]:
    """Values that must be unique: two sides may each give the same one to a row of their own."""
    ONE_SIDE_ONLY[function.__name__] = function
    return function


@one_side_only
def add_seat(a: int, b: int) -> None:
    if not Seat.objects.filter(number=a).exists():
        Seat.objects.create(number=a, row=f"{b}", guest=f"{a}")


@one_side_only
def swap_seats(a: int, b: int) -> None:
    one, other = some(Seat, a), some(Seat, b)
    if one and one != other:
        first, second = one.number, other.number
        change(one, number=1000)
        change(other, number=first)
        change(one, number=second)


@one_side_only
def delete_seat(a: int, b: int) -> None:
    delete(some(Seat, a))


@one_side_only
def change_profile(a: int, b: int) -> None:
    customer = some(Customer, a)
    if customer and not Profile.objects.filter(customer=customer).exists():
        Profile.objects.create(customer=customer, text=f"{b}")
    elif customer:
        change(Profile.objects.get(customer=customer), text=f"{b}")


@contextmanager
def rolled_back() -> Iterator[None]:
    with transaction.atomic(using="default"), transaction.atomic(using="remote"):
        ContentType.objects.clear_cache()
        yield
        transaction.set_rollback(True, using="remote")
        transaction.set_rollback(True, using="default")


@contextmanager
def somebody_listens() -> Iterator[None]:
    def listen(**kwargs: Any) -> None:
        """Makes the replayer write object by object."""

    post_save.connect(listen)
    try:
        with override_settings(SYNCHRO_RECEIVERS="all"):
            yield
    finally:
        post_save.disconnect(listen)


def steps(names: list[str]) -> st.SearchStrategy[list[Step]]:
    number = st.integers(0, 7)
    return st.lists(st.tuples(st.sampled_from(names), number, number), min_size=1, max_size=30)


@pytest.mark.parametrize("way", ["in groups", "object by object"])
@pytest.mark.parametrize("batch_size", [7, 5000])
@modest
@given(steps([*OPERATIONS, *ONE_SIDE_ONLY, "synchronize", "synchronize "]))
def test_any_history_of_one_side_arrives(way: str, batch_size: int, history: list[Step]) -> None:
    known = OPERATIONS | ONE_SIDE_ONLY
    with (
        override_settings(SYNCHRO_BATCH_SIZE=batch_size),
        rolled_back(),
        somebody_listens() if way == "object by object" else nullcontext(),
    ):
        for name, a, b in history:
            known[name](a, b) if name in known else call_synchronize()
        call_synchronize()

        assert_same_rows()
        assert call_synchronize().entries == 0


@modest
@given(st.lists(st.tuples(st.booleans(), steps([*OPERATIONS, "synchronize"])), max_size=6))
def test_any_histories_of_two_sides_meet(histories: list[tuple[bool, list[Step]]]) -> None:
    with rolled_back():
        for here, history in histories:
            with nullcontext() if here else other_side():
                for name, a, b in history:
                    OPERATIONS[name](a, b) if name in OPERATIONS else call_synchronize()
        run_until_quiet()

        assert_same_rows()
        with other_side():
            assert_same_rows()


def run_until_quiet(first_here: bool = True) -> None:
    sides = (nullcontext, other_side) if first_here else (other_side, nullcontext)
    for _ in range(6):
        entries = 0
        for side in sides:
            with side():
                entries += call_synchronize().entries
        if not entries:
            return
    pytest.fail("the two sides never come to rest: " + "; ".join(differences([Customer, Membership])))


#: Those of which both sides can give account in the same words, whatever keys they have.
ALIKE = [
    "add_customer", "change_customer", "delete_customer", "add_order", "pass_order_on", "delete_order",
    "add_category", "move_category", "delete_category", "change_artists", "delete_artist", "add_album",
    "save_country", "delete_country", "add_pizzeria", "change_pizzeria", "delete_pizzeria", "change_place",
]  # fmt: skip


def account() -> dict[str, list[Any]]:
    """What there is on LOCAL."""
    found = {
        "customers": Customer.objects.values_list("name", "cash"),
        "orders": Order.objects.values_list("customer__name", "customer__cash", "note"),
        "parcels": Parcel.objects.values_list("receiver__name", "receiver__cash", "weight"),
        "categories": Category.objects.values_list("name", "parent__name"),
        "sets": Album.objects.values_list("name", "artists__name"),
        "artists": Artist.objects.values_list("name"),
        "countries": Country.objects.values_list("code", "name"),
        "places": Place.objects.values_list("name", "restaurant__seats", "restaurant__pizzeria__ovens"),
    }
    return {name: sorted(map(str, rows)) for name, rows in found.items()}


@modest
@given(steps(ALIKE), st.lists(st.tuples(st.booleans(), steps(ALIKE)), min_size=1, max_size=4))
def test_it_makes_no_difference_which_side_runs_first(
    before: list[Step], histories: list[tuple[bool, list[Step]]]
) -> None:
    found = []
    for first_here in (True, False):
        with rolled_back():
            for name, a, b in before:
                OPERATIONS[name](a, b)
            run_until_quiet()
            for here, history in histories:
                with nullcontext() if here else other_side():
                    for name, a, b in history:
                        OPERATIONS[name](a, b)
            run_until_quiet(first_here)

            assert_same_rows()
            found.append(account())
    assert found[0] == found[1]
