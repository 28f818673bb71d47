"""Several nodes, however they are connected: all end equal, with the newest values, and each row once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.db.models import F
from django.test import override_settings

from synchro.core import DisableSynchroLog, call_synchronize
from synchro.models import ChangeLog, Conflict
from tests.replay.deployments import BY_TRIGGERS, set_capture
from tests.replay.network import A, B, C, D, at, meet, more_databases, send, settle
from tests.shop.models import Album, Artist, Country, Customer, Order, Seat

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

#: One hub and two offices, and three of which each sends to both others.
HUB = ((B, A), (C, A), (A, B), (A, C))
MESH = tuple((one, other) for one in (A, B, C) for other in (A, B, C) if one != other)


@pytest.fixture(scope="module", autouse=True)
def more_nodes(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    with more_databases(django_db_blocker, tmp_path_factory.mktemp("nodes"), C, D):
        yield


def names(node: str) -> list[str]:
    return sorted(Customer.objects.using(node).values_list("name", flat=True))


def rename(node: str, old: str, new: str) -> None:
    with at(node):
        customer = Customer.objects.get(name=old)
        customer.name = new
        customer.save(update_fields=["name"])


def name(node: str, text: str) -> None:
    """Give the only country this name."""
    with at(node):
        country = Country.objects.get()
        country.name = text
        country.save()


def conflicts(*nodes: str) -> int:
    return sum(Conflict.objects.using(node).count() for node in nodes)


def test_older_change_of_one_office_does_not_beat_the_newer_one_of_another() -> None:
    meet(HUB)
    with at(B):
        Country.objects.create(code="am", name="")
    send(B, A)
    send(C, A)
    send(A, B, C)
    name(B, "older")
    name(C, "newer")
    send(C, A)
    send(B, A)

    assert Country.objects.using(A).get().name == "newer"
    assert Conflict.objects.using(B).get().decision == "remote"
    settle(HUB)
    assert {Country.objects.using(node).get().name for node in (A, B, C)} == {"newer"}


def test_what_one_office_sends_to_the_hub_reaches_the_other() -> None:
    meet(HUB)
    with at(B):
        customer = Customer.objects.create(name="Vimes", cash=1)
        Order.objects.create(customer=customer, note="boots")
    settle(HUB)

    assert names(A) == names(C) == ["Vimes"]
    assert Order.objects.using(C).get().customer.name == "Vimes"
    with at(C):
        Customer.objects.all().delete()
    settle(HUB)
    assert names(A) == names(B) == []
    assert not conflicts(A, B, C)


def test_row_that_one_node_makes_and_another_changes_comes_to_a_third_once() -> None:
    meet(MESH)
    with at(A):
        Customer.objects.create(name="Vimes")
    for node in (B, C):  # so that keys differ
        with at(node):
            Customer.objects.create(name=node)
    send(A, B)
    rename(B, "Vimes", "Sir Samuel")
    send(B, C)
    send(A, C)
    send(C, A)

    settle(MESH)

    assert names(A) == names(B) == names(C) == ["Sir Samuel", "branch", "remote"]
    assert not conflicts(A, B, C)


def test_change_stops_where_it_has_been() -> None:
    edges = [(A, B), (B, C), (C, D), (D, A), (B, A), (C, B), (D, C), (A, D)]
    meet(edges)
    with at(A):
        Country.objects.create(code="am", name="Ankh-Morpork")

    assert settle(edges) <= 4
    assert {ChangeLog.objects.using(node).filter(object_id="am").count() for node in (A, B, C, D)} == {1}


def test_node_that_sends_nowhere_keeps_what_it_receives_no_longer_than_the_retention() -> None:
    edges = ((B, A), (C, A))
    meet(edges)
    for node in (B, C):
        with at(node):
            Customer.objects.create(name=node)
        send(node, A)
    assert ChangeLog.objects.using(A).count() == 2
    with override_settings(SYNCHRO_RETENTION=timedelta(0)):
        send(B, A)
    assert not ChangeLog.objects.using(A).exists()

    rename(B, "remote", "north")
    rename(C, "branch", "south")
    settle(edges)

    assert names(A) == ["north", "south"]
    assert not conflicts(B, C)


def test_clock_that_is_behind_does_not_make_a_later_change_the_older_one() -> None:
    meet(MESH)
    with at(A):
        Country.objects.create(code="am", name="")
    settle(MESH)
    name(A, "first")
    ChangeLog.objects.using(A).filter(origin=None).update(date=F("date") + timedelta(seconds=30))
    send(A, B)
    name(B, "second, by a clock that is behind")
    name(C, "at the same time")
    settle(((C, A), (C, B), *MESH))

    names = {Country.objects.using(node).get().name for node in (A, B, C)}
    assert names == {"second, by a clock that is behind"}


def test_what_was_set_aside_is_passed_on_when_it_arrives(settings: Any) -> None:
    settings.SYNCHRO_ON_ERROR = "quarantine"
    meet(HUB)
    with DisableSynchroLog():
        obstacle = Seat.objects.create(number=7)
    with at(B):
        Seat.objects.create(number=7, guest="Vimes")
    settle(HUB)
    assert not Seat.objects.using(C).exists()
    with DisableSynchroLog():
        obstacle.delete()
    with at(B):
        call_synchronize(remote=B, retry=True)
    settle(HUB)

    assert [Seat.objects.using(node).get().guest for node in (A, C)] == ["Vimes", "Vimes"]


def test_what_was_set_aside_is_passed_on_column_by_column(settings: Any) -> None:
    settings.SYNCHRO_ON_ERROR = "quarantine"
    meet(HUB)
    with at(A):
        Seat.objects.create(number=1)
    settle(HUB)
    with DisableSynchroLog():
        obstacle = Seat.objects.create(number=7)
    with at(C):
        seat = Seat.objects.get()
        seat.guest = "Carrot"
        seat.save(update_fields=["guest"])
    with at(B):
        seat = Seat.objects.get()
        seat.number = 7
        seat.save(update_fields=["number"])
    send(B, A)
    with DisableSynchroLog():
        obstacle.delete()
    with at(B):
        call_synchronize(remote=B, retry=True)
    send(A, C)
    settle(HUB)

    for node in (A, B, C):
        assert [(seat.number, seat.guest) for seat in Seat.objects.using(node).all()] == [(7, "Carrot")]
    assert not conflicts(A, B, C)


def test_what_was_set_aside_is_passed_on_with_a_later_change_too(settings: Any) -> None:
    settings.SYNCHRO_ON_ERROR = "quarantine"
    meet(HUB)
    with at(A):
        Seat.objects.create(number=1)
    settle(HUB)
    with DisableSynchroLog():
        obstacle = Seat.objects.create(number=7)
    with at(B):
        seat = Seat.objects.get()
        seat.number = 7
        seat.save(update_fields=["number"])
    send(B, A)
    with DisableSynchroLog():
        obstacle.delete()
    with at(B):
        seat.guest = "Vimes"
        seat.save(update_fields=["guest"])
        call_synchronize(remote=B, retry=True)
    settle(HUB)

    for node in (A, B, C):
        assert [(seat.number, seat.guest) for seat in Seat.objects.using(node).all()] == [(7, "Vimes")]


def test_members_of_an_object_whose_columns_are_set_aside_travel_on(settings: Any) -> None:
    settings.SYNCHRO_ON_ERROR = "quarantine"
    edges = ((A, C), (C, A), (C, B), (B, C))
    meet(edges)
    with at(A):
        Album.objects.create(name="album")
        Artist.objects.create(name="one")
    settle(edges)
    with DisableSynchroLog():
        obstacle = Album.objects.using(C).create(name="Blue")
    with connections[C].cursor() as cursor:
        cursor.execute("CREATE UNIQUE INDEX one_name ON shop_album (name)")
    if BY_TRIGGERS:  # which follow the indexes
        set_capture(C, "triggers")
    try:
        with at(A):
            album = Album.objects.get()
            album.name = "Blue"
            album.save()
            album.artists.add(Artist.objects.get())
        settle(edges)
    finally:
        with connections[C].schema_editor() as editor:
            editor.execute(editor.sql_delete_index % {"name": "one_name", "table": "shop_album"})
        if BY_TRIGGERS:
            set_capture(C, "triggers")
        with DisableSynchroLog():
            obstacle.delete()
    with at(A), override_settings(SYNCHRO_REMOTE=C):
        call_synchronize(retry=True)
    settle(edges)

    for node in (A, B, C):
        album = Album.objects.using(node).get()
        assert (album.name, [artist.name for artist in album.artists.all()]) == ("Blue", ["one"])


def test_members_of_sets_travel_on() -> None:
    meet(HUB)
    with at(A):
        album = Album.objects.create(name="album")
        album.artists.add(Artist.objects.create(name="one"))
    settle(HUB)
    with at(B):
        Album.objects.get().artists.add(Artist.objects.create(name="two"))
    with at(C):
        Album.objects.get().artists.remove(Artist.objects.get(name="one"))
    settle(HUB)

    for node in (A, B, C):
        assert [artist.name for artist in Album.objects.using(node).get().artists.all()] == ["two"]
    assert not conflicts(A, B, C)
