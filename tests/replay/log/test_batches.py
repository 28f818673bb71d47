"""Batches: the pieces in which changes arrive."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.db.models import Model
from django.test.utils import CaptureQueriesContext

from synchro.core import call_synchronize
from synchro.exceptions import SynchroError
from synchro.models import ADDITION, CHANGE, DELETION, Batch, ChangeLog, Checkpoint, Receipt
from synchro.replay.log import batch_size
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import LOCAL, REMOTE, create_on_remote, remote_count, unlogged
from tests.shop.models import Album, Artist, Category, Country, Customer, Measurement, Order, Publisher, Seat

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.fixture
def small_batches(settings: object) -> None:
    settings.SYNCHRO_BATCH_SIZE = 10  # type: ignore[attr-defined]


def test_backlog_is_cut_into_batches_of_the_size_that_was_set(small_batches: None) -> None:
    for number in range(35):
        Customer.objects.create(name=f"Watchman {number}")

    report = call_synchronize()

    assert (report.entries, report.batches) == (35, 4)
    assert_same_rows()


def test_batches_of_wide_rows_have_fewer_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_size, "MOST_BYTES", 10_000)
    for number in range(30):
        Measurement.objects.create(short=str(number))
    assert call_synchronize().batches == 1

    for number in range(30):
        Measurement.objects.create(long=str(number) * 500, data=["x" * 500])
    report = call_synchronize()

    assert (report.entries, report.batches) == (30, 5)
    assert_same_rows()


def test_changes_that_depend_on_each_other_may_lie_in_different_batches(small_batches: None) -> None:
    album = Album.objects.create(name="Blue")
    parent = None
    for number in range(12):
        artist = Artist.objects.create(name=f"Artist {number}")
        album.artists.add(artist)
        customer = Customer.objects.create(name=f"Customer {number}")
        order = Order.objects.create(customer=customer)
        parent = Category.objects.create(name=f"Category {number}", parent=parent)
        if number % 3 == 0:
            customer.delete()
        elif number % 3 == 1:
            order.customer = Customer.objects.create(name=f"Another {number}")
            order.save()

    report = call_synchronize()

    assert report.batches > 3
    assert_same_rows()


def test_unique_values_swapped_across_batches_arrive(small_batches: None) -> None:
    seats = [Seat.objects.create(number=number) for number in range(12)]
    call_synchronize()

    seats[0].number = 100
    seats[0].save()
    for number in range(1, 12):
        seats[number].number -= 1
        seats[number].save()
    seats[0].number = 11
    seats[0].save()
    call_synchronize()

    assert_same_rows()


def test_batches_before_the_one_that_failed_have_arrived(small_batches: None) -> None:
    create_on_remote(Seat, number=1)
    for number in range(15):
        Customer.objects.create(name=f"Watchman {number}")
    Seat.objects.create(number=1)

    with pytest.raises(SynchroError):
        call_synchronize()
    assert remote_count(Customer) == 10

    Seat.objects.using(REMOTE).all().delete()
    call_synchronize()
    assert_same_rows()


def test_position_is_known_on_both_sides() -> None:
    Customer.objects.create(name="Vimes")
    call_synchronize()
    Customer.objects.create(name="Carrot")
    call_synchronize()

    newest = Batch.objects.latest("number").number
    assert Checkpoint.objects.get().batch == Receipt.objects.using(REMOTE).get().batch == newest


def test_run_with_nothing_to_do_forms_no_batch() -> None:
    Customer.objects.create(name="Vimes")
    call_synchronize()

    call_synchronize()

    assert Batch.objects.count() == 1


def test_run_with_nothing_to_do_asks_as_little_however_much_is_kept() -> None:
    Customer.objects.create(name="Vimes")
    call_synchronize()
    call_synchronize()
    few = statements_of_a_run()
    for number in range(100):
        Customer.objects.create(name=f"Watchman {number}")
    call_synchronize()

    many = statements_of_a_run()

    assert are_as_few([many], [few])


def are_as_few(many: list[tuple[int, int]], few: list[tuple[int, int]]) -> bool:
    """
    The same numbers of statements, but for those that look into holes, some twelve for as long as there are any. One
    more statement for each object would be forty and more.
    """
    return all(
        abs(one - other) <= 25
        for pair in zip(many, few, strict=True)
        for one, other in zip(*pair, strict=True)
    )


def statements_of_a_run() -> tuple[int, int]:
    with (
        CaptureQueriesContext(connections["default"]) as local,
        CaptureQueriesContext(connections[REMOTE]) as remote,
    ):
        call_synchronize()
    return number_of(local), number_of(remote)


def number_of(statements: CaptureQueriesContext) -> int:
    """How many, but for questions about other sessions: what these do just then decides how often it is asked."""
    return sum(
        not re.search("information_schema|performance_schema|pg_locks", statement["sql"])
        for statement in statements.captured_queries
    )


KINDS = {
    "automatic keys": lambda number: Customer(name=f"{number}"),
    "given keys": lambda number: Country(code=f"{number}"),
    "natural keys": lambda number: Publisher(name=f"{number}"),
    "references": lambda number: Order(customer=Customer.objects.get(name="parent"), note=f"{number}"),
    "a tree": lambda number: Category(name=f"{number}"),
    "unique values": lambda number: Seat(number=number),
}


@pytest.mark.parametrize("kind", KINDS)
def test_number_of_statements_does_not_grow_with_the_number_of_objects(kind: str) -> None:
    Customer.objects.create(name="parent")
    KINDS[kind](10_000).save()
    call_synchronize()

    few = statements_of_adding_changing_and_deleting([KINDS[kind](each) for each in range(10)])
    many = statements_of_adding_changing_and_deleting([KINDS[kind](each) for each in range(50)])

    assert are_as_few(many, few)
    assert_same_rows()


def statements_of_adding_changing_and_deleting(rows: list[Model]) -> list[tuple[int, int]]:
    for row in rows:
        row.save()
    counts = [statements_of_a_run()]
    for row in rows:
        row.save()
    counts.append(statements_of_a_run())
    for row in rows:
        row.delete()
    counts.append(statements_of_a_run())
    return counts


@pytest.mark.parametrize("identity", ["reference", "pk"])
def test_batch_of_5000_objects_costs_as_many_statements_as_a_small_one(identity: str, settings: Any) -> None:
    settings.SYNCHRO_IDENTITY = identity
    Customer.objects.create(name="stays")
    call_synchronize()

    few = statements_of_logging(50)
    many = statements_of_logging(5000)

    assert are_as_few(many, few)
    assert Batch.objects.count() == 7
    assert remote_count(Customer) == 1


def statements_of_logging(number: int) -> list[tuple[int, int]]:
    """Of runs that add, change and delete so many customers."""
    counts = []
    with unlogged(LOCAL):
        Customer.objects.bulk_create(Customer(name="new") for _ in range(number))
    customers = Customer.objects.filter(name="new")
    keys = list(customers.values_list("pk", flat=True))
    kind = ContentType.objects.get_for_model(Customer).pk
    for action in (ADDITION, CHANGE, DELETION):
        with unlogged(LOCAL):
            if action == CHANGE:
                customers.update(cash=number)
            elif action == DELETION:
                customers._raw_delete(LOCAL)
        ChangeLog.objects.bulk_create(
            ChangeLog(content_type_id=kind, object_id=str(key), action=action) for key in keys
        )
        counts.append(statements_of_a_run())
    return counts


def test_number_of_statements_does_not_grow_with_the_size_of_a_set() -> None:
    counts = []
    for name, number in (("small", 20), ("big", 150)):
        album = Album.objects.create(name=name)
        artists = [Artist.objects.create(name=f"{name} {each}") for each in range(number)]
        call_synchronize()
        album.artists.set(artists)
        counts.append(statements_of_a_run())

    assert are_as_few(counts[:1], counts[1:])
    assert_same_rows()
