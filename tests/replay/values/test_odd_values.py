"""Keys of every type, and values that one engine holds and the other does not: never changed without a word."""

from __future__ import annotations

import json
import math
import os
from contextlib import nullcontext
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connections, transaction
from django.db.models import Model

from synchro.core import call_synchronize
from synchro.exceptions import Refused
from tests.odd.models import Answer, Appointment, Departure, Host, Interval, Level, Tariff
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import (
    BY_TRIGGERS,
    LOCAL,
    REMOTE,
    create_on_remote,
    other_side,
    remote,
    remote_count,
    unlogged,
)
from tests.shop.models import Customer, Measurement, Warehouse
from tests.unwatched.models import Frequency

pytestmark = pytest.mark.django_db(databases=["default", "remote"])

#: The kinds of LOCAL and of REMOTE.
KINDS = os.environ.get("SYNCHRO_TEST_PAIR", "sqlite-sqlite").removesuffix("_old").split("-")

KEYS: list[tuple[type[Model], str, list[Any]]] = [
    (Level, "number", [0, -5, 2147483647]),
    (Interval, "length", [timedelta(0), timedelta(days=-3, microseconds=7), timedelta(days=1000)]),
    (Departure, "at", [time(0), time(23, 59, 59, 999_999)]),
    (Appointment, "at", [datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, 0, 0, 0, 7, tzinfo=UTC)]),
    (Answer, "yes", [True, False]),
    (Host, "address", ["::1", "10.0.0.1", "2001:db8::ff"]),
    (Tariff, "rate", [Decimal("0.1"), Decimal("1234567.891"), Decimal(-2)]),
]


@pytest.mark.parametrize(("model", "name", "values"), KEYS, ids=[model.__name__ for model, *_ in KEYS])
def test_row_with_a_key_of_any_type_is_added_changed_and_deleted(
    model: type[Model], name: str, values: list[Any]
) -> None:
    add_change_and_delete(model, name, values)


@pytest.mark.skipif(BY_TRIGGERS, reason="no trigger spells a float as Python does (synchro.E102)")
def test_row_with_a_key_that_is_a_float_is_added_changed_and_deleted(settings: Any) -> None:
    settings.SYNCHRO_MODELS = [("unwatched", "Frequency")]
    add_change_and_delete(Frequency, "hertz", [0.1, 1e300, -2.5, 1 / 3])


def add_change_and_delete(model: type[Model], name: str, values: list[Any]) -> None:
    rows = [model._base_manager.create(**{name: value}) for value in values]
    call_synchronize()
    assert_same_rows(model)

    for row in model._base_manager.all():  # as it is read
        row.name = "changed"  # type: ignore[attr-defined]
        row.save()
    call_synchronize()
    assert_same_rows(model)
    assert remote_count(model) == len(values)

    for row in rows:  # as it was given
        row.delete()
    call_synchronize()
    assert remote_count(model) == 0


def test_automatic_keys_that_no_sequence_would_give_are_kept() -> None:
    if connections["default"].vendor == "mysql":
        pytest.skip("LOCAL has no such keys")
    for key in (-7, 0):
        Warehouse.objects.create(pk=key, name="one")
    call_synchronize()
    assert_same_rows(Warehouse)

    for warehouse in Warehouse.objects.all():
        warehouse.name = "two"
        warehouse.save()
    Warehouse.objects.create(name="three")
    call_synchronize()
    assert_same_rows(Warehouse)


