"""``synchronize --follow``, as a process of its own: soon after each change it is on REMOTE."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, connections, transaction

from synchro.models import Checkpoint
from tests.replay import processes
from tests.replay.deployments import remote_count
from tests.shop.models import Customer, Seat

ARE_SERVERS = "sqlite" not in os.environ.get("SYNCHRO_TEST_PAIR", "sqlite-sqlite").split("-")

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)


@contextmanager
def following(*options: str, **settings: Any) -> Iterator[subprocess.Popen[str]]:
    process = processes.start(
        "django", "synchronize", "--follow", *options, env=processes.environment(**settings)
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def eventually(question: Callable[[], bool]) -> bool:
    """Whether the answer becomes yes within a time that is no part of the test."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if question():
            return True
        time.sleep(0.02)
    return False


def test_changes_arrive_until_it_is_told_to_stop() -> None:
    with following() as process:
        Seat.objects.create(number=1)
        assert eventually(lambda: remote_count(Seat) == 1), process.poll()
        Seat.objects.filter(number=1).first().delete()  # type: ignore[union-attr]
        Seat.objects.create(number=2)
        assert eventually(lambda: list(Seat.objects.using("remote").values_list("number", flat=True)) == [2])
        process.send_signal(signal.SIGTERM)
        _output, errors = process.communicate(timeout=60)

    assert (process.returncode, "Traceback" in errors) == (0, False), errors


@pytest.mark.skipif(not ARE_SERVERS, reason="SQLite has one writer at a time")
def test_entry_with_a_low_id_that_commits_late_arrives() -> None:
    taken, committed = threading.Event(), threading.Event()

    def write_slowly() -> None:
        with transaction.atomic():
            Customer.objects.create(name="slow")
            taken.set()
            committed.wait(60)
        connections.close_all()

    writer = threading.Thread(target=write_slowly)
    writer.start()
    assert taken.wait(60)
    with following() as process:
        Customer.objects.create(name="quick")
        assert eventually(lambda: remote_count(Customer) == 1), process.poll()
        committed.set()
        writer.join()
        assert eventually(lambda: remote_count(Customer) == 2), process.poll()


def test_lost_connections_are_made_again() -> None:
    if not ARE_SERVERS:
        pytest.skip("SQLite has no connections to lose")
    with following() as process:
        Seat.objects.create(number=1)
        assert eventually(lambda: remote_count(Seat) == 1), process.poll()
        for alias in ("default", "remote"):
            _end_other_sessions(alias)
        Seat.objects.create(number=2)
        assert eventually(lambda: remote_count(Seat) == 2), process.poll()


def _end_other_sessions(alias: str) -> None:
    """Have the server end all sessions of this database but ours."""
    one = connections[alias]
    with one.cursor() as cursor:
        if one.vendor == "postgresql":
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return
        if one.vendor != "mysql":
            return
        cursor.execute(
            "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        )
        for (number,) in cursor.fetchall():
            cursor.execute(f"KILL {int(number)}")


def test_idle_remote_is_not_asked(settings: Any) -> None:
    with following() as process:
        Seat.objects.create(number=1)
        assert eventually(lambda: remote_count(Seat) == 1), process.poll()
        # Its own transaction is over when LOCAL's checkpoint says so.
        assert eventually(lambda: Checkpoint.objects.filter(batch=1).exists())
        if connection.vendor != "postgresql" or connections["remote"].vendor != "postgresql":
            return
        with connections["remote"].cursor() as cursor:
            question = (
                "SELECT max(query_start) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            cursor.execute(question)
            before = cursor.fetchone()
            time.sleep(2)  # what does not happen takes time
            cursor.execute(question)
            assert cursor.fetchone() == before
