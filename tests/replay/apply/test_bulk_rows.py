"""Rows that go to REMOTE as LOCAL's server spells them, where both are of one kind, arrive like all others."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections

from synchro.core import call_synchronize
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import REMOTE, create_on_remote, remote_count
from tests.shop.models import Customer, Seat

pytestmark = pytest.mark.django_db(databases=["default", "remote"])

NAMES = [
    "a\ttab",
    "a\nline",
    "a\r\nline",
    "back\\slash",
    "\\N",
    "\\.",
    "\\t",
    "",
    "NULL",
    "{}",
    "𝔘ñîçøđé",
    '"',
    "'",
]


def test_what_copy_spells_in_its_own_way_arrives() -> None:
    customers = [Customer.objects.create(name=name) for name in NAMES]
    call_synchronize()
    assert_same_rows()

    for customer, name in zip(customers, reversed(NAMES), strict=True):
        customer.name = name
        customer.save()
    call_synchronize()

    assert_same_rows()
    assert remote_count(Customer) == len(NAMES)


def test_rows_that_are_refused_take_the_usual_way() -> None:
    seats = [Seat.objects.create(number=number) for number in range(5)]
    call_synchronize()

    seats[0].number = 100
    seats[0].save()
    for number in range(1, 5):
        seats[number].number -= 1
        seats[number].save()
    call_synchronize()

    assert_same_rows()


def test_rows_get_the_keys_that_remote_hands_out() -> None:
    own = [create_on_remote(Customer, name=f"REMOTE's own {number}") for number in range(3)]
    vimes = Customer.objects.create(name="Vimes")

    call_synchronize()
    vimes.name = "Sir Samuel"
    vimes.save()
    call_synchronize()

    there = {row.pk: row.name for row in Customer.objects.using(REMOTE).all()}
    assert there.items() > {row.pk: row.name for row in own}.items()
    assert [name for pk, name in there.items() if pk not in {row.pk for row in own}] == ["Sir Samuel"]


@pytest.mark.django_db(databases=["default", "remote"], transaction=True)
def test_rows_pass_in_a_run_of_its_own() -> None:
    """Outside of a test's transaction the sessions have settings of their own, which are no reason not to."""
    if {connections[alias].vendor for alias in ("default", REMOTE)} != {"postgresql"}:
        pytest.skip("only PostgreSQL's COPY is no statement that Django knows of")
    Seat.objects.create(number=1)
    said: list[str] = []

    def listen(execute: Any, sql: str, *more: Any) -> Any:
        said.append(sql)
        return execute(sql, *more)

    with connections["default"].execute_wrapper(listen):
        call_synchronize()

    assert_same_rows()
    assert remote_count(Seat) == 1
    assert not [sql for sql in said if 'FROM "shop_seat" WHERE "id"' in sql], "rows were read as values"
