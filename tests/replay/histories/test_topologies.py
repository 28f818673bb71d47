"""Whatever people do on up to four nodes, however these are connected, all end equal, with the newest values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
from django.db import connections
from django.db.models import Model
from django.db.models.signals import pre_save
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from synchro.models import ChangeLog
from tests.flush import flush
from tests.replay.deployments import LOCAL
from tests.replay.hypothesis_settings import sparing
from tests.replay.network import A, B, C, D, at, meet, more_databases, send, settle
from tests.replay.refusals import Refusal
from tests.shop.models import Album, Artist, Country, Customer, Order, Publisher, Warehouse

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

Edges: TypeAlias = tuple[tuple[str, str], ...]


def both_ways(*edges: tuple[str, str]) -> Edges:
    return tuple(edge for one, other in edges for edge in ((one, other), (other, one)))


#: Nodes from each of which there is a way to each other one.
TOPOLOGIES: dict[str, Edges] = {
    "hub": both_ways((A, B), (A, C), (A, D)),
    "chain": both_ways((A, B), (B, C), (C, D)),
    "ring": both_ways((A, B), (B, C), (C, D), (D, A)),
    "ring one way": ((A, B), (B, C), (C, D), (D, A)),
    "mesh": both_ways((A, B), (B, C), (C, A)),
    "mesh of four": both_ways((A, B), (A, C), (A, D), (B, C), (B, D), (C, D)),
    "hub and circle": ((A, B), (B, A), (B, C), (C, D), (D, B)),
}

#: What was done last, by what it was done to; None for what was deleted.
Newest: TypeAlias = dict[Any, Any]
Operation: TypeAlias = Callable[[Newest, str, int], None]
OPERATIONS: dict[str, Operation] = {}


def operation(function: Operation) -> Operation:
    OPERATIONS[function.__name__] = function
    return function


@pytest.fixture(scope="module", autouse=True)
def more_nodes(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    with more_databases(django_db_blocker, tmp_path_factory.mktemp("nodes"), C, D):
        yield


def some(model: type[Model], number: int) -> Any:
    """One of the rows that there are, or None."""
    rows = list(model._base_manager.order_by("pk"))
    return rows[number % len(rows)] if rows else None


def set_last(newest: Newest, what: Any, value: Any) -> None:
    if newest.get(what, ...) is not None:
        newest[what] = value


@operation
def add_country(newest: Newest, tag: str, number: int) -> None:
    code = f"c{number % 3}"
    if not Country.objects.filter(code=code).exists():
        Country.objects.create(code=code, name=tag)
        set_last(newest, (Country, code), tag)


@operation
def change_country(newest: Newest, tag: str, number: int) -> None:
    if country := some(Country, number):
        country.name = tag
        country.save()
        set_last(newest, (Country, country.code), tag)


@operation
def delete_country(newest: Newest, tag: str, number: int) -> None:
    if country := some(Country, number):
        newest[Country, country.code] = None
        country.delete()


@operation
def add_customer(newest: Newest, tag: str, number: int) -> None:
    Customer.objects.create(name=tag, cash=number)
    set_last(newest, (Customer, tag), number)


@operation
def change_customer(newest: Newest, tag: str, number: int) -> None:
    if customer := some(Customer, number):
        customer.cash = newest["cash"] = newest.get("cash", 1000) + 1
        customer.save(update_fields=["cash"])
        set_last(newest, (Customer, customer.name), customer.cash)


@operation
def delete_customer(newest: Newest, tag: str, number: int) -> None:
    if customer := some(Customer, number):
        newest[Customer, customer.name] = None
        for order in customer.order_set.all():
            newest[Order, order.note] = None
        newest["deleted"] = True
        customer.delete()


@operation
def add_order(newest: Newest, tag: str, number: int) -> None:
    if customer := some(Customer, number):
        Order.objects.create(customer=customer, note=tag)
        set_last(newest, (Order, tag), customer.name)


@operation
def pass_order_on(newest: Newest, tag: str, number: int) -> None:
    order, customer = some(Order, number // 4), some(Customer, number)
    if order:
        order.customer = customer
        order.save()
        set_last(newest, (Order, order.note), customer.name)


@operation
def delete_order(newest: Newest, tag: str, number: int) -> None:
    if order := some(Order, number):
        newest[Order, order.note] = None
        order.delete()


@operation
def add_album(newest: Newest, tag: str, number: int) -> None:
    Album.objects.create(name=f"album {tag}")
    Artist.objects.create(name=f"artist {tag}")


@operation
def add_artist(newest: Newest, tag: str, number: int) -> None:
    album, artist = some(Album, number), some(Artist, number // 4)
    if album and not album.artists.contains(artist):
        album.artists.add(artist)
        newest[Album, album.name, artist.name] = True


@operation
def remove_artist(newest: Newest, tag: str, number: int) -> None:
    album = some(Album, number)
    artist = album.artists.first() if album else None
    if artist:
        album.artists.remove(artist)
        newest[Album, album.name, artist.name] = False


@operation
def add_publisher(newest: Newest, tag: str, number: int) -> None:
    name = f"p{number % 2}"
    if not Publisher.objects.filter(name=name).exists():
        Publisher.objects.create(name=name, city=tag)
        newest[Publisher, name] = tag


@operation
def change_publisher(newest: Newest, tag: str, number: int) -> None:
    if publisher := some(Publisher, number):
        publisher.city = tag
        publisher.save()
        newest[Publisher, publisher.name] = tag


@operation
def change_warehouse(newest: Newest, tag: str, number: int) -> None:
    """Its keys are the same everywhere, so only one node makes some."""
    if warehouse := some(Warehouse, number):
        warehouse.name = tag
        warehouse.save()
        newest[Warehouse, warehouse.pk] = tag


def state(node: str) -> list[Any]:
    """All that a node has, in words that mean the same on all nodes."""
    rows: list[Any] = []
    rows += [(Country, *row) for row in Country.objects.using(node).values_list("code", "name")]
    rows += [(Customer, *row) for row in Customer.objects.using(node).values_list("name", "cash")]
    rows += [(Order, *row) for row in Order.objects.using(node).values_list("note", "customer__name")]
    rows += [(Artist, *row) for row in Artist.objects.using(node).values_list("name")]
    rows += [(Album, *row) for row in Album.objects.using(node).values_list("name", "artists__name")]
    rows += [(Publisher, *row) for row in Publisher.objects.using(node).values_list("name", "city")]
    rows += [(Warehouse, *row) for row in Warehouse.objects.using(node).values_list("pk", "name")]
    return sorted(rows, key=lambda row: (row[0].__name__, *map(str, row[1:])))


def missing(newest: Newest, rows: list[Any]) -> list[Any]:
    """What was done last and is not to be seen, but for what a deletion may have taken along."""
    found = []
    for what, value in newest.items():
        if isinstance(what, tuple) and value is not None:
            row = what if value is True or value is False else (*what, value)
            if (row in rows) != (value is not False) and not (what[0] is Order and "deleted" in newest):
                found.append(row)
    return found


#: What all nodes have at first, twice.
BEGINNING = ("add_country", "add_customer", "add_order", "add_album", "add_artist", "add_publisher")

STEPS = st.lists(
    st.tuples(
        st.one_of(
            st.just("send"),
            st.sampled_from(sorted(OPERATIONS)),
            st.sampled_from(["refuse", "correct", "prune"]),
        ),
        st.integers(0, 11),
        st.integers(0, 15),
    ),
    min_size=4,
    max_size=24,
)


class Refused:
    """What a receiver does not let any REMOTE have, as long as nobody corrects it."""

    MODELS: tuple[type[Model], ...] = (Country, Customer, Order)

    def __init__(self) -> None:
        self._rows: set[tuple[type[Model], object]] = set()

    def refuse(self, number: int) -> None:
        """From now on, also the next change of a row that there is."""
        model = self.MODELS[number % len(self.MODELS)]
        if row := some(model, number // len(self.MODELS)):
            self._rows.add((model, self._name(row)))

    def correct(self) -> None:
        self._rows.clear()

    @contextmanager
    def listening(self) -> Iterator[None]:
        def receive(instance: Any, using: str, **kwargs: Any) -> None:
            if using != LOCAL and (type(instance), self._name(instance)) in self._rows:
                raise Refusal(f"{instance} is not to come yet")

        for model in self.MODELS:
            pre_save.connect(receive, sender=model)
        try:
            with override_settings(SYNCHRO_RECEIVERS="all", SYNCHRO_ON_ERROR="quarantine"):
                yield
        finally:
            for model in self.MODELS:
                pre_save.disconnect(receive, sender=model)

    @staticmethod
    def _name(row: Any) -> object:
        return row.code if isinstance(row, Country) else row.name if isinstance(row, Customer) else row.note


def prune(edges: Edges) -> None:
    """Drop what all nodes have: the retention is longer than any of them stays away."""
    settle(edges, rounds=12)
    with override_settings(SYNCHRO_RETENTION=timedelta(0)):
        for edge in edges:
            send(*edge)


#: How far the clocks of the nodes are off, in seconds.
SKEWED = {A: 0, B: -20, C: 20, D: 7}


def skew(node: str, seconds: int) -> None:
    """Have what was captured here last have the time of such a clock."""
    log = ChangeLog.objects.using(node).filter(origin=None, natural_key=None)
    for entry in log.filter(id__gt=_shifted.get(node, 0)):
        log.filter(pk=entry.pk).update(date=entry.date + timedelta(seconds=seconds))
        _shifted[node] = entry.pk


_shifted: dict[str, int] = {}


@pytest.mark.parametrize("topology", TOPOLOGIES)
@given(
    data=st.data(),
    batch_size=st.sampled_from([1, 3, 1000]),
    is_skewed=st.booleans(),
    is_refusing=st.booleans(),
)
@sparing
def test_all_nodes_end_equal(
    topology: str,
    data: st.DataObject,
    batch_size: int,
    is_skewed: bool,
    is_refusing: bool,
    settings: Any,
) -> None:
    settings.SYNCHRO_BATCH_SIZE = batch_size
    edges = TOPOLOGIES[topology]
    _shifted.clear()
    for alias in (A, B, C, D):
        flush(alias)
    meet(edges)
    newest: Newest = {}
    with at(A):
        for number in range(2):
            newest[Warehouse, Warehouse.objects.create(name=f"{number}").pk] = f"{number}"
            for name in BEGINNING:
                OPERATIONS[name](newest, f"{name} {number}", number)
    settle(edges)
    refused = Refused()
    with refused.listening() if is_refusing else nullcontext():
        live(edges, data.draw(STEPS), newest, refused, is_skewed)
        refused.correct()
        settle(edges, rounds=12, retry=is_refusing)
    assert_equal(edges, newest, is_skewed)


def live(
    edges: Edges, steps: list[tuple[str, int, int]], newest: Newest, refused: Refused, is_skewed: bool
) -> None:
    nodes = nodes_of(edges)
    for number, (name, place, detail) in enumerate(steps):
        node = nodes[place % len(nodes)]
        if name == "send":
            send(*edges[place % len(edges)], atomic=detail % 4 == 3, retry=detail % 4 == 2)
        elif name == "prune":
            prune(edges)
        elif name == "correct":
            refused.correct()
        elif name == "refuse":
            with at(node):
                refused.refuse(detail)
        else:
            with at(node):
                OPERATIONS[name](newest, f"{number}", detail)
            if is_skewed:
                skew(node, SKEWED[node])


def assert_equal(edges: Edges, newest: Newest, is_skewed: bool) -> None:
    nodes = nodes_of(edges)
    states = {node: state(node) for node in nodes}
    for node in nodes[1:]:
        assert states[node] == states[nodes[0]], node
    if not is_skewed:
        assert missing(newest, states[nodes[0]]) == []
    assert not any(connections[node].in_atomic_block for node in nodes)


def nodes_of(edges: Edges) -> list[str]:
    return list(dict.fromkeys(node for edge in edges for node in edge))
