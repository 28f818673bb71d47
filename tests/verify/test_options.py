"""What can be asked of verify: to delete what REMOTE alone has, to look at a sample, to name few; and what it needs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connections
from django.db.models import Model

from synchro.core import DisableSynchroLog, call_synchronize
from synchro.verify import verify
from synchro.verify.deletion import Collected, Deleted, delete_extra
from synchro.verify.results import DIFFERENT, EXTRA
from tests.replay import processes
from tests.replay.deployments import REMOTE, create_on_remote, remote_count, unlogged
from tests.shop.models import (
    Artist,
    Category,
    Country,
    Customer,
    Measurement,
    Order,
    Parcel,
    Place,
    Restaurant,
    Warehouse,
)
from tests.verify.planting import change, differences, found, populate

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)

#: What has a session refuse to write.
READ_ONLY = {
    "sqlite": ("PRAGMA query_only = 1", "PRAGMA query_only = 0"),
    "postgresql": ("SET default_transaction_read_only = on", "SET default_transaction_read_only = off"),
    "mysql": ("SET SESSION TRANSACTION READ ONLY", "SET SESSION TRANSACTION READ WRITE"),
}


@contextmanager
def read_only() -> Iterator[None]:
    """Inside, neither database takes anything that writes."""
    set_all(0)
    try:
        yield
    finally:
        set_all(1)


def set_all(place: int) -> None:
    for connection in connections.all():
        with connection.cursor() as cursor:
            cursor.execute(READ_ONLY[connection.vendor][place])


def delete_what_remote_alone_has(*models: type[Model]) -> dict[type[Model], Deleted]:
    with Collected() as collected:
        verify("remote", models, each=collected)
        return {done.model: done for done in delete_extra("remote", collected)}


def test_it_needs_nothing_but_to_read() -> None:
    populate()
    with unlogged(REMOTE):
        change(Customer, cash=4)()

    with read_only():
        assert differences() == [("Customer", DIFFERENT, ("cash",))]
        verify("remote", sample=2)


def test_rows_that_remote_alone_has_are_deleted_where_nothing_points_at_them() -> None:
    populate()
    with unlogged(REMOTE):
        create_on_remote(Country, code="zz", name="gone on LOCAL")
        create_on_remote(Restaurant, name="both tables", seats=1)
        top = create_on_remote(Category, name="points at nothing")
        create_on_remote(Category, name="points at the other", parent=top)
        one, other = create_on_remote(Artist, name="x"), create_on_remote(Artist, name="y")
        one.friends.add(other)
        kept = create_on_remote(Customer, name="LOCAL's order points here")
        Order.objects.using(REMOTE).update(customer=kept)
    before = {model: remote_count(model) for model in (Order, Parcel, Place, Customer)}

    done = delete_what_remote_alone_has()

    assert (done[Country].deleted, done[Category].deleted, done[Artist].deleted) == (1, 2, 2)
    assert (done[Restaurant].deleted, done[Place].deleted) == (1, 1)
    assert (done[Customer].deleted, done[Customer].left, done[Customer].keys) == (0, 1, [kept.pk])
    assert {model: remote_count(model) for model in before} == before | {Place: before[Place] - 1}
    assert differences() == [("Customer", EXTRA, ()), ("Order", DIFFERENT, ("customer",))]


def test_row_that_local_has_by_the_time_it_would_be_deleted_stays() -> None:
    with unlogged(REMOTE):
        create_on_remote(Country, code="zz", name="new")
    with Collected() as collected:
        verify("remote", [Country], each=collected)
        Country.objects.create(code="zz", name="new")

        (done,) = delete_extra("remote", collected)

    assert (done.deleted, done.left, remote_count(Country)) == (0, 1, 1)


def test_command_repairs_and_deletes() -> None:
    populate()
    with unlogged(REMOTE):
        change(Country, name="other")()
        create_on_remote(Country, code="zz", name="gone on LOCAL")
    environment = processes.environment()

    done = processes.run("django", "synchro_verify", "--repair", "--delete-extra", "--all", env=environment)
    again = processes.run("django", "synchro_verify", "--json", env=environment)

    assert done.returncode == 3, done.stderr
    assert "shop.Country different: xx, in name" in done.stdout
    assert "shop.Country: 1 rows of REMOTE deleted" in done.stdout
    assert again.returncode == 0
    assert [each for each in json.loads(again.stdout)["remote"] if each["equal"] != each["rows"]] == []


@pytest.mark.parametrize("model", [Warehouse, Country])
def test_sample_looks_at_as_many_rows_of_each_side(model: type[Model]) -> None:
    for number in range(60):
        key = {"code": f"c{number}"} if model is Country else {"pk": 100 * number + 1}
        model._base_manager.create(name="old", **key)
    call_synchronize()
    with unlogged(REMOTE):
        model._base_manager.using(REMOTE).update(name="new")

    (some,) = verify("remote", [model], sample=7)
    (all_of_them,) = verify("remote", [model], sample=100)

    assert (some.rows, some.counts[DIFFERENT], some.is_sample) == (7, 7, True)
    assert all_of_them.rows == 60


def test_all_differences_are_counted_and_the_first_are_kept() -> None:
    with DisableSynchroLog():
        for number in range(30):
            Warehouse.objects.create(name=f"{number}")

    (result,) = verify("remote", [Warehouse], kept=5)

    assert (result.unequal, len(result.differences)) == (30, 5)


def test_value_that_cannot_be_read_on_remote_is_a_difference() -> None:
    """It ends neither the comparison of the other rows nor that of its own."""
    if connections[REMOTE].vendor != "sqlite":
        pytest.skip("only SQLite holds what is no date")
    populate()
    with unlogged(REMOTE), connections[REMOTE].cursor() as cursor:
        cursor.execute("UPDATE shop_measurement SET day = 'someday', small = 'x'")
        change(Country, name="other")()

    assert differences() == [
        ("Country", DIFFERENT, ("name",)),
        ("Measurement", DIFFERENT, ("day", "small")),
    ]
    assert Measurement.objects.count() == 1


def test_key_that_remote_spells_otherwise_is_one_difference() -> None:
    """For the collation of MySQL it is the same key, which no other row can have."""
    Country.objects.create(code="xx", name="one")
    call_synchronize()
    with unlogged(REMOTE):
        Country.objects.using(REMOTE).update(code="XX")

    (result,) = found(Country).values()

    if connections[REMOTE].vendor == "mysql":
        assert [(d.kind, d.fields) for d in result.differences] == [(DIFFERENT, ("code",))]
    else:
        assert sorted(d.kind for d in result.differences) == ["missing on REMOTE", EXTRA]


def test_rows_that_exchange_their_values_differ() -> None:
    """Whatever is combined of the digests of a range must depend on which row has which value."""
    one, other = Warehouse.objects.create(name="one"), Warehouse.objects.create(name="other")
    call_synchronize()
    with unlogged(REMOTE):
        Warehouse.objects.using(REMOTE).filter(pk=one.pk).update(name="other")
        Warehouse.objects.using(REMOTE).filter(pk=other.pk).update(name="one")

    (result,) = found(Warehouse).values()

    assert result.counts[DIFFERENT] == 2
