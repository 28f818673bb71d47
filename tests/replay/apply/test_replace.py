"""SQLite fires no trigger for the row that REPLACE removes: which those may be is logged beforehand."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from synchro.core import call_synchronize
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import (
    REMOTE,
    captured_by_triggers,
    other_side,
    remote,
    remote_count,
    use_up_key_on_remote,
)
from tests.shop.models import Seat

pytestmark = [
    pytest.mark.django_db(databases=["default", "remote"]),
    pytest.mark.skipif(
        connection.vendor != "sqlite", reason="only SQLite has rows that go without a trigger's knowledge"
    ),
]


@pytest.mark.parametrize(
    "statement",
    [
        "REPLACE INTO shop_seat (id, number, row) VALUES (50, 7, 'B')",
        "UPDATE OR REPLACE shop_seat SET number = 7 WHERE number = 8",
    ],
)
def test_row_whose_unique_value_another_took_goes_from_remote_too(statement: str) -> None:
    """The row that has the value now says so."""
    use_up_key_on_remote(Seat, number=99)
    with captured_by_triggers(("shop", "Seat")):
        Seat.objects.create(number=7)
        Seat.objects.create(number=8)
        call_synchronize()
        with connection.cursor() as cursor:
            cursor.execute(statement)

        call_synchronize()

        assert remote_count(Seat) == Seat.objects.count()
        assert_same_rows(Seat)


def sql(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.mark.parametrize("count", [1, 30])
def test_row_that_is_taken_away_goes_from_remote_too_where_keys_are_the_same(
    settings: Any, count: int
) -> None:
    settings.SYNCHRO_IDENTITY = "pk"
    with captured_by_triggers(("shop", "Seat")):
        for number in range(count):
            Seat.objects.create(pk=number + 1, number=number)
        call_synchronize()
        sql("REPLACE INTO shop_seat (id, number, row) SELECT id + 1000, number, row FROM shop_seat")
        assert Seat.objects.count() == count

        call_synchronize()
        rows = Seat.objects.order_by("pk").values_list("pk", "number")
        assert [*rows] == [*rows.using(REMOTE)] == [(number + 1001, number) for number in range(count)]


@pytest.mark.parametrize("statement", ["INSERT OR IGNORE INTO", "REPLACE INTO"])
@pytest.mark.parametrize("identity", ["pk", "reference"])
def test_row_that_was_in_the_way_of_none_is_left_as_remote_has_it(
    settings: Any, statement: str, identity: str
) -> None:
    settings.SYNCHRO_IDENTITY = identity
    with captured_by_triggers(("shop", "Seat")):
        Seat.objects.create(pk=1, number=7, row="A")
        Seat.objects.create(pk=2, number=8, row="A")
        call_synchronize()
        with other_side():
            seat = Seat.objects.get(number=7)
            seat.row = "Z"
            seat.save()
        # Both are logged, and it goes on: one row was not written, the other by its own key.
        sql(
            f"{statement} shop_seat (id, number, row) VALUES (2, 8, 'A')",
            "INSERT OR IGNORE INTO shop_seat (id, number, row) VALUES (3, 7, 'A')",
        )

        report = call_synchronize()
        assert report.conflicts == 0
        assert remote(Seat, number=7).row == "Z"
        assert Seat.objects.count() == remote_count(Seat) == 2
