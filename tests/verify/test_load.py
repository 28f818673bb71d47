"""Load: rows that nobody captured come to REMOTE, and nothing of REMOTE's own is overwritten."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connections

from synchro.core import call_synchronize
from synchro.load import load
from synchro.models import ChangeLog, Conflict
from synchro.verify import verify
from tests.replay import processes
from tests.replay.deployments import (
    BY_TRIGGERS,
    REMOTE,
    create_on_remote,
    other_side,
    remote_count,
    unlogged,
)
from tests.shop.models import (
    Album,
    Artist,
    Category,
    Comment,
    Country,
    Customer,
    Department,
    Employee,
    Measurement,
    Order,
    Pizzeria,
    Seat,
    Shelf,
    Warehouse,
)

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)


def rows_that_nobody_captured() -> None:
    with unlogged(REMOTE):
        create_on_remote(Artist, name="REMOTE's own")
        create_on_remote(Customer, name="REMOTE's own")
    with unlogged("default"):
        for number in range(7):
            customer = Customer.objects.create(name=f"customer {number}", cash=number)
            Order.objects.create(customer=customer, note="boots")
            Comment.objects.create(target=customer, text=str(number))
            Country.objects.create(code=f"c{number}", name="land")
            Warehouse.objects.create(name=f"house {number}")
            Shelf.objects.create(aisle=number, letter="a")
        parent = None
        for number in range(5):
            parent = Category.objects.create(name=f"{number}", parent=parent)
        department = Department.objects.create(name="watch")
        department.head = Employee.objects.create(name="Vimes", department=department)
        department.save()
        Pizzeria.objects.create(name="Ron's", seats=3, ovens=2)
        one, other = Artist.objects.create(name="Buddy"), Artist.objects.create(name="Lias")
        one.friends.add(other)
        album = Album.objects.create(name="Rocks")
        album.artists.set([one, other])
        Measurement.objects.create(moment=datetime(2020, 2, 29, 12, 0, 0, 5, UTC))
    ChangeLog.objects.all().delete()


def left() -> dict[str, list[str]]:
    """What differs, but for rows of REMOTE's own."""
    found = {
        result.model.__name__: [d.kind for d in result.differences if d.key is not None]
        for result in verify("remote")
    }
    return {name: kinds for name, kinds in found.items() if kinds}


@pytest.mark.parametrize("size", [3, 20_000])
def test_rows_come_to_remote_with_all_that_belongs_to_them(size: int, settings: Any) -> None:
    settings.SYNCHRO_BATCH_SIZE = size
    rows_that_nobody_captured()

    done = {each.model: each for each in load("remote")}

    assert left() == {}
    # Some have come along with what points at them.
    assert (done[Customer].rows, done[Customer].sent + done[Customer].equal, done[Customer].left) == (7, 7, 0)
    assert sum(each.sent for each in done.values()) > 20
    assert remote_count(Customer) == 8
    again = load("remote")
    assert sum(each.sent for each in again) == 0
    assert all(each.equal == each.rows for each in again)
    assert Department.objects.using(REMOTE).get().head.name == "Vimes"  # type: ignore[union-attr]


def test_dry_run_writes_nothing() -> None:
    rows_that_nobody_captured()

    done = {each.model: each for each in load("remote", dry_run=True)}

    assert (done[Customer].rows, done[Customer].sent) == (7, 7)
    assert remote_count(Customer) == 1
    assert not ChangeLog.objects.exists()


def test_new_rows_get_keys_beyond_those_that_were_loaded() -> None:
    rows_that_nobody_captured()
    load("remote")

    with unlogged(REMOTE):
        new = create_on_remote(Warehouse, name="new")

    assert new.pk > max(Warehouse.objects.values_list("pk", flat=True))


def test_what_remote_changed_itself_wins_and_is_on_record() -> None:
    if not BY_TRIGGERS:
        pytest.skip("by signals REMOTE's deployment captures, not this process")
    with unlogged("default"), unlogged(REMOTE):
        for code in ("xx", "yy"):
            Country.objects.create(code=code, name="LOCAL's")
            create_on_remote(Country, code=code, name="old")
    ChangeLog.objects.all().delete()
    Country.objects.using(REMOTE).filter(code="yy").delete()
    Country.objects.using(REMOTE).update(name="REMOTE's")

    (done,) = [each for each in load("remote", [Country]) if each.model is Country]

    assert (done.kept, done.left) == (2, 0)
    assert Country.objects.using(REMOTE).get().name == "REMOTE's"
    assert {each.decision for each in Conflict.objects.all()} == {Conflict.REMOTE}
    assert Conflict.objects.count() == 2


def test_set_that_remote_changed_itself_stays_and_is_on_record() -> None:
    one, other = Artist.objects.create(name="Buddy"), Artist.objects.create(name="Lias")
    album = Album.objects.create(name="Rocks")
    album.artists.set([one, other])
    one.friends.add(other)
    call_synchronize()
    with other_side():
        Album.objects.get().artists.clear()
        Artist.objects.get(name="Lias").friends.clear()

    done = {each.model: each for each in load("remote")}

    assert (done[Album.artists.through].kept, done[Artist.friends.through].kept) == (2, 1)
    assert not Album.objects.using(REMOTE).get().artists.exists()
    assert remote_count(Artist.friends.through) == 0
    assert {each.decision for each in Conflict.objects.all()} == {Conflict.REMOTE}


def test_load_that_is_killed_goes_on_where_it_was() -> None:
    rows_that_nobody_captured()
    environment = processes.environment(SYNCHRO_BATCH_SIZE=5)
    for _ in range(3):
        with processes.start("django", "synchro_load", env=environment) as process:
            before = remote_count(Customer)
            while process.poll() is None and remote_count(Customer) == before:
                pass
            process.send_signal(signal.SIGKILL)
            process.wait()
        connections["remote"].close()

    done = processes.run("django", "synchro_load", "--json", env=environment)

    assert done.returncode == 0, done.stderr
    assert left() == {}
    assert remote_count(Customer) == 8


def test_row_that_remote_refuses_is_set_aside_and_said() -> None:
    with unlogged("default"), unlogged(REMOTE):
        Seat.objects.create(number=1)
        Seat.objects.create(number=2)
        create_on_remote(Seat, number=9)
        create_on_remote(Seat, number=1)
    ChangeLog.objects.all().delete()
    environment = processes.environment(SYNCHRO_ON_ERROR="quarantine")

    first = processes.run("django", "synchro_load", "shop.Seat", "--json", env=environment)
    second = processes.run("django", "synchro_load", "shop.Seat", "--json", env=environment)

    assert "Traceback" not in first.stderr
    (seats,) = json.loads(first.stdout)["remote"]
    assert (first.returncode, seats["left"], seats["sent"]) == (3, 1, 1)
    (seats,) = json.loads(second.stdout)["remote"]
    assert (second.returncode, seats["left"], seats["equal"]) == (3, 1, 1)
    call_synchronize()
