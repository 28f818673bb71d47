"""What a move says before anything is written: which rows REMOTE cannot hold, by model, column and number."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from django.db import connection, connections

from synchro.models import Batch, ChangeLog, Node, Peer
from synchro.move import Finding, preflight
from tests.replay.deployments import unlogged
from tests.shop.models import Comment, Country, Currency, Customer, Measurement, Order, Seat

LOCAL, REMOTE = os.environ.get("SYNCHRO_TEST_PAIR", "sqlite-sqlite").replace("_old", "").split("-")
ARE_MYSQL = ("mysql", "mariadb")

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)


def serious(findings: list[Finding]) -> list[tuple[str, str, int | None]]:
    """What is in the way, but for room on a disk, which is the machine's."""
    return sorted((each.model, each.column, each.rows) for each in findings if each.is_serious and each.model)


def raw(alias: str, sql: str, *values: object) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, values)


@contextmanager
def altered(alias: str, there: str, back: str) -> Iterator[None]:
    """Inside, the statement `there` has been made; at the end, the statement `back` is."""
    raw(alias, there)
    try:
        yield
    finally:
        raw(alias, back)


def test_rows_of_every_type_are_not_in_the_way_and_nothing_is_written() -> None:
    Measurement.objects.create(
        moment=datetime(2024, 2, 29, 23, 59, 59, 999999, UTC),
        day=datetime(2024, 2, 29, tzinfo=UTC).date(),
        hour=datetime(2024, 1, 1, 23, 59, 59, 999999, UTC).time(),
        amount=Decimal("1234567890.12345"),
        huge_amount=Decimal("12345678901234567890.12345678901234567890") if LOCAL != "sqlite" else None,
        ratio=0.1,
        data={"text": "\\u0000 is an escape here", "list": [1, None]},
        raw=b"\0\xff",
        token=UUID(int=5),
        short="Łódź, 東京, 😀 ",
        long="",
        address="2001:db8::1",
        small=-32768,
        number=-(2**31),
        big=2**63 - 1,
        positive=2**63 - 1,
    )
    Measurement.objects.create()
    customer = Customer.objects.create(name="x" * 40)
    Order.objects.create(customer=customer, note="first")
    Country.objects.create(code="pl", name="Polska")
    Comment.objects.create(target=customer, text="well")
    before = [model.objects.count() for model in (ChangeLog, Node, Batch, Peer)]

    assert serious(preflight("remote")) == []
    assert [model.objects.count() for model in (ChangeLog, Node, Batch, Peer)] == before
    assert not Customer.objects.using("remote").exists()


@pytest.mark.skipif((LOCAL, REMOTE) != ("sqlite", "postgresql"), reason="what only SQLite holds")
def test_values_that_sqlite_alone_holds_are_counted() -> None:
    with unlogged("default"):
        for name in ("x" * 41, "y" * 50, "NUL \0 inside"):
            Customer.objects.create(name=name)
        for text in ("12", "abc"):
            raw("default", "INSERT INTO shop_measurement (yes, number) VALUES (1, %s)", text)
        raw("default", "INSERT INTO shop_measurement (yes, small, token) VALUES (7, 32768, 'no uuid')")
        raw("default", 'INSERT INTO shop_measurement (yes, data) VALUES (1, \'{"a": "\\u0000"}\')')
        raw("default", "INSERT INTO shop_measurement (yes, day) VALUES (1, '2023-02-31x')")
        with connection.constraint_checks_disabled():
            raw("default", "INSERT INTO shop_order (customer_id, note) VALUES (4711, 'nobody''s')")
        try:
            found = serious(preflight("remote"))
        finally:
            raw("default", "DELETE FROM shop_order WHERE customer_id = 4711")

    assert found == [
        ("shop.Customer", "name", 1),
        ("shop.Customer", "name", 2),
        ("shop.Measurement", "data", 1),
        ("shop.Measurement", "day", 1),
        ("shop.Measurement", "number", 1),
        ("shop.Measurement", "small", 1),
        ("shop.Measurement", "token", 1),
        ("shop.Measurement", "yes", 1),
        ("shop.Order", "customer_id", 1),
    ]