VALUES = [
    ("ratio", math.nan),
    ("ratio", math.inf),
    ("ratio", 5e-324),
    ("huge_amount", Decimal("12345678901234567890.12345678901234567890")),
    ("huge_amount", Decimal("0.1234567890123456")),
    ("data", {"number": 123456789012345678901234567890}),
    ("data", {"number": 2**64}),
    ("data", {"number": -(2**63) - 1}),
    ("data", {"numbers": [2**64 - 1, -(2**63)], "text": "123456789012345678901234567890"}),
    ("data", {"text": "\x00"}),
    ("data", {"text": "\ud800"}),
    ("positive", 2**64 - 1),
    ("lasted", timedelta.max),
    ("lasted", timedelta.min),
    ("short", "a\x00b"),
    ("long", "a\x00b"),
    ("day", datetime(1, 1, 1, tzinfo=UTC).date()),
    ("moment", datetime(1, 1, 1, tzinfo=UTC)),
    ("moment", datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ("address", "::ffff:192.0.2.1"),
]


@pytest.mark.parametrize(("name", "value"), VALUES, ids=[f"{name} {value!r:.20}" for name, value in VALUES])
def test_value_arrives_as_it_is_or_is_refused(name: str, value: Any) -> None:
    try:
        with transaction.atomic():
            measurement = Measurement.objects.create(**{name: value})
    except (DatabaseError, OverflowError, ValueError):
        pytest.skip("LOCAL cannot hold it")
    Measurement.objects.create()
    Customer.objects.create(name="Vimes")
    (here,) = Measurement.objects.filter(pk=measurement.pk).values_list(name, flat=True)
    if here is None:
        pytest.skip("LOCAL holds NULL in its place")

    try:
        call_synchronize()
    except Refused as error:
        message = str(error)
        assert f"shop.Measurement {measurement.pk}, column {name}: " in message
        assert str(value)[:12] not in message
        assert (remote_count(Measurement), remote_count(Customer)) == (0, 0)
    else:
        (there,) = (
            Measurement.objects.using(REMOTE)
            .exclude(**{f"{name}__isnull": True})
            .values_list(name, flat=True)
        )
        assert there == here or repr(there) == repr(here) or is_the_same_float(here, there)


@pytest.mark.once
def test_natural_key_that_cannot_be_read_is_not_taken_for_an_empty_one(settings: Any) -> None:
    """REMOTE's row that has none there is another one."""
    if connections[LOCAL].vendor != "sqlite":
        pytest.skip("only SQLite holds a text in a column of dates")
    settings.SYNCHRO_MODEL_OPTIONS = {"shop.Measurement": {"NATURAL_KEY": ("short", "day")}}
    settings.SYNCHRO_ON_ERROR = "quarantine"
    own = create_on_remote(Measurement, short="x", day=None, number=5)
    Measurement.objects.create(short="x", day=date(2020, 1, 1), number=1)
    with unlogged(LOCAL), connections[LOCAL].cursor() as cursor:
        cursor.execute("UPDATE shop_measurement SET day = 'no day'")
    assert call_synchronize().aside == 1

    with unlogged(LOCAL):
        Measurement.objects.update(day=date(2020, 1, 1))
    assert call_synchronize(retry=True).aside == 0

    assert remote(Measurement, pk=own.pk).number == 5
    assert remote_count(Measurement) == 2


def is_the_same_float(here: Any, there: Any) -> bool:
    """
    Whether LOCAL's JSON holds nothing but floating-point numbers, as MySQL does of long ones, and REMOTE's are those.

    PostgreSQL writes such a number without its exponent, and Python then reads a whole number.
    """
    if not isinstance(here, dict):
        return False
    floats_here, floats_there = (json.loads(json.dumps(one), parse_int=float) for one in (here, there))
    return repr(floats_here) == repr(here) and bool(floats_there == floats_here)


def test_server_that_would_cut_values_short_is_told_not_to() -> None:
    if connections[REMOTE].vendor != "mysql":
        pytest.skip("only MySQL and MariaDB can be told so")
    with connections[REMOTE].cursor() as cursor:
        cursor.execute("SELECT @@SESSION.sql_mode")
        (before,) = cursor.fetchone()
        cursor.execute("SET SESSION sql_mode = ''")
        cursor.execute("ALTER TABLE shop_measurement MODIFY short varchar(5)")
        try:
            measurement = Measurement.objects.create(short="far too long")
            with pytest.raises(Refused, match=rf"shop\.Measurement {measurement.pk}, column short"):
                call_synchronize()
            cursor.execute("SELECT @@SESSION.sql_mode")
            assert cursor.fetchone() == ("",)
        finally:
            cursor.execute("ALTER TABLE shop_measurement MODIFY short varchar(100)")
            cursor.execute("SET SESSION sql_mode = %s", [before])


def test_json_of_ordinary_numbers_is_the_same_text() -> None:
    Measurement.objects.create(data={"a": 1, "b": 0.1, "c": "1234567890123456789012"})

    call_synchronize()

    assert json.dumps(remote(Measurement).data) == '{"a": 1, "b": 0.1, "c": "1234567890123456789012"}'


@pytest.mark.parametrize(
    "value", [Decimal("1.123456789"), Decimal("-0.000005"), Decimal("2.000015"), 1 / Decimal(3)]
)
def test_decimal_with_more_places_than_its_field_arrives_as_local_reads_it(value: Decimal) -> None:
    """SQLite keeps what Django gives it, and Django reads the places of the field."""
    measurement = Measurement.objects.create(amount=value)
    measurement.refresh_from_db()

    call_synchronize()

    assert remote(Measurement).amount == measurement.amount
    measurement.amount = 2 * value
    measurement.save()
    measurement.refresh_from_db()
    call_synchronize()
    assert remote(Measurement).amount == measurement.amount


@pytest.mark.skipif(KINDS.count("mysql") != 1, reason="about MySQL and another engine")
def test_whole_number_that_mysql_would_spell_otherwise_is_refused_by_name() -> None:
    """It holds one of more than 64 bits as a fraction, and spells it with fewer digits than it has."""
    with other_side() if KINDS[0] == "mysql" else nullcontext():
        exact = Measurement.objects.create(data={"number": 10**20, "small": 2**64 - 1})
        call_synchronize()
        assert remote(Measurement).data["number"] == 10**20
        other = Measurement.objects.create(data={"number": -11983416197737336832})
        with pytest.raises(Refused, match=rf"shop\.Measurement {other.pk}, column data: "):
            call_synchronize()
        assert exact.pk != other.pk
        assert remote_count(Measurement) == 1
