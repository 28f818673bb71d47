"""An account that may not do everything on REMOTE: real accounts."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connections

from synchro.core import call_synchronize
from synchro.exceptions import NotReady
from synchro.models import Receipt
from tests.replay.compare import assert_same_rows
from tests.replay.sides import REMOTE, remote_count
from tests.shop.models import Customer, Seat

pytestmark = [
    pytest.mark.django_db(databases=["default", "remote"], transaction=True),
    pytest.mark.skipif(connections[REMOTE].vendor == "sqlite", reason="SQLite has no accounts"),
]
EVERYTHING = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})


@contextmanager
def account(lacking: dict[str, set[str]]) -> Iterator[None]:
    """Inside, REMOTE is written into by an account that has all rights in each table, less those that are `lacking`."""
    connection = connections[REMOTE]
    settings, quote = connection.settings_dict, connection.ops.quote_name
    name, password = f"clerk{secrets.token_hex(4)}", "clerk"
    mysql = connection.vendor == "mysql"
    user = f"'{name}'@'%'" if mysql else name
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        cursor.execute(
            f"CREATE {'USER' if mysql else 'ROLE'} {user} {'IDENTIFIED BY' if mysql else 'LOGIN PASSWORD'} 'clerk'"
        )
        for table in tables:
            rights = ", ".join(sorted(EVERYTHING - lacking.get(table, set())))
            cursor.execute(f"GRANT {rights} ON {quote(table)} TO {user}")
        if not mysql:
            cursor.execute(f"GRANT USAGE, UPDATE ON ALL SEQUENCES IN SCHEMA public TO {user}")
    own = {key: settings[key] for key in ("USER", "PASSWORD")}
    connection.close()
    settings |= {"USER": name, "PASSWORD": password}
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


def test_account_with_rights_in_the_tables_alone_is_enough() -> None:
    call_synchronize()
    vimes = Customer.objects.create(name="Vimes")
    with account({}):
        call_synchronize()
        assert_same_rows()
        vimes.delete()
        call_synchronize()
    assert_same_rows()
