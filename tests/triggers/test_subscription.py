"""What another PostgreSQL server sends to LOCAL by logical replication is captured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.core.management import CommandError
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.models import ADDITION, CHANGE, DELETION, ChangeLog
from tests.capture.models import Unique
from tests.triggers.clients import engine
from tests.triggers.conftest import brief, empty, install

pytestmark = [
    pytest.mark.usefixtures("triggers"),
    pytest.mark.skipif(not engine().startswith("postgresql"), reason="of PostgreSQL alone"),
]

RIGHT = "All triggers are installed and up to date.\n"


def run(where: BaseDatabaseWrapper, *statements: str) -> None:
    with where.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement, None)


def until(condition: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if condition():
            return
        run(connection, "SELECT pg_sleep(0.01)")
    raise AssertionError("nothing arrived")


@pytest.fixture
def publisher() -> Iterator[BaseDatabaseWrapper]:
    """Another database, to one of whose tables LOCAL subscribes."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW wal_level")
        if cursor.fetchone() != ("logical",):
            pytest.skip("this server was not started with wal_level = logical")
    settings = connection.settings_dict
    name = f"{settings['NAME']}_publisher"
    run(connection, f'CREATE DATABASE "{name}"')
    other = type(connections["default"])(dict(settings, NAME=name), "default")
    # Of the same server: one that makes its slot as it is made would wait for itself.
    slot = "synchro_test"
    try:
        run(
            other,
            "CREATE TABLE capture_unique (id bigint PRIMARY KEY, code text, name text)",
            "CREATE PUBLICATION synchro_test FOR TABLE capture_unique",
            f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')",
        )
        login = f"host={settings['HOST']} port={settings['PORT']} user={settings['USER']} "
        login += f"password={settings['PASSWORD']} dbname={name}"
        run(
            connection,
            f"CREATE SUBSCRIPTION synchro_test CONNECTION '{login}' PUBLICATION synchro_test "
            f"WITH (create_slot = false, slot_name = '{slot}', copy_data = false)",
        )
        try:
            yield other
        finally:
            run(connection, "DROP SUBSCRIPTION synchro_test")
    finally:
        other.close()
        run(connection, f'DROP DATABASE "{name}" WITH (FORCE)')
        install()


@contextmanager
def arriving(entries: int) -> Iterator[None]:
    yield
    until(lambda: ChangeLog.objects.count() == entries)


def test_what_a_subscription_applies_is_captured(publisher: BaseDatabaseWrapper) -> None:
    with pytest.raises(CommandError, match=r"capture\.Unique: synchro_capture_own_insert is missing"):
        install("--check")
    install()
    assert install("--check") == RIGHT
    with arriving(4):
        run(
            publisher,
            "INSERT INTO capture_unique VALUES (1, 'a', ''), (2, 'b', '')",
            "UPDATE capture_unique SET name = 'x' WHERE id = 1",
            "DELETE FROM capture_unique WHERE id = 2",
        )
    assert brief() == [("1", ADDITION, ""), ("1", CHANGE, "name"), ("2", ADDITION, ""), ("2", DELETION, "")]
    with arriving(1):
        run(publisher, "TRUNCATE capture_unique")
    assert brief() == [("1", DELETION, "")]
    # Those who write to LOCAL itself are captured as before, and the switch is theirs.
    Unique.objects.create(pk=7, code="c")
    assert brief() == [("7", ADDITION, "")]
    empty()
    run(connection, "ALTER TABLE capture_unique ENABLE TRIGGER synchro_capture_own_delete")
    with pytest.raises(CommandError, match=r"^capture\.Unique: synchro_capture_own_delete is disabled$"):
        install("--check")
    install()
    assert install("--check") == RIGHT
