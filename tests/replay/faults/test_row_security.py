"""PostgreSQL's row-level security: what an account cannot see is no deletion."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connections

from synchro.core import call_synchronize
from synchro.exceptions import NotReady
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import LOCAL, REMOTE, remote_count
from tests.shop.models import Customer

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)


@contextmanager
def account_with_a_policy(alias: str, table: str, policy: str) -> Iterator[None]:
    """Inside, this database is used by an account to which a policy shows only some rows of the table."""
    connection = connections[alias]
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL has row-level security")
    settings = connection.settings_dict
    clerk, password = f"clerk{secrets.token_hex(4)}", secrets.token_hex(8)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {clerk} LOGIN PASSWORD '{password}'")
        cursor.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {clerk}")
        cursor.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {clerk}")
        cursor.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        cursor.execute(f"CREATE POLICY tenant ON {table} TO {clerk} USING ({policy})")
    own = {key: settings[key] for key in ("USER", "PASSWORD")}
    connection.close()
    settings |= {"USER": clerk, "PASSWORD": password}
    try:
        yield
    finally:
        connection.close()
        settings |= own
        with connection.cursor() as cursor:
            cursor.execute(f"DROP POLICY IF EXISTS tenant ON {table}")
            cursor.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
            cursor.execute(f"DROP OWNED BY {clerk}")
            cursor.execute(f"DROP ROLE {clerk}")


@pytest.mark.parametrize("alias", [LOCAL, REMOTE])
@pytest.mark.parametrize("table", ["shop_customer", "synchro_changelog"])
def test_rows_that_are_hidden_stop_the_run_before_anything_is_written(alias: str, table: str) -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    customer.cash = 5
    customer.save()

    with account_with_a_policy(alias, table, "false"), pytest.raises(NotReady, match=f"{table}.*BYPASSRLS"):
        call_synchronize()

    assert remote_count(Customer) == 1
    call_synchronize()
    assert_same_rows()


def test_policy_that_comes_in_the_middle_of_a_run_stops_it_too() -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    customer.cash = 5
    customer.save()
    checked: list[int] = []

    def disable(execute, sql, params, many, context):  # type: ignore[no-untyped-def]
        # The table has no policy yet when the run asks for it.
        if "row_security_active" in sql:
            checked.append(1)
            sql = sql.replace("WHERE", "WHERE false AND")
        return execute(sql, params, many, context)

    with (
        account_with_a_policy(LOCAL, "shop_customer", "false"),
        connections[LOCAL].execute_wrapper(disable),
        pytest.raises(NotReady),
    ):
        call_synchronize()

    assert checked
    assert remote_count(Customer) == 1
    call_synchronize()
    assert_same_rows()


def test_owner_of_the_tables_sees_all_rows() -> None:
    Customer.objects.create(name="Vimes")
    connection = connections[LOCAL]
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL has row-level security")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE shop_customer ENABLE ROW LEVEL SECURITY")
    try:
        call_synchronize()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE shop_customer DISABLE ROW LEVEL SECURITY")
    assert_same_rows()
