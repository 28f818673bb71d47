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
from django.db import InterfaceError, connection, connections, transaction

from synchro import follow, stopping
from synchro.exceptions import Busy
from synchro.models import Checkpoint
from synchro.replay import receipts, run_record
from synchro.triggers import ready
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
    assert "Stopped." in errors


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


def follow_here(synchronize: Callable[..., Any], failed: Callable[..., Any] = print) -> None:
    """Follow within this process, with another step in place of a run."""
    with pytest.MonkeyPatch.context() as patch, stopping.by_signals():
        patch.setattr(follow, "call_synchronize", synchronize)
        follow.follow("remote", 0.01, atomic=False, reported=print, failed=failed)


def test_what_was_allowed_for_runs_is_allowed_in_its_threads() -> None:
    """As `--without-triggers` and `--resend` do; and runs are recorded as started by this person."""
    seen: list[tuple[bool, bool, str]] = []

    def look(**_options: Any) -> None:
        seen.append((ready._allowed.get(), receipts._resending.get(), run_record._by.get()))
        stopping.ask()
        raise Busy

    with ready.missing_triggers_allowed(), receipts.resending(), run_record.started_by("Vimes"):
        follow_here(look)

    assert seen == [(True, True, "Vimes")]


def test_lost_connection_is_no_unforeseen_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some drivers say so by an error that is none of Django's `DatabaseError`."""
    errors: list[Exception] = []

    def lose(**_options: Any) -> None:
        raise InterfaceError("connection already closed")

    def failed(_alias: str, error: Exception) -> None:
        errors.append(error)
        stopping.ask()

    follow_here(lose, failed)

    assert [type(error) for error in errors] == [InterfaceError]


def test_unforeseen_error_ends_it() -> None:
    def fail(**_options: Any) -> None:
        raise RuntimeError("unforeseen")

    with pytest.raises(RuntimeError, match="unforeseen"):
        follow_here(fail)


def test_second_signal_ends_it_at_once() -> None:
    begun, released, runs = threading.Event(), threading.Event(), []

    def hang(**_options: Any) -> None:
        runs.append(threading.current_thread())
        begun.set()
        released.wait(60)
        raise Busy

    def interrupt() -> None:
        begun.wait(60)
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        follow_here(hang)
    released.set()
    (thread,) = runs

    assert thread.daemon, "the process would wait for the batch"
    thread.join(5)
    assert not thread.is_alive(), "it would begin another run"
    assert len(runs) == 1


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
