"""Unique values that move between rows of different batches, under constraints of other kinds than the plain one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.db import connections
from django.db.models import Q, UniqueConstraint

from synchro.core import call_synchronize
from synchro.exceptions import Refused
from synchro.models import ChangeLog, Node, Reference, SetAside
from synchro.replay.log.batches import next_batch
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import (
    LOCAL,
    REMOTE,
    create_on_remote,
    other_side,
    remote,
    remote_count,
    unlogged,
)
from tests.shop.models import Currency, Customer, Seat


@pytest.fixture
def one_by_one(settings: Any) -> None:
    settings.SYNCHRO_BATCH_SIZE = 1


def hand_round(seats: list[Seat]) -> None:
    """Each gets the number of the next."""
    numbers = [seat.number for seat in seats]
    for seat, number in zip([*seats, seats[0]], [1000, *numbers[:-1], numbers[-1]], strict=True):
        seat.number = number
        seat.save()


@pytest.mark.django_db(databases=["default", "remote"])
def test_values_that_are_unique_under_a_condition_are_handed_on(
    one_by_one: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not connections[REMOTE].features.supports_partial_indexes:
        pytest.skip("has no partial indexes")
    fields: Any = ("name",)
    constraint = UniqueConstraint(fields=fields, condition=~Q(name=""), name="shop_currency_name")
    monkeypatch.setattr(Currency._meta, "constraints", [constraint])
    with connections[REMOTE].cursor() as cursor:
        cursor.execute("CREATE UNIQUE INDEX shop_currency_name ON shop_currency (name) WHERE name <> ''")
    one, other = Currency.objects.create(code="A", name="x"), Currency.objects.create(code="B", name="y")
    nameless = [Currency.objects.create(code=code) for code in "CD"]
    call_synchronize()

    for currency, name in [(one, ""), (other, "x"), (one, "y"), *((each, "") for each in nameless)]:
        currency.name = name
        currency.save()
    call_synchronize()

    assert_same_rows(Currency)


@pytest.mark.django_db(databases=["default", "remote"])
def test_value_of_a_row_that_remote_keeps_as_it_is_is_refused(settings: Any) -> None:
    """Its change is in the batch already, and has lost: to take it along once more leads nowhere."""
    settings.SYNCHRO_CONFLICT = "remote"
    kept = Seat.objects.create(number=1)
    call_synchronize()
    with other_side():
        there = Seat.objects.get()
        there.number = 2
        there.save()
    kept.number = 3
    kept.save()
    Seat.objects.create(number=2)

    with pytest.raises(Refused, match="Seat"):
        call_synchronize()

    assert [seat.number for seat in Seat.objects.using(REMOTE).all()] == [2]


# -- checked at the commit ----------------------------------------------------------------------------------


@pytest.fixture
def deferred(transactional_db: None) -> Iterator[None]:
    """REMOTE looks at the numbers of seats only when it commits."""
    connection = connections[REMOTE]
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL looks at unique values that late")
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, Seat._meta.db_table)
        name = next(name for name, each in found.items() if each["unique"] and each["columns"] == ["number"])
        quoted = connection.ops.quote_name(name)
        again = f"ALTER TABLE shop_seat DROP CONSTRAINT {quoted}, ADD CONSTRAINT {quoted} UNIQUE (number)"
        cursor.execute(f"{again} DEFERRABLE INITIALLY DEFERRED")
    yield
    with connection.cursor() as cursor:
        cursor.execute(again)


@pytest.mark.django_db(transaction=True, databases=["default", "remote"])
@pytest.mark.parametrize("identity", ["reference", "pk"])
def test_values_that_are_looked_at_late_are_handed_on(
    deferred: None, one_by_one: None, settings: Any, identity: str
) -> None:
    settings.SYNCHRO_IDENTITY = identity
    seats = [Seat.objects.create(number=number) for number in range(4)]
    call_synchronize()

    hand_round(seats)
    call_synchronize()

    numbers = [seat.number for seat in seats]
    assert [remote(Seat, pk=partner(seat)).number for seat in seats] == numbers == [3, 0, 1, 2]


def partner(seat: Seat) -> int:
    """The key of its row on REMOTE."""
    found = Reference.objects.filter(local_object_id=str(seat.pk)).first()
    return int(found.remote_object_id) if found else seat.pk


@pytest.mark.django_db(transaction=True, databases=["default", "remote"])
@pytest.mark.parametrize("identity", ["reference", "pk"])
def test_value_that_another_row_has_is_named_though_it_is_looked_at_late(
    deferred: None, settings: Any, identity: str
) -> None:
    settings.SYNCHRO_IDENTITY = identity
    create_on_remote(Seat, pk=500, number=7)
    Customer.objects.create(name="Vimes")
    seat = Seat.objects.create(number=7)

    with pytest.raises(Refused, match=rf"shop\.Seat {seat.pk}, column number"):
        call_synchronize()

    settings.SYNCHRO_ON_ERROR = "quarantine"
    assert call_synchronize().aside == 1
    assert SetAside.objects.get().object_id == str(seat.pk)
    assert remote_count(Customer) == 1


# -- rows that only REMOTE has ------------------------------------------------------------------------------


@pytest.mark.django_db(databases=["default", "remote"])
@pytest.mark.parametrize("identity", ["reference", "pk"])
def test_row_of_remotes_own_that_has_a_unique_value_stays(settings: Any, identity: str) -> None:
    settings.SYNCHRO_IDENTITY = identity
    create_on_remote(Seat, pk=500, number=7, guest="Vetinari")
    old = Seat.objects.create(number=6)
    call_synchronize()

    new = Seat.objects.create(number=7)
    with pytest.raises(Refused, match=rf"shop\.Seat {new.pk}, column number"):
        call_synchronize()
    new.delete()
    old.number = 7
    old.save()
    with pytest.raises(Refused, match=rf"shop\.Seat {old.pk}, column number"):
        call_synchronize()

    assert remote(Seat, pk=500).guest == "Vetinari"


@pytest.mark.django_db(databases=["default", "remote"])
@pytest.mark.parametrize("identity", ["reference", "pk"])
def test_row_that_hands_its_unique_value_on_and_is_deleted_in_a_later_batch_goes(
    one_by_one: None, settings: Any, identity: str
) -> None:
    settings.SYNCHRO_IDENTITY = identity
    one, other = Seat.objects.create(number=1), Seat.objects.create(number=2)
    call_synchronize()
    one.number = 10
    one.save()
    with unlogged(LOCAL):
        Seat.objects.filter(pk=other.pk).update(number=20)
    one.number = 2
    one.save()
    other.delete()

    call_synchronize()

    assert remote(Seat).number == 2


@pytest.mark.django_db(databases=["default", "remote"])
@pytest.mark.parametrize("identity", ["reference", "pk"])
def test_entry_that_commits_late_gets_the_value_of_a_row_that_is_deleted_in_a_later_batch(
    one_by_one: None, settings: Any, identity: str
) -> None:
    """Between the two ids there are entries that arrived long ago, such as that the other row was added."""
    settings.SYNCHRO_IDENTITY = identity
    one = Seat.objects.create(number=1)
    call_synchronize()
    one.number = 3
    one.save()
    late = ChangeLog.objects.latest("pk")
    ChangeLog.objects.filter(pk=late.pk).delete()
    with unlogged(LOCAL):
        Seat.objects.update(number=1)
    other = Seat.objects.create(number=2)
    call_synchronize()
    Node.objects.update(holes=f"[[{late.pk}, {late.pk}, null]]")
    late.save(force_insert=True)
    assert next_batch(Node.objects.get().batch) is not None
    other.delete()
    with unlogged(LOCAL):
        Seat.objects.update(number=2)

    call_synchronize()

    assert_same_rows(Seat)


@pytest.fixture
def newer(transactional_db: None) -> Iterator[None]:
    """REMOTE was migrated first: its table has columns that this project does not know of."""
    quote = connections[REMOTE].ops.quote_name
    with connections[REMOTE].cursor() as cursor:
        cursor.execute("ALTER TABLE shop_seat ADD COLUMN colour varchar(20) DEFAULT 'red'")
        cursor.execute(
            f"ALTER TABLE shop_seat ADD COLUMN twice integer GENERATED ALWAYS AS ({quote('number')} * 2) "
            + ("VIRTUAL" if connections[REMOTE].vendor == "sqlite" else "STORED")
        )
    yield
    with connections[REMOTE].cursor() as cursor:
        cursor.execute("ALTER TABLE shop_seat DROP COLUMN twice")
        cursor.execute("ALTER TABLE shop_seat DROP COLUMN colour")


@pytest.mark.django_db(transaction=True, databases=["default", "remote"])
@pytest.mark.parametrize("identity", ["reference", "pk"])
def test_column_that_only_remote_has_is_kept_when_unique_values_are_handed_round(
    newer: None, settings: Any, identity: str
) -> None:
    settings.SYNCHRO_IDENTITY = identity
    seats = [Seat.objects.create(number=number) for number in range(3)]
    call_synchronize()
    with connections[REMOTE].cursor() as cursor:
        for seat in seats:
            cursor.execute("UPDATE shop_seat SET colour = %s WHERE number = %s", [f"{seat.pk}", seat.number])

    hand_round(seats)
    call_synchronize()

    with connections[REMOTE].cursor() as cursor:
        cursor.execute("SELECT number, colour, twice FROM shop_seat ORDER BY number")
        found = cursor.fetchall()
    expected = sorted((seat.number, f"{seat.pk}", seat.number * 2) for seat in seats)
    assert [tuple(row) for row in found] == expected


@pytest.fixture
def made_by_hand(transactional_db: None) -> Iterator[None]:
    """A table of REMOTE's own, whose rows the server deletes together with the seats that they point at."""
    with connections[REMOTE].cursor() as cursor:
        cursor.execute(
            "CREATE TABLE cushion (seat bigint, FOREIGN KEY (seat) REFERENCES shop_seat (id) ON DELETE CASCADE)"
        )
    yield
    with connections[REMOTE].cursor() as cursor:
        cursor.execute("DROP TABLE cushion")


@pytest.mark.django_db(transaction=True, databases=["default", "remote"])
def test_rows_that_the_server_would_delete_survive_a_swap_of_unique_values(made_by_hand: None) -> None:
    seats = [Seat.objects.create(number=number) for number in range(3)]
    call_synchronize()
    with connections[REMOTE].cursor() as cursor:
        cursor.execute("INSERT INTO cushion SELECT id FROM shop_seat")

    hand_round(seats)
    with suppress(Refused):  # where the server cannot be kept from deleting them
        call_synchronize()

    assert remote_count(Seat) == 3
    with connections[REMOTE].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM cushion")
        assert cursor.fetchone() == (3,)
