"""Without the instruments that tell of a server's open transactions, its log is not read as if there were none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
from django.db import connection, transaction

from synchro.backends import backend_for

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "remote"])


@contextmanager
def instrument(table: str, name: str) -> Iterator[Callable[[str], None]]:
    """What switches an instrument of the server on and off; every other session goes on with what it has."""
    with connection.cursor() as cursor:

        def switch(state: str) -> None:
            cursor.execute(
                f"UPDATE performance_schema.{table} SET enabled = %s WHERE name = %s", [state, name]
            )

        try:
            yield switch
        finally:
            switch("YES")


@pytest.mark.parametrize(
    ("table", "name"),
    [("setup_consumers", "global_instrumentation"), ("setup_instruments", "wait/lock/metadata/sql/mdl")],
)
def test_server_that_does_not_look_is_not_believed(table: str, name: str) -> None:
    if connection.vendor != "mysql" or connection.mysql_is_mariadb:  # type: ignore[attr-defined]
        pytest.skip("only MySQL has such instruments")
    engine = backend_for(connection)
    with instrument(table, name) as switch:
        switch("NO")
        with transaction.atomic():
            assert engine.writers("synchro_changelog") is None
        with closing(connection.copy()) as other, other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(
                "INSERT INTO synchro_changelog (content_type_id, object_id, date, action) VALUES (1, '1', now(), 1)"
            )
            switch("YES")
            with transaction.atomic():
                assert engine.writers("synchro_changelog")
            cursor.execute("ROLLBACK")
        with transaction.atomic():
            assert engine.writers("synchro_changelog") == frozenset()
