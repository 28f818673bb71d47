"""What ``loaddata`` loads is captured and replayed like everything else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.core.management import call_command

from synchro.core import call_synchronize
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import create_on_remote, remote, remote_count
from tests.shop.models import Album, Artist, Book, Customer, Order, Place, Publisher, Restaurant

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


def load(folder: Path, *objects: dict[str, object]) -> None:
    path = folder / "fixture.json"
    path.write_text(json.dumps(objects))
    call_command("loaddata", str(path), verbosity=0)


def test_rows_with_given_automatic_keys_are_new_rows_on_remote(tmp_path: Path) -> None:
    create_on_remote(Customer, pk=501, name="REMOTE's own")
    load(
        tmp_path,
        {"model": "shop.order", "pk": 7, "fields": {"customer": 501, "note": "before its customer"}},
        {"model": "shop.customer", "pk": 501, "fields": {"name": "Vimes", "cash": 1}},
    )

    call_synchronize()

    assert remote_count(Customer) == 2
    assert remote(Order).customer.name == "Vimes"
    assert Order.objects.get().customer_id == 501


def test_sets_of_a_fixture_arrive(tmp_path: Path) -> None:
    load(
        tmp_path,
        {"model": "shop.artist", "pk": 1, "fields": {"name": "Joni", "friends": [2], "follows": []}},
        {"model": "shop.artist", "pk": 2, "fields": {"name": "James", "friends": [1], "follows": [1]}},
        {
            "model": "shop.album",
            "pk": 1,
            "fields": {"name": "Blue", "artists": [1, 2], "countries": [], "labels": []},
        },
    )

    call_synchronize()

    assert {one.name for one in remote(Album).artists.all()} == {"Joni", "James"}
    assert [one.name for one in remote(Artist, name="Joni").friends.all()] == ["James"]
    assert_same_rows()


def test_rows_without_keys_are_found_by_their_natural_keys(tmp_path: Path) -> None:
    create_on_remote(Publisher, name="Gollancz", city="Oxford")
    load(
        tmp_path,
        {"model": "shop.publisher", "fields": {"name": "Gollancz", "city": "London"}},
        {"model": "shop.book", "fields": {"publisher": ["Gollancz"], "title": "Sourcery"}},
    )

    call_synchronize()

    assert remote(Publisher).city == "London"
    assert remote(Book).title == "Sourcery"
    assert_same_rows()


def test_tables_of_an_object_that_a_fixture_lists_one_by_one_arrive(tmp_path: Path) -> None:
    load(
        tmp_path,
        {"model": "shop.place", "pk": 3, "fields": {"name": "Mario"}},
        {"model": "shop.restaurant", "pk": 3, "fields": {"seats": 20}},
    )

    call_synchronize()

    assert (remote(Restaurant).name, remote(Restaurant).seats) == ("Mario", 20)
    assert remote_count(Place) == 1
    assert_same_rows()
