"""A connection that breaks, and one that cannot be made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connections

from synchro.core import call_synchronize
from synchro.exceptions import SynchroError
from tests.replay import processes
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import remote_count, use_up_key_on_remote
from tests.shop.models import Customer, Order

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "remote"])


@contextmanager
def at_step(wanted: str, do: Callable[[], None]) -> Iterator[list[str]]:
    """Inside, `do` is called the first time that a run comes to the step `wanted`."""
    from synchro.replay.signals import step as step_signal

    seen: list[str] = []

    def happen(step: str, **kwargs: Any) -> None:
        if step == wanted and not seen:
            seen.append(step)
            do()

    step_signal.connect(happen)
    try:
        yield seen
    finally:
        step_signal.disconnect(happen)


def cut(alias: str) -> None:
    """The server ends our connection, as an administrator or a restart would."""
    with closing(connections[alias].copy()) as other, other.cursor() as cursor:
        if other.vendor == "postgresql":
            with connections[alias].cursor() as own:
                own.execute("SELECT pg_backend_pid()")
                (pid,) = own.fetchone()
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        else:
            cursor.execute("KILL %s", [connections[alias].connection.thread_id()])


@pytest.mark.parametrize("step", ["identified", "resolved", "written"])
@pytest.mark.parametrize("alias", ["remote", "default"])
def test_lost_connection_loses_and_doubles_nothing(alias: str, step: str) -> None:
    if connections[alias].vendor == "sqlite":
        pytest.skip("SQLite has no connection to lose")
    use_up_key_on_remote(Customer, name="gone")
    for number in range(20):
        Order.objects.create(customer=Customer.objects.create(name=f"Customer {number}"))

    with at_step(step, lambda: cut(alias)) as seen, suppress(SynchroError, DatabaseError):
        call_synchronize()
    connections.close_all()
    call_synchronize()

    assert seen == [step]
    assert remote_count(Customer) == 20
    assert_same_rows()


def test_connection_lost_between_the_commits_doubles_nothing() -> None:
    if connections["default"].vendor == "sqlite":
        pytest.skip("SQLite has no connection to lose")
    use_up_key_on_remote(Customer, name="gone")
    for number in range(20):
        Customer.objects.create(name=f"Customer {number}")

    with at_step("committed", lambda: cut("default")), suppress(SynchroError, DatabaseError):
        call_synchronize()
    connections.close_all()
    call_synchronize()

    assert remote_count(Customer) == 20
    assert_same_rows()


@contextmanager
def cut_after_commits(alias: str, monkeypatch: pytest.MonkeyPatch, *places: int) -> Iterator[list[int]]:
    """Inside, our connection is cut as soon as these of its commits, counted from 0, are through."""
    kind = type(connections[alias])
    commit, count = kind._commit, [0]

    def commit_and_cut(self: Any) -> None:
        commit(self)
        if self.alias == alias:
            count[0] += 1
            if count[0] - 1 in places:
                cut(alias)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "_commit", commit_and_cut)
        yield count


@pytest.mark.parametrize("alias", ["remote", "default"])
def test_connection_lost_right_after_any_commit_is_not_lost_for_good(
    alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Django takes it for one inside a transaction, in which no new connection may be opened."""
    if connections[alias].vendor == "sqlite":
        pytest.skip("SQLite has no connection to lose")
    monkeypatch.setattr("synchro.replay.retry._pause", lambda seconds: None)
    Customer.objects.create(name="Vimes")
    call_synchronize()
    customer = Customer.objects.get()
    customer.cash += 1
    customer.save()
    with cut_after_commits(alias, monkeypatch) as count:
        call_synchronize()

    for place in range(count[0]):
        customer.cash += 1
        customer.save()
        with cut_after_commits(alias, monkeypatch, place), suppress(SynchroError, DatabaseError):
            call_synchronize()
        for connection in connections.all():
            connection.close_if_unusable_or_obsolete()  # as Django does before the next request
        call_synchronize()
        assert_same_rows()

    assert count[0], "there is a commit at least, that of the batch"


def test_lost_connection_is_retried_or_said_without_a_traceback() -> None:
    if connections["remote"].vendor == "sqlite":
        pytest.skip("SQLite has no connection to lose")
    Customer.objects.create(name="Vimes")

    try:
        with at_step("resolved", lambda: cut("remote")), suppress(CommandError):
            call_command("synchronize", verbosity=0)
    finally:
        connections.close_all()
    call_synchronize()

    assert_same_rows()


def test_remote_that_cannot_be_reached_is_said_without_a_traceback() -> None:
    Customer.objects.create(name="Vimes")
    away = {
        "sqlite": "sqlite:////nowhere/at/all.sqlite3",
        "postgresql": "postgresql://nobody:nothing@127.0.0.1:1/nowhere",
        "mysql": "mysql://nobody:nothing@127.0.0.1:1/nowhere",
    }
    environment = processes.environment(remote=away[connections["remote"].vendor])

    ended = processes.run("django", "synchronize", env=environment)

    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "remote" in ended.stderr
    call_synchronize()
    assert_same_rows()
