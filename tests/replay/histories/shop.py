"""What people do in a shop: each operation takes two numbers, from which it chooses rows and values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from hypothesis import strategies as st

from tests.replay.deployments import BY_TRIGGERS
from tests.shop.models import (
    Album,
    Artist,
    Book,
    Category,
    Comment,
    Country,
    Customer,
    Holding,
    Order,
    Parcel,
    Pizzeria,
    Place,
    Profile,
    Publisher,
    Seat,
)

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


def steps(names: list[str]) -> st.SearchStrategy[list[Step]]:
    number = st.integers(0, 7)
    return st.lists(st.tuples(st.sampled_from(names), number, number), min_size=1, max_size=30)
