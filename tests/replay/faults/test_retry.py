"""What passes by itself is waited for: deadlocks, serialization failures, connections that were cut."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import pytest
from django.db import DatabaseError, connections, transaction
from django.db.models import Model

from synchro.backends import backend_for
from synchro.core import call_synchronize
from synchro.exceptions import Interrupted, NotReady
from synchro.replay import retry
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import REMOTE, remote, remote_count, unlogged, use_up_key_on_remote
from tests.replay.faults.test_connections import at_step, cut
from tests.replay.writers import in_thread
from tests.shop.models import Artist, Country, Customer, Order

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "remote"])

has_server = pytest.mark.skipif(
    "sqlite" in {connections[alias].vendor for alias in ("default", REMOTE)}, reason="SQLite has no server"
)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, which take no time here."""
    made: list[float] = []
    monkeypatch.setattr(retry, "_pause", made.append)
    return made


@has_server
@pytest.mark.parametrize("step", ["formed", "read", "identified", "resolved", "written", "committed"])
@pytest.mark.parametrize("alias", ["default", REMOTE])
def test_run_goes_on_after_a_connection_was_cut(alias: str, step: str) -> None:
    use_up_key_on_remote(Customer, name="gone")
    for number in range(20):
        Order.objects.create(customer=Customer.objects.create(name=f"Customer {number}"))

    with at_step(step, lambda: cut(alias)) as seen:
        report = call_synchronize()
    for each in ("default", REMOTE):
        connections[each].close()  # the run may have had no more use for it, and not have noticed

    assert seen == [step]
    assert report.entries == 40
    assert remote_count(Customer) == 20
    assert_same_rows()


def wait_until_locked(model: type[Model], key: str) -> None:
    """Until the run holds this row of REMOTE."""
    table, column = model._meta.db_table, model._meta.pk.column
    deadline = time.monotonic() + 30
    with closing(connections[REMOTE].copy()) as other, other.cursor() as cursor:
        while time.monotonic() < deadline:
            try:
                cursor.execute(f"SELECT 1 FROM {table} WHERE {column} = %s FOR UPDATE NOWAIT", [key])
            except DatabaseError:
                return
    raise AssertionError("the run never came to the row")


@has_server
def test_run_goes_on_after_a_real_deadlock() -> None:
    """REMOTE's own writer holds one row and wants another, which the run holds: it looks for countries first."""
    poland = Country.objects.create(code="PL", name="old")
    joni = Artist.objects.create(name="Joan")
    call_synchronize()
    joni.name, poland.name = "Joni", "new"
    joni.save()
    poland.save()
    key = remote(Artist).pk
    took_one = threading.Event()

    def write() -> None:
        try:
            with transaction.atomic(using=REMOTE), unlogged(REMOTE):
                Artist.objects.using(REMOTE).filter(pk=key).update(name="theirs")
                took_one.set()
                wait_until_locked(Country, "PL")
                Country.objects.using(REMOTE).filter(code="PL").update(name="theirs")
        except DatabaseError:
            pass  # the server chose this one to give way

    with ThreadPoolExecutor(1) as pool:
        writer = in_thread(pool, write)
        assert took_one.wait(60)
        call_synchronize()
        writer.result(60)

    assert remote(Artist).name == "Joni"
    assert remote(Country).name == "new"


def raising(error: Callable[[], Exception], times: int) -> Callable[[], None]:
    left = [times]

    def happen() -> None:
        if left[0]:
            left[0] -= 1
            raise error()

    return happen


@contextmanager
def always_at(wanted: str, do: Callable[[], None]) -> Iterator[None]:
    from synchro.replay.signals import step as step_signal

    def happen(step: str, **kwargs: Any) -> None:
        if step == wanted:
            do()

    step_signal.connect(happen)
    try:
        yield
    finally:
        step_signal.disconnect(happen)


def passing_error() -> Exception:
    """What the engine says when it has chosen a transaction to give way, from the server's own mouth where it can."""
    connection = connections[REMOTE]
    if connection.vendor == "postgresql":
        statement = "DO $$ BEGIN RAISE EXCEPTION 'chosen' USING ERRCODE = '40001'; END $$"
    elif connection.vendor == "mysql":
        statement = "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213"
    else:
        return _busy()
    try:
        with closing(connection.copy()) as other, other.cursor() as cursor:
            cursor.execute(statement)
    except DatabaseError as error:
        return error
    raise AssertionError("the server did not refuse")


def _busy() -> Exception:
    first, second = connections[REMOTE].copy(), connections[REMOTE].copy()
    try:
        with first.cursor() as cursor, second.cursor() as other:
            cursor.execute("PRAGMA busy_timeout = 0")
            other.execute("PRAGMA busy_timeout = 0")
            cursor.execute("BEGIN IMMEDIATE")
            other.execute("BEGIN IMMEDIATE")
    except DatabaseError as error:
        return error
    finally:
        first.close()
        second.close()
    raise AssertionError("SQLite was not busy")


def test_error_that_passes_is_tried_again_with_growing_pauses(pauses: list[float]) -> None:
    Customer.objects.create(name="Vimes")

    with always_at("resolved", raising(passing_error, 3)):
        call_synchronize()

    assert_same_rows()
    assert len(pauses) == 3
    assert pauses == sorted(pauses)


def test_error_that_does_not_pass_ends_the_run_in_words(pauses: list[float]) -> None:
    Customer.objects.create(name="Vimes")

    with always_at("resolved", raising(passing_error, 1000)), pytest.raises(Interrupted, match="remote"):
        call_synchronize()

    assert len(pauses) == len(retry.PAUSES)
    call_synchronize()
    assert_same_rows()


def test_error_of_another_kind_is_not_tried_again(pauses: list[float]) -> None:
    Customer.objects.create(name="Vimes")

    with (
        always_at("resolved", raising(lambda: DatabaseError("a mistake"), 1000)),
        pytest.raises(NotReady) as raised,
    ):
        call_synchronize()

    assert str(raised.value.__cause__) == "a mistake"
    assert pauses == []


def test_errors_that_came_of_each_other_end_the_run() -> None:
    """As drivers make them that raise the error of a lost connection once more."""
    Customer.objects.create(name="Vimes")
    first, second = DatabaseError("first"), DatabaseError("second")
    first.__cause__, second.__context__ = second, first

    with always_at("resolved", raising(lambda: first, 1000)), pytest.raises(NotReady) as raised:
        call_synchronize()

    assert raised.value.__cause__ is first


def test_engine_tells_what_passes_from_what_does_not() -> None:
    connection = connections[REMOTE]
    try:
        with closing(connection.copy()) as other, other.cursor() as cursor:
            cursor.execute("SELECT nothing FROM nowhere")
    except DatabaseError as error:
        mistake = error

    assert backend_for(connection).is_transient(passing_error())
    assert not backend_for(connection).is_transient(mistake)
