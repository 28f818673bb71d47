"""A column of REMOTE that holds less than the model says gets no value that it would change without a word."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from django.db import connections

from synchro.core import call_synchronize
from synchro.exceptions import Refused
from tests.replay.deployments import LOCAL, REMOTE, remote, remote_count
from tests.shop.models import Measurement

pytestmark = [
    pytest.mark.django_db(databases=["default", "remote"], transaction=True),
    pytest.mark.skipif(
        connections[REMOTE].vendor == "sqlite", reason="SQLite's columns hold whatever they are given"
    ),
]

#: A column of `Measurement`, its narrow type on MySQL and on PostgreSQL, what fits and what does not.
NARROW: list[tuple[str, str, str, Any, Any]] = [
    ("ratio", "float", "real", 0.5, 0.1),
    ("amount", "numeric(15, 2)", "numeric(15, 2)", Decimal("1.25"), Decimal("1.255")),
    (
        "moment",
        "datetime",
        "timestamp(0) with time zone",
        datetime(2020, 1, 1, 10, tzinfo=UTC),
        datetime(2020, 1, 1, 10, 0, 0, 7, tzinfo=UTC),
    ),
    ("hour", "time(3)", "time(3)", time(1, 2, 3, 4000), time(1, 2, 3, 4)),
    ("short", "varchar(5)", "varchar(5)", "abcde", "abcde  "),
    ("link", "char(3)", "char(3)", "abc", "ab  "),
]


@contextmanager
def narrow(alias: str, name: str, kind: str) -> Iterator[None]:
    """Inside, the column has this type in the database `alias`."""
    field = Measurement._meta.get_field(name)
    try:
        alter(alias, name, kind)
        yield
    finally:
        Measurement.objects.using(alias).all().delete()
        alter(alias, name, field.db_type(connections[alias]) or "")


def alter(alias: str, name: str, kind: str) -> None:
    connection = connections[alias]
    quote = connection.ops.quote_name
    change = (
        f"MODIFY {quote(name)} {kind} NULL"
        if connection.vendor == "mysql"
        else f"ALTER COLUMN {quote(name)} TYPE {kind}"
    )
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {quote(Measurement._meta.db_table)} {change}")


@pytest.mark.parametrize(("name", "on_mysql", "on_postgresql", "fits", "does_not"), NARROW)
def test_value_that_a_narrow_column_would_change_is_refused_by_name(
    name: str, on_mysql: str, on_postgresql: str, fits: Any, does_not: Any
) -> None:
    with narrow(REMOTE, name, on_mysql if connections[REMOTE].vendor == "mysql" else on_postgresql):
        measurement = Measurement.objects.create(**{name: fits})
        call_synchronize()
        assert getattr(remote(Measurement), name) == fits

        setattr(measurement, name, does_not)
        measurement.save()
        if getattr(Measurement.objects.get(), name) != does_not:
            return  # nor does LOCAL hold it
        with pytest.raises(Refused, match=rf"shop\.Measurement {measurement.pk}, column {name}: "):
            call_synchronize()

        assert remote_count(Measurement) == 1
        assert getattr(remote(Measurement), name) == fits


def test_number_of_a_narrow_column_of_local_arrives_as_it_is() -> None:
    if connections[LOCAL].vendor == "sqlite":
        pytest.skip("SQLite's columns hold whatever they are given")
    with narrow(LOCAL, "ratio", "float" if connections[LOCAL].vendor == "mysql" else "real"):
        Measurement.objects.create(ratio=0.1)
        call_synchronize()

        (single,) = struct.unpack("f", struct.pack("f", 0.1))
        assert remote(Measurement).ratio == single
