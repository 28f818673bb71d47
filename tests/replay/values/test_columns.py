"""Every column holds the same value on both sides, whatever the engines."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone

from synchro.core import call_synchronize
from tests.replay.compare import JSON_NULL, assert_same_rows, rows_of
from tests.replay.deployments import REMOTE, remote
from tests.shop.models import Invoice, LineItem, Measurement, OddlyNamed, Seat

pytestmark = pytest.mark.django_db(databases=["default", "remote"])

EXTREMES: dict[str, list[Any]] = {
    "moment": [
        datetime(2026, 3, 29, 0, 59, 59, 999_999, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1900, 1, 1, 12, 0, 0, 1, tzinfo=UTC),
        datetime(9999, 12, 30, 23, 59, 59, 999_999, tzinfo=UTC),
    ],
    "day": [date(2024, 2, 29), date(1000, 1, 1), date(9999, 12, 31)],
    "hour": [time(0), time(23, 59, 59, 999_999), time(12, 30, 0, 1)],
    "lasted": [
        timedelta(0),
        timedelta(microseconds=1),
        timedelta(days=-3, microseconds=1),
        timedelta(days=100_000, seconds=3599, microseconds=999_999),
    ],
    "amount": [
        Decimal("0"),
        Decimal("-0.00001"),
        Decimal("9999999999.99999"),
        Decimal("-9999999999.99999"),
        Decimal("100.10000"),
    ],
    "ratio": [0.1, -0.1, 1e-300, 2.2250738585072014e-308, 1.7976931348623157e308, 1 / 3, 123456789.12345679],
    "data": [
        {},
        [],
        "",
        0,
        1.5,
        True,
        False,
        "text",
        {"a": {"b": [1, None, {"c": "zażółć 🦊"}], "": None}},
        [[[["deep"]]]],
        {"quote": 'it\'s "quoted" \\ back\\slashed', "lines": "one\ntwo\ttab"},
        {"big": 9007199254740993, "percent": "100 %s"},
    ],
    "raw": [b"", bytes(range(256)), b"\x00", b"\\N\n\t\r", b"x" * 70_000],
    "token": [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), uuid.UUID("00000000-1234-5678-9abc-def012345678")],
    "yes": [True, False],
    "maybe": [True, False, None],
    "short": [
        "",
        " ",
        " blanks around ",
        "🦊👩‍👩‍👧 4 bytes",
        "zażółć gęślą jaźń",
        "\\N",
        "\\.",
        "tab\tline\nreturn\rend",
        'it\'s "quoted"',
        "back\\slash",
        "100 % %s %(name)s",
        "NULL",
        "null",
        "Ångström",
        "A\u030angstro\u0308m",
    ],
    "long": ["", "x" * 1_000_000, "🦊" * 50_000, "line\n" * 1000],
    "address": ["192.0.2.1", "2001:db8::1", "::", "255.255.255.255"],
    "small": [0, -32768, 32767],
    "number": [0, -2147483648, 2147483647],
    "big": [0, -(2**63), 2**63 - 1],
    "positive": [0, 2**63 - 1],
    "link": ["", "https://example.org/a?b=c%20d&e=ł"],
    "mail": ["", "who@example.org"],
    "slug": ["", "a-slug_1"],
    "document": ["", "folder/file.pdf"],
}


@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_values_arrive_unchanged_when_added_and_when_changed(name: str) -> None:
    values = EXTREMES[name]
    rows = [Measurement.objects.create(**{name: value}) for value in values]
    call_synchronize()
    added = _remote_values(name)

    for row, value in zip(rows, reversed(values), strict=True):
        setattr(row, name, value)
        row.save()
    call_synchronize()

    assert added == _typed(values)
    assert _remote_values(name) == _typed(list(reversed(values)))
    assert_same_rows(Measurement)


def test_null_arrives_in_place_of_a_value_and_a_value_in_place_of_null() -> None:
    full = {name: values[-1] for name, values in EXTREMES.items()} | {"yes": True, "maybe": True}
    empty = dict.fromkeys(EXTREMES, None) | {"yes": False}
    first, second = Measurement.objects.create(**full), Measurement.objects.create(**empty)
    call_synchronize()
    assert_same_rows(Measurement)

    Measurement(pk=first.pk, **empty).save()
    Measurement(pk=second.pk, **full).save()
    call_synchronize()

    assert_same_rows(Measurement)
    assert {row["short"] for row in rows_of(Measurement, REMOTE).values()} == {None, full["short"]}


def test_empty_text_and_null_stay_apart() -> None:
    Measurement.objects.create(short="", long=None, raw=b"")
    Measurement.objects.create(short=None, long="", raw=None)

    call_synchronize()

    found = rows_of(Measurement, REMOTE).values()
    assert [(row["short"], row["long"], row["raw"]) for row in found] == [("", None, b""), (None, "", None)]


def test_json_null_and_sql_null_stay_apart() -> None:
    with_json_null, with_sql_null = Measurement.objects.create(), Measurement.objects.create()
    _store_json_null(with_json_null.pk)

    call_synchronize()

    assert [row["data"] for _, row in sorted(rows_of(Measurement, REMOTE).items())] == [JSON_NULL, None]

    with_sql_null.save()
    _store_json_null(with_sql_null.pk)
    with_json_null.save()
    call_synchronize()

    assert [row["data"] for _, row in sorted(rows_of(Measurement, REMOTE).items())] == [None, JSON_NULL]


def test_json_null_within_a_value_stays() -> None:
    Measurement.objects.create(data={"nothing": None, "list": [None]})

    call_synchronize()

    assert remote(Measurement).data == {"nothing": None, "list": [None]}


def test_decimals_of_forty_digits_arrive_where_both_engines_hold_them() -> None:
    if "sqlite" in (connections["default"].vendor, connections[REMOTE].vendor):
        pytest.skip("SQLite keeps 15 digits")
    values = [Decimal("12345678901234567890.12345678901234567890"), Decimal("-0.00000000000000000001")]
    for value in values:
        Measurement.objects.create(huge_amount=value)

    call_synchronize()

    assert _remote_values("huge_amount") == _typed(values)


def test_current_time_of_another_zone_is_the_same_moment() -> None:
    with timezone.override("Asia/Kathmandu"):
        Measurement.objects.create(
            moment=datetime(2026, 1, 1, 5, 45, 0, 123_456, timezone.get_current_timezone())
        )
        call_synchronize()

    assert remote(Measurement).moment == datetime(2026, 1, 1, 0, 0, 0, 123_456, UTC)


def test_columns_that_django_fills_in_end_with_locals_values() -> None:
    invoice = Invoice.objects.create()
    call_synchronize()
    assert_same_rows(Invoice)

    invoice.text = "paid"
    invoice.save()
    Invoice.objects.filter(pk=invoice.pk).update(
        issued=datetime(2001, 1, 1, tzinfo=UTC),
        changed=datetime(2002, 2, 2, tzinfo=UTC),
        day=date(2003, 3, 3),
    )
    call_synchronize()

    found = remote(Invoice)
    assert (found.issued.year, found.changed.year, found.day.year) == (2001, 2002, 2003)
    assert_same_rows(Invoice)


def test_column_that_the_database_computes_is_computed_on_remote() -> None:
    item = LineItem.objects.create(quantity=3, unit_price=5)
    call_synchronize()
    first = remote(LineItem).total

    item.quantity = 4
    item.save()
    call_synchronize()

    assert (first, remote(LineItem).total) == (15, 20)
    assert_same_rows(LineItem)


def test_unique_values_that_two_rows_swap_arrive() -> None:
    first, second = Seat.objects.create(number=1), Seat.objects.create(number=2)
    call_synchronize()

    for seat, number in ((first, 3), (second, 1), (first, 2)):
        seat.number = number
        seat.save()
    call_synchronize()

    assert_same_rows(Seat)


def test_unique_values_that_a_whole_row_of_rows_passes_on_arrive() -> None:
    seats = [Seat.objects.create(number=number, guest=f"Guest {number}") for number in range(10)]
    call_synchronize()

    seats[9].number = 100
    seats[9].save()
    for seat in reversed(seats[:9]):
        seat.number += 1
        seat.save()
    seats[9].number = 0
    seats[9].save()
    call_synchronize()

    assert_same_rows(Seat)


def test_unique_value_of_a_deleted_row_can_be_taken_by_a_new_one() -> None:
    first = Seat.objects.create(number=1, guest="Vimes")
    call_synchronize()

    first.delete()
    Seat.objects.create(number=1, guest="Vimes")
    call_synchronize()

    assert_same_rows(Seat)


def test_unique_value_that_one_row_gives_up_can_be_taken_by_a_new_one() -> None:
    first = Seat.objects.create(number=1)
    call_synchronize()

    first.number = 2
    first.save()
    Seat.objects.create(number=1)
    call_synchronize()

    assert_same_rows(Seat)


def test_tables_and_columns_with_odd_names_are_synchronized() -> None:
    root = OddlyNamed.objects.create(group="one")
    leaf = OddlyNamed.objects.create(group="two", select=root)
    leaf.others.add(root)
    call_synchronize()
    assert_same_rows(OddlyNamed, OddlyNamed.others.through)

    leaf.group = "three"
    leaf.save()
    leaf.others.clear()
    call_synchronize()
    assert_same_rows(OddlyNamed, OddlyNamed.others.through)

    root.delete()
    call_synchronize()
    assert not OddlyNamed.objects.using(REMOTE).exists()


def _typed(values: list[Any]) -> list[tuple[type, Any]]:
    return [(type(value), value) for value in values]


def _remote_values(name: str) -> list[tuple[type, Any]]:
    found = Measurement.objects.using(REMOTE).order_by("pk").values_list(name, flat=True)
    return _typed([bytes(value) if name == "raw" and value is not None else value for value in found])


def _store_json_null(pk: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE shop_measurement SET data = 'null' WHERE id = %s", [pk])