@pytest.mark.skipif(LOCAL not in ARE_MYSQL or REMOTE != "postgresql", reason="from MySQL to PostgreSQL")
def test_nul_zero_dates_and_what_is_too_large_for_postgresql_are_counted() -> None:
    with unlogged("default"):
        Customer.objects.create(name="NUL \0 inside")
        Measurement.objects.create(data={"a": ["\0"]})
        Measurement.objects.create(positive=2**63 - 1)
        raw("default", "INSERT INTO shop_measurement (yes, positive) VALUES (1, 18446744073709551615)")
        raw("default", "SET SESSION sql_mode = ''")
        raw("default", "INSERT INTO shop_measurement (yes, day) VALUES (1, '0000-00-00')")
        raw("default", "INSERT INTO shop_measurement (yes, moment) VALUES (7, '2024-00-10 00:00:00')")
        connection.close()

    assert serious(preflight("remote")) == [
        ("shop.Customer", "name", 1),
        ("shop.Measurement", "data", 1),
        ("shop.Measurement", "day", 1),
        ("shop.Measurement", "moment", 1),
        ("shop.Measurement", "positive", 1),
        ("shop.Measurement", "yes", 1),
    ]


@pytest.mark.skipif(LOCAL != "postgresql" or REMOTE not in ARE_MYSQL, reason="from PostgreSQL to MySQL")
def test_infinite_values_and_texts_that_collide_on_mysql_are_counted() -> None:
    with unlogged("default"):
        for code in ("pl", "PL", "de", "ér", "er", "Er", "x "):
            Country.objects.create(code=code, name=code)
        for code in ("eur", "EUR", "usd"):
            Currency.objects.create(code=code)
        for ratio in (float("inf"), float("nan"), 1.5):
            Measurement.objects.create(ratio=ratio)
        raw("default", "INSERT INTO shop_measurement (yes, day) VALUES (TRUE, 'infinity')")

    assert serious(preflight("remote")) == [
        ("shop.Country", "code", 5),
        ("shop.Currency", "code", 2),
        ("shop.Measurement", "day", 1),
        ("shop.Measurement", "ratio", 2),
    ]


@pytest.mark.skipif(REMOTE == "sqlite", reason="no column of SQLite is narrow")
def test_columns_that_are_narrower_or_missing_on_remote_are_named() -> None:
    with unlogged("default"):
        Customer.objects.create(name="twelve chars")
        Seat.objects.create(number=1, guest=None)
        Seat.objects.create(number=40_000, guest="me")
    if REMOTE == "postgresql":
        alter = "ALTER TABLE {} ALTER COLUMN {} TYPE {}".format
        narrow = alter("shop_customer", "name", "varchar(10)"), alter("shop_customer", "name", "varchar(40)")
        small = alter("shop_seat", "number", "smallint"), alter("shop_seat", "number", "integer")
    else:
        alter = "ALTER TABLE {} MODIFY {} {} NOT NULL".format
        narrow = alter("shop_customer", "name", "varchar(10)"), alter("shop_customer", "name", "varchar(40)")
        small = alter("shop_seat", "number", "smallint"), alter("shop_seat", "number", "integer")
    renamed = "ALTER TABLE shop_seat RENAME COLUMN {} TO {}".format
    with (
        altered("remote", *narrow),
        altered("remote", *small),
        altered("remote", renamed("guest", "visitor"), renamed("visitor", "guest")),
    ):
        found = preflight("remote")

    assert serious(found) == [
        ("shop.Customer", "name", 1),
        ("shop.Seat", "guest", 2),
        ("shop.Seat", "number", 1),
    ]
    assert "longer than 10 characters" in str(next(each for each in found if each.column == "name"))


@pytest.mark.skipif(REMOTE != "postgresql", reason="a trigger in PostgreSQL's words")
def test_triggers_of_others_and_rights_are_asked_for() -> None:
    body = "LANGUAGE plpgsql AS 'BEGIN NEW.cash = 1; RETURN NEW; END'"
    function = f"CREATE FUNCTION count_customers() RETURNS trigger {body}"
    trigger = "CREATE TRIGGER counted BEFORE INSERT ON shop_customer FOR EACH ROW EXECUTE FUNCTION count_customers()"
    with altered("remote", f"{function}; {trigger}", "DROP FUNCTION count_customers() CASCADE"):
        found = preflight("remote")

    assert any("shop_customer.counted" in each.what and each.is_serious for each in found)
