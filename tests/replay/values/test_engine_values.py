"""Values that an engine holds and Python or the other engine does not: equal on REMOTE, or refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, connections, transaction

from synchro.core import call_synchronize
from synchro.exceptions import Refused
from synchro.models import SetAside
from tests.replay.deployments import REMOTE, remote_count
from tests.shop.models import Customer, Measurement

pytestmark = pytest.mark.django_db(databases=["default", "remote"])

#: By LOCAL's vendor: a column of `Measurement`, and SQL of a value.
RAW = {
    "sqlite": [
        ("day", "'soon'"),
        ("day", "20240101"),
        ("moment", "'soon'"),
        ("moment", "'2024-01-01 00:00:00.1234567'"),
        ("hour", "'25:00:00'"),
        ("hour", "'noon'"),
        ("lasted", "'long'"),
        ("lasted", "1.5"),
        ("amount", "'much'"),
        ("amount", "0.123456789"),
        ("amount", "1e999"),
        ("ratio", "'much'"),
        ("token", "'none'"),
        ("token", "5"),
        ("maybe", "'perhaps'"),
        ("maybe", "2"),
        ("number", "'many'"),
        ("number", "1.5"),
        ("big", "x'00'"),
        ("short", "x'ff'"),
        ("long", "CAST(x'ff' AS TEXT)"),
        ("raw", "'text'"),
        ("raw", "5"),
        ("address", "5"),
    ],
    "postgresql": [
        ("day", "'infinity'"),
        ("day", "'0044-03-15 BC'"),
        ("day", "'12024-01-01'"),
        ("moment", "'-infinity'"),
        ("moment", "'12024-01-01'"),
        ("hour", "'24:00:00'"),
        ("lasted", "'1 year 2 mons 3 days'"),
        ("lasted", "'infinity'"),
        ("lasted", "'-3 days 00:00:00.000007'"),
        ("amount", "'NaN'"),
        ("ratio", "'-Infinity'"),
        ("data", "'1.2345678901234567890123'"),
        ("data", "'1e400'"),
    ],
    "mysql": [
        ("day", "'0000-00-00'"),
        ("day", "'2024-02-31'"),
        ("day", "'2024-00-10'"),
        ("moment", "'0000-00-00 00:00:00'"),
        ("moment", "'2024-02-31 10:00:00'"),
        ("hour", "'25:00:00'"),
        ("hour", "'-01:00:00'"),
        ("hour", "'10:00:00.000029'"),
        ("ratio", "-0e0"),
        ("maybe", "2"),
    ],
}
LAXLY = "ALLOW_INVALID_DATES"


def hold(name: str, value: str) -> Measurement:
    """Rows of LOCAL of which one has this value; skip where LOCAL does not take it."""
    Measurement.objects.create(short="before")
    measurement = Measurement.objects.create(short="held")
    Measurement.objects.create(short="after")
    Customer.objects.create(name="Vimes")
    try:
        set_raw(measurement, name, value)
    except DatabaseError:
        pytest.skip("LOCAL does not hold it")
    return measurement


def set_raw(measurement: Measurement, name: str, value: str) -> None:
    connection = connections["default"]
    quote = connection.ops.quote_name
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            cursor.execute("SET SESSION sql_mode = %s", [LAXLY])
        try:
            with transaction.atomic():
                cursor.execute(
                    f"UPDATE {quote(Measurement._meta.db_table)} SET {quote(name)} = {value} "
                    f"WHERE id = {measurement.pk:d}"
                )
        finally:
            if connection.vendor == "mysql":
                cursor.execute("SET SESSION sql_mode = DEFAULT")


def stored(alias: str, name: str) -> Any:
    """The value of the row `held` as the server itself spells it; an empty list where there is no such row."""
    connection = connections[alias]
    quote = connection.ops.quote_name
    spelled = quote(name)
    if connection.vendor == "sqlite":
        spelled = f"typeof({spelled}) || quote({spelled})"
    elif connection.vendor == "mysql":
        spelled = f"CAST({spelled} AS CHAR)"
    else:
        spelled = f"{spelled}::text"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {spelled} FROM {quote(Measurement._meta.db_table)} WHERE {quote('short')} = 'held' "
            f"OR {quote('short')} IS NULL OR LENGTH({quote('short')}) = 1"
        )
        return cursor.fetchall()


def refusal_of_a_run() -> str | None:
    try:
        call_synchronize()
    except Refused as error:
        return str(error)
    return None


CASES = [(vendor, *case) for vendor, cases in RAW.items() for case in cases]


def skip_elsewhere(vendor: str) -> None:
    if connections["default"].vendor != vendor:
        pytest.skip(f"LOCAL is not {vendor}")


def arrived_equal(name: str) -> bool:
    """Whether REMOTE has the row, with LOCAL's value as Django reads it or as both servers spell it."""
    if connections["default"].vendor == connections[REMOTE].vendor:
        return bool(stored("default", name) == stored(REMOTE, name))
    here = Measurement.objects.filter(short="held").values_list(name, flat=True)
    there = Measurement.objects.using(REMOTE).filter(short="held").values_list(name, flat=True)
    return list(map(repr, here)) == list(map(repr, there))


@pytest.mark.parametrize(("vendor", "name", "value"), CASES)
def test_value_of_the_engine_arrives_equal_or_is_refused_by_name(vendor: str, name: str, value: str) -> None:
    skip_elsewhere(vendor)
    measurement = hold(name, value)

    refusal = refusal_of_a_run()

    if refusal is None:
        assert arrived_equal(name)
    else:
        assert f"shop.Measurement {measurement.pk}, column {name}: " in refusal
        assert len(value) < 4 or value.strip("'") not in refusal
        assert (remote_count(Measurement), remote_count(Customer)) == (0, 0)


@pytest.mark.parametrize(("vendor", "name", "value"), CASES)
def test_row_with_such_a_value_is_put_in_quarantine_and_the_others_arrive(
    vendor: str, name: str, value: str, settings: Any
) -> None:
    skip_elsewhere(vendor)
    settings.SYNCHRO_ON_ERROR = "quarantine"
    measurement = hold(name, value)

    report = call_synchronize()

    assert remote_count(Customer) == 1
    if report.aside:
        (found,) = SetAside.objects.all()
        assert (found.object_id, remote_count(Measurement)) == (str(measurement.pk), 2)
        assert name in found.cause
        set_raw(measurement, name, "NULL")
        assert call_synchronize(retry=True).aside == 0
        assert remote_count(Measurement) == 3
    else:
        assert arrived_equal(name)
