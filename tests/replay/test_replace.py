"""SQLite tells no trigger of the row that REPLACE removes."""

from __future__ import annotations

import pytest
from django.db import connection

from synchro.core import call_synchronize
from tests.replay.compare import assert_same_rows
from tests.replay.sides import captured_by_triggers, remote_count, use_up_key_on_remote
from tests.shop.models import Seat

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.mark.parametrize(
    "statement",
    [
        "REPLACE INTO shop_seat (id, number, row) VALUES (50, 7, 'B')",
        "UPDATE OR REPLACE shop_seat SET number = 7 WHERE number = 8",
    ],
)
def test_row_whose_unique_value_another_took_goes_from_remote_too(statement: str) -> None:
    """The row that has the value now says so."""
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite has rows that go without a trigger's knowledge")
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
