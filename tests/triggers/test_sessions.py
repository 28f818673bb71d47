"""The switch of one session is nobody else's, however many sessions share what the server keeps of a table."""

from __future__ import annotations

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from threading import Barrier
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections

from synchro.core import DisableSynchroLog
from synchro.exceptions import NotReady
from synchro.replay.signals import starting
from tests.capture.models import Unique
from tests.triggers.clients import engine
from tests.triggers.conftest import brief, install

pytestmark = [
    pytest.mark.usefixtures("triggers"),
    pytest.mark.skipif(engine() == "sqlite", reason="SQLite has no sessions that a server keeps"),
]

#: Sessions at the same time, how often all of them are new ones, and how often each writes.
SESSIONS, GENERATIONS, ROUNDS = 40, 6, 4


def forget_opened_tables() -> None:
    """Let the next session be the first one that opens the table."""
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute("FLUSH TABLES capture_unique")


def test_every_session_is_captured_while_and_after_others_are_switched_off() -> None:
    keys = [Unique.objects.create(code=f"{n}").pk for n in range(SESSIONS)]
    brief()
    ready = Barrier(SESSIONS)

    def work(key: int) -> None:
        try:
            connection.ensure_connection()
            ready.wait(60)
            for n in range(ROUNDS):
                with DisableSynchroLog():
                    Unique.objects.filter(pk=key).update(name=f"not captured {n}")
                Unique.objects.filter(pk=key).update(name=f"captured {n}")
        finally:
            connection.close()

    for _ in range(GENERATIONS):
        forget_opened_tables()
        with ThreadPoolExecutor(SESSIONS) as pool:
            list(pool.map(work, keys))
    captured = Counter(key for key, _action, _fields in brief())
    assert captured == {str(key): ROUNDS * GENERATIONS for key in keys}


def test_sessions_that_come_after_one_that_was_switched_off_are_captured() -> None:
    row = Unique.objects.create(code="a")
    brief()
    forget_opened_tables()
    with DisableSynchroLog():
        Unique.objects.update(name="not captured")
    for n in range(3 * 16):
        connection.close()
        Unique.objects.update(name=f"captured {n}")
    assert brief() == [(str(row.pk), 2, "name")] * 48


def test_a_key_that_changes_is_captured_in_sessions_that_come_after_one_that_was_switched_off() -> None:
    row = Unique.objects.create(code="a")
    brief()
    forget_opened_tables()
    with DisableSynchroLog():
        Unique.objects.update(id=row.pk + 1000)
    for n in range(3 * 16):
        connection.close()
        Unique.objects.update(id=row.pk + 1001 + n)
    assert len(brief()) == 2 * 48  # a deletion and an addition


@pytest.fixture
def old_triggers() -> None:
    """The table's triggers as versions before 1.0 made them on MySQL and MariaDB."""
    if connection.vendor != "mysql":
        pytest.skip("only triggers of MySQL and MariaDB asked for the switch in this way")
    with connection.cursor() as cursor:
        cursor.execute("SHOW CREATE TRIGGER " + trigger_name("insert"))
        sql = cursor.fetchone()[2]
        old = re.sub(r"NOT \(@synchro_capture_off <=> 1\)", "@synchro_capture_off IS NULL", sql)
        assert old != sql
        # The name of a trigger holds its version, so that of an old one is another.
        name = trigger_name("insert")
        cursor.execute(f"DROP TRIGGER {name}")
        cursor.execute(old.replace(name, f"{name[:-10]}0123456789"))


def trigger_name(event: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE() "
            "AND event_object_table = 'capture_unique' AND event_manipulation = %s "
            "AND LOCATE('synchro_', trigger_name) = 1 AND action_timing = 'AFTER'",
            [event.upper()],
        )
        name: str = cursor.fetchone()[0]
    return name


def test_triggers_that_keep_the_switch_of_another_session_are_found_and_replaced(old_triggers: None) -> None:
    with pytest.raises(CommandError, match="misses changes of other sessions"):
        call_command("synchro_install_triggers", "--check", stdout=StringIO())
    install()
    call_command("synchro_install_triggers", "--check", stdout=StringIO())


def test_migrate_replaces_them(old_triggers: None) -> None:
    call_command("migrate", verbosity=0)
    call_command("synchro_install_triggers", "--check", stdout=StringIO())


@pytest.mark.parametrize("capture", ["triggers", "signals"])
@pytest.mark.parametrize("where", ["local", "remote"])
def test_no_run_begins_where_a_trigger_would_miss_changes(
    old_triggers: None, settings: Any, where: str, capture: str
) -> None:
    """Also with signals: a run switches REMOTE's triggers off for itself, and with them those of other sessions."""
    settings.SYNCHRO_CAPTURE = capture
    here = connections["default"]
    other = type(here)({**here.settings_dict, "NAME": "mysql"}, "other")
    connections["other"] = other
    settings.SYNCHRO_MODELS = ["capture"] if where == "local" else []
    sides = {"local": here, "remote": other} if where == "local" else {"local": other, "remote": here}
    try:
        if where == "local" and capture == "signals":
            starting.send(sender=None, **sides)
            return
        with pytest.raises(NotReady, match=r"(?s)misses changes of other.*synchro_install_triggers"):
            starting.send(sender=None, **sides)
    finally:
        other.close()
        del connections["other"]


def test_no_trigger_asks_whether_the_switch_is_null() -> None:
    if connection.vendor != "mysql":
        pytest.skip("only MySQL and MariaDB have user variables")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT action_statement FROM information_schema.triggers WHERE trigger_schema = DATABASE() "
            "AND LOCATE('synchro_', trigger_name) = 1"
        )
        bodies = [body for (body,) in cursor.fetchall()]
    asked = [rest for body in bodies for rest in re.findall(r"@\w+([^\n]{0,6})", body)]
    assert len(asked) >= len(bodies)
    assert {*asked} == {" <=> 1"}
