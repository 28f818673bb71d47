"""An account that may not do everything on REMOTE: real accounts."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.apps import apps
from django.db import connections

from synchro.core import call_synchronize
from synchro.exceptions import NotReady
from synchro.models import Receipt
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import REMOTE, remote_count
from tests.shop.models import Customer, Seat

pytestmark = [
    pytest.mark.django_db(databases=["default", "remote"], transaction=True),
    pytest.mark.skipif(connections[REMOTE].vendor == "sqlite", reason="SQLite has no accounts"),
]
EVERYTHING = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})


@pytest.fixture(autouse=True)
def _only_the_shop(settings: Any) -> None:
    settings.SYNCHRO_MODELS = ["shop"]


@contextmanager
def account(lacking: dict[str, set[str]]) -> Iterator[None]:
    """Inside, REMOTE is written into by an account that has all rights in each table, less those that are `lacking`."""
    connection = connections[REMOTE]
    settings = connection.settings_dict
    clerk, password = f"clerk{secrets.token_hex(4)}", secrets.token_hex(8)
    mysql = connection.vendor == "mysql"
    user = f"'{clerk}'@'%'" if mysql else clerk
    with connection.cursor() as cursor:
        models = [model for model in apps.get_models(include_auto_created=True) if model._meta.managed]
        cursor.execute(
            f"CREATE {'USER' if mysql else 'ROLE'} {user} {'IDENTIFIED BY' if mysql else 'LOGIN PASSWORD'} '{password}'"
        )
        for table in {model._meta.db_table for model in models if model._meta.app_label != "capture"}:
            if rights := ", ".join(sorted(EVERYTHING - lacking.get(table, set()))):
                cursor.execute(f"GRANT {rights} ON {connection.ops.quote_name(table)} TO {user}")
        if not mysql:
            cursor.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {user}")
            for name in lacking:
                if name.endswith("_seq"):
                    cursor.execute(f"REVOKE {', '.join(lacking[name])} ON SEQUENCE {name} FROM {user}")
    own = {key: settings[key] for key in ("USER", "PASSWORD")}
    connection.close()
    settings |= {"USER": clerk, "PASSWORD": password}
    try:
        yield
    finally:
        connection.close()
        settings |= own
        with connection.cursor() as cursor:
            if not mysql:
                cursor.execute(f"DROP OWNED BY {user}")
            cursor.execute(f"DROP {'USER' if mysql else 'ROLE'} {user}")


def test_rights_that_are_missing_are_said_before_anything_is_written() -> None:
    call_synchronize()
    receipts = list(Receipt.objects.using(REMOTE).values())
    Customer.objects.create(name="Vimes")
    Seat.objects.create(number=1)

    with (
        account({"shop_customer": {"DELETE"}, "shop_seat": {"INSERT", "DELETE"}}),
        pytest.raises(NotReady) as raised,
    ):
        call_synchronize()

    message = str(raised.value)
    assert "INSERT ON shop_seat;" in message
    assert message.endswith("DELETE ON shop_customer, shop_seat.")
    assert "UPDATE" not in message
    assert remote_count(Customer) == 0
    assert list(Receipt.objects.using(REMOTE).values()) == receipts
    call_synchronize()
    assert_same_rows()


def test_table_that_cannot_be_read_is_named() -> None:
    call_synchronize()
    Customer.objects.create(name="Vimes")
    with (
        account({"shop_seat": {"SELECT"}}),
        pytest.raises(NotReady, match=r"shop_seat, of shop\.Seat.* account"),
    ):
        call_synchronize()
    with account({"shop_seat": set(EVERYTHING)}), pytest.raises(NotReady, match=r"shop_seat, of shop\.Seat"):
        call_synchronize()


@pytest.mark.skipif(
    connections[REMOTE].vendor != "postgresql", reason="only PostgreSQL has rights on sequences"
)
def test_right_on_a_sequence_that_is_missing_is_said() -> None:
    call_synchronize()
    Customer.objects.create(name="Vimes")
    with (
        account({"shop_customer_id_seq": {"UPDATE"}}),
        pytest.raises(NotReady, match=r": UPDATE ON shop_customer_id_seq\.$"),
    ):
        call_synchronize()


def test_account_with_rights_in_the_tables_alone_is_enough() -> None:
    call_synchronize()
    vimes = Customer.objects.create(name="Vimes")
    with account({}):
        call_synchronize()
        assert remote_count(Customer) == 1
        vimes.delete()
        call_synchronize()
    assert_same_rows()
