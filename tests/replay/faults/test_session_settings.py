"""Options of a connection, as Django's and the drivers' documentation name them: a run works the same with any."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import connections
from django.db.models.signals import post_save

from synchro.core import call_synchronize
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import LOCAL, REMOTE, other_side, remote, remote_count, use_up_key_on_remote
from tests.shop.models import Album, Artist, Customer, Measurement, Order, Seat

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)

#: Other styles of dates and spans of time psycopg itself does not read.
STYLES = "-c datestyle=ISO,DMY -c bytea_output=escape -c extra_float_digits=0"
ODD_MODES = (
    "STRICT_TRANS_TABLES,NO_BACKSLASH_ESCAPES,ANSI_QUOTES,PIPES_AS_CONCAT",
    "ANSI,STRICT_ALL_TABLES,HIGH_NOT_PRECEDENCE,PAD_CHAR_TO_FULL_LENGTH",
    "NO_UNSIGNED_SUBTRACTION,REAL_AS_FLOAT,NO_AUTO_VALUE_ON_ZERO",
    "",
)


def psycopg(name: str) -> Any:
    """A level of isolation, where the driver is there."""
    return getattr(pytest.importorskip("psycopg").IsolationLevel, name)


POSTGRESQL: dict[str, dict[str, Any]] = {
    "server_side_binding": {"server_side_binding": True},
    "styles": {"options": STYLES},
    "prepare": {"prepare_threshold": 0},
    "serializable": {"isolation_level": "SERIALIZABLE"},
    "repeatable read": {"isolation_level": "REPEATABLE_READ"},
    "pool": {"pool": {"min_size": 1, "max_size": 2}},
    "assume_role": {"assume_role": True},
}
MYSQL: dict[str, dict[str, Any]] = {
    "serializable": {"isolation_level": "serializable"},
    "repeatable read": {"isolation_level": "repeatable read"},
    "utf8mb4 collation": {"init_command": "SET collation_connection = 'utf8mb4_bin'"},
    "time zone": {"init_command": "SET time_zone = '+05:30'"},
    **{f"sql_mode {mode}": {"init_command": f"SET sql_mode = '{mode}'"} for mode in ODD_MODES},
}
SQLITE: dict[str, dict[str, Any]] = {
    "deferred": {"transaction_mode": "DEFERRED"},
    "exclusive": {"transaction_mode": "EXCLUSIVE"},
    "no foreign keys": {"init_command": "PRAGMA foreign_keys = OFF"},
    "recursive triggers": {"init_command": "PRAGMA recursive_triggers = ON"},
}
OPTIONS = {"postgresql": POSTGRESQL, "mysql": MYSQL, "sqlite": SQLITE}


@contextmanager
def connected(alias: str, **options: Any) -> Iterator[None]:
    """Inside, this database is reached with these options."""
    connection = connections[alias]
    settings, before = connection.settings_dict, connection.settings_dict["OPTIONS"]
    connection.close()
    if "isolation_level" in options and connection.vendor == "postgresql":
        options["isolation_level"] = psycopg(options["isolation_level"])
    if options.get("assume_role"):
        options["assume_role"] = settings["USER"]
    settings["OPTIONS"] = {**before, **options}
    try:
        yield
    finally:
        connection.close()
        if "pool" in options:
            connection.close_pool()  # type: ignore[attr-defined]
        settings["OPTIONS"] = before


def cases() -> list[Any]:
    return [
        pytest.param(alias, name, id=f"{alias} {connections[alias].vendor} {name}")
        for alias in (LOCAL, REMOTE)
        for name in OPTIONS[connections[alias].vendor]
    ]


def measure() -> Measurement:
    return Measurement.objects.create(
        moment=datetime(2024, 3, 4, 5, 6, 7, 8, tzinfo=UTC),
        day=date(2024, 1, 2),
        hour=time(1, 2, 3, 4),
        lasted=timedelta(days=400, hours=5, microseconds=7),
        amount=Decimal("1.10000"),
        ratio=0.1 + 0.2,
        data={"a": [1, None, "x\\'\"%s"]},
        raw=bytes(range(256)),
        token=UUID(int=5),
        short="it's \\ \" %s é€ ",
    )


@pytest.mark.parametrize(("alias", "name"), cases())
def test_run_works_the_same_with_any_option(alias: str, name: str, settings: Any) -> None:
    settings.SYNCHRO_MODELS = ["shop"]
    use_up_key_on_remote(Customer, name="gone")
    with connected(alias, **OPTIONS[connections[alias].vendor][name]):
        customers = [Customer.objects.create(name=f"c{i} \\ ' \" %s é€") for i in range(30)]
        orders = [Order.objects.create(customer=customer) for customer in customers[:10]]
        seats = [Seat.objects.create(number=number) for number in range(3)]
        measurements = [measure() for _ in range(3)]
        album = Album.objects.create(name="it's \\b")
        artists = [Artist.objects.create(name=f"a{i}") for i in range(3)]
        album.artists.set(artists)
        call_synchronize()
        assert remote_count(Customer) == 30

        for customer in customers[:20]:
            customer.cash = 5
            customer.save()
        orders[0].delete()
        customers[25].delete()
        seats[0].number = 100
        seats[0].save()
        seats[2].number = 0
        seats[2].save()
        measurements[0].delete()
        measurements[1].ratio = 1 / 3
        measurements[1].save()
        album.artists.remove(artists[0])
        call_synchronize()
        if name != "pool":  # which goes by the alias
            with other_side():
                Customer.objects.create(name="from there")
                call_synchronize()
        assert call_synchronize().entries == 0
        Seat.objects.create(number=77)
        call_synchronize(atomic=True)
    assert_same_rows()


@pytest.mark.parametrize("is_heard", [False, True])
def test_every_digit_of_a_float_arrives(is_heard: bool) -> None:
    """Object by object where somebody listens, in bulk where nobody does."""
    if connections[LOCAL].vendor != "postgresql":
        pytest.skip("only PostgreSQL has a setting for that")
    receivers = [lambda **_kwargs: None] if is_heard else []
    for receiver in receivers:
        post_save.connect(receiver, sender=Measurement)
    try:
        with connected(LOCAL, options=STYLES):
            measure()
            call_synchronize()
            with connections[LOCAL].cursor() as cursor:
                cursor.execute("SELECT current_setting('extra_float_digits'), current_setting('DateStyle')")
                assert cursor.fetchone() == ("0", "ISO, DMY")
    finally:
        for receiver in receivers:
            post_save.disconnect(receiver, sender=Measurement)

    assert remote(Measurement).ratio == 0.1 + 0.2
    assert_same_rows()


def test_session_of_a_web_process_has_its_mode_again_after_a_run() -> None:
    if connections[LOCAL].vendor != "mysql":
        pytest.skip("only MySQL and MariaDB have modes")
    with connected(LOCAL, init_command="SET sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT'"):
        Customer.objects.create(name="Vimes")
        call_synchronize()
        with connections[LOCAL].cursor() as cursor:
            cursor.execute("SELECT @@SESSION.sql_mode")
            assert set(cursor.fetchone()[0].split(",")) == {"ANSI_QUOTES", "PIPES_AS_CONCAT"}
