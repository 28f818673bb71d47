"""`DisableSynchroLog` with triggers: for its own connection, and no longer than it lasts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import IntegrityError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.backends import backend_for
from synchro.core import DisableSynchroLog, disable_synchro_log
from synchro.models import CaptureSwitch, ChangeLog
from tests.capture.models import Unique
from tests.triggers.clients import client, engine
from tests.triggers.conftest import brief

pytestmark = pytest.mark.usefixtures("triggers")


def make(code: str) -> Unique:
    return Unique.objects.create(code=code)


def captured() -> bool:
    """Whether a write of this connection is captured now."""
    ChangeLog.objects.all().delete()
    make(f"probe {Unique.objects.count()}")
    return bool(brief())


def test_outside_a_transaction() -> None:
    with DisableSynchroLog():
        row = make("a")
        assert row.pk == Unique.objects.get().pk
        Unique.objects.update(name="x")
        Unique.objects.bulk_create([Unique(code=f"{n}") for n in range(500)])
        with connection.cursor() as cursor:
            cursor.execute("UPDATE capture_unique SET name = 'y'")
            cursor.executemany(
                "UPDATE capture_unique SET name = %s WHERE code = %s", [("z", "1"), ("z", "2")]
            )
        Unique.objects.all().delete()
    assert brief() == []
    assert captured()


def test_statement_that_begins_with_many_blanks_is_written_at_once() -> None:
    with DisableSynchroLog(), connection.cursor() as cursor:
        cursor.execute("\n" + " " * 5_000 + "-- a note\n /* and another */" + "\t" * 5_000 + "SELECT 1")
        cursor.execute("\n" + " " * 5_000 + "DELETE FROM capture_unique")
    assert brief() == []


def test_rows_given_back_by_an_insertion_are_right() -> None:
    with DisableSynchroLog():
        rows = Unique.objects.bulk_create([Unique(code=f"{n}") for n in range(300)])
    if connection.features.can_return_rows_from_bulk_insert:
        assert {row.pk: row.code for row in rows} == dict(Unique.objects.values_list("pk", "code"))
    assert Unique.objects.count() == 300


def test_inside_a_transaction() -> None:
    with transaction.atomic():
        with DisableSynchroLog():
            make("a")
        make("b")
        with DisableSynchroLog():
            make("c")
    assert len(brief()) == 1


def test_with_a_transaction_inside() -> None:
    with DisableSynchroLog():
        with transaction.atomic():
            make("a")
            with transaction.atomic():
                make("b")
        with transaction.atomic(durable=True):
            make("c")
    assert brief() == []
    assert captured()


def test_nested() -> None:
    with DisableSynchroLog():
        with DisableSynchroLog():
            make("a")
        make("b")
    make("c")
    assert len(brief()) == 1


def test_a_savepoint_rolled_back_inside() -> None:
    with transaction.atomic():
        with DisableSynchroLog():
            point = connection.savepoint()
            make("a")
            connection.savepoint_rollback(point)
            make("b")
            with pytest.raises(IntegrityError), transaction.atomic():
                make("b")
            make("c")
        make("d")
    assert len(brief()) == 1


def test_a_savepoint_from_before_rolled_back_inside() -> None:
    with transaction.atomic():
        point = connection.savepoint()
        with DisableSynchroLog():
            connection.savepoint_rollback(point)
            make("a")
        make("b")
    assert len(brief()) == 1


def test_a_savepoint_from_inside_rolled_back_after() -> None:
    with transaction.atomic():
        with DisableSynchroLog():
            make("a")
            point = connection.savepoint()
            make("b")
        connection.savepoint_rollback(point)
        make("c")
    assert len(brief()) == 1
    assert captured()


@pytest.mark.parametrize("inside", [True, False])
def test_an_exception_ends_it(inside: bool) -> None:
    def fail() -> None:
        with DisableSynchroLog():
            make("a")
            make("a")

    with pytest.raises(IntegrityError), transaction.atomic() if inside else nullcontext():
        fail()
    assert Unique.objects.count() == (0 if inside else 1)
    assert captured()


def test_across_a_reconnection() -> None:
    with DisableSynchroLog():
        make("a")
        connection.close()
        make("b")
    assert brief() == []
    connection.close()
    assert captured()


def test_closed_at_the_end_and_reused() -> None:
    with DisableSynchroLog():
        connection.close()
    assert captured()
    with DisableSynchroLog():
        make("a")
        connection.close()
    assert captured()


def test_a_session_that_goes_back_to_a_pool_in_the_middle_is_clean() -> None:
    """
    The driver's connection is what a pool hands to its next user: here it is used by hand after `close`.
    """
    if connection.vendor == "sqlite":
        return  # there is no session to hand on: the switch is on during a statement only
    kept: dict[str, Any] = {}
    session_close = type(connections["default"])._close
    type(connections["default"])._close = lambda self: kept.update(session=self.connection)  # type: ignore[method-assign]
    try:
        with DisableSynchroLog():
            make("a")
            connection.close()
            cursor = kept["session"].cursor()
            cursor.execute("INSERT INTO capture_unique (code, name) VALUES ('b', '')")
            kept["session"].commit() if not kept["session"].autocommit else None
    finally:
        type(connections["default"])._close = session_close  # type: ignore[method-assign]
        kept["session"].close()
    assert len(brief()) == 1


@pytest.fixture
def pooled() -> Iterator[Callable[[], BaseDatabaseWrapper]]:
    """`connections["default"]` takes its sessions from a pool of one, and so do the others that this gives."""
    plain = connections["default"]
    settings = plain.settings_dict
    plain.close()
    options = {**settings["OPTIONS"], "pool": {"min_size": 1, "max_size": 1, "timeout": 5}}

    def another() -> BaseDatabaseWrapper:
        return type(plain)({**settings, "OPTIONS": options, "CONN_MAX_AGE": 0}, "default")

    connections["default"] = another()
    try:
        yield another
    finally:
        connections["default"].close()
        connections["default"].close_pool()
        connections["default"] = plain


def insert(user: BaseDatabaseWrapper, code: str) -> int:
    """The number of the session that wrote the row."""
    with user.cursor() as cursor:
        cursor.execute(
            "INSERT INTO capture_unique (code, name) VALUES (%s, '') RETURNING pg_backend_pid()", [code]
        )
        number: int = cursor.fetchone()[0]
    user.close()
    return number


@pytest.mark.skipif(not engine().startswith("postgresql"), reason="Django has pools for PostgreSQL alone")
def test_nothing_leaks_to_the_next_user_of_a_pooled_session(
    pooled: Callable[[], BaseDatabaseWrapper],
) -> None:
    sessions = {insert(pooled(), "before")}
    with DisableSynchroLog():
        make("a")
        connection.close()
        sessions.add(insert(pooled(), "in the middle"))
        with transaction.atomic():
            make("b")
            with pytest.raises(IntegrityError), transaction.atomic():
                make("b")
        connection.close()
        sessions.add(insert(pooled(), "after a transaction"))
        make("c")
    connection.close()
    sessions.add(insert(pooled(), "after the block"))
    with pytest.raises(IntegrityError), transaction.atomic(), DisableSynchroLog():
        Unique.objects.bulk_create([Unique(code="d"), Unique(code="d")])
    connection.close()
    sessions.add(insert(pooled(), "after an error"))

    assert len(sessions) == 1
    captured = {key for key, _, _ in brief()}
    assert set(Unique.objects.filter(pk__in=captured).values_list("code", flat=True)) == {
        "before",
        "in the middle",
        "after a transaction",
        "after the block",
        "after an error",
    }


def test_another_process_is_captured_at_the_same_moment() -> None:
    with DisableSynchroLog():
        make("a")
        client("INSERT INTO capture_unique (code, name) VALUES ('b', '')")
        make("c")
    (entry,) = brief()
    assert entry[0] == str(Unique.objects.get(code="b").pk)


def test_another_process_is_captured_while_a_transaction_is_open() -> None:
    if connection.vendor == "sqlite":
        return  # nobody else can write then
    with transaction.atomic(), DisableSynchroLog():
        make("a")
        client("INSERT INTO capture_unique (code, name) VALUES ('b', '')")
    assert len(brief()) == 1


def in_a_thread(work: Callable[[], None]) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def test_another_thread_is_captured() -> None:
    with DisableSynchroLog():
        in_a_thread(lambda: make("a"))
    assert len(brief()) == 1


def test_the_replayers_own_switch_does_not_need_the_setting(settings: Any) -> None:
    settings.SYNCHRO_CAPTURE = "signals"
    with backend_for(connection).capture_off():
        Unique.objects.bulk_create([Unique(code="a")])
    assert brief() == []


def test_the_switch_of_sqlite_cannot_be_left_on() -> None:
    if connection.vendor != "sqlite":
        assert not CaptureSwitch.objects.exists()
        return
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("INSERT INTO synchro_captureswitch (id, never_id) VALUES (1, 0)")
    assert captured()


# -- async code, whose work is done in one thread, on one connection that the task does not have --------------


def run_async(*tasks: Callable[[], Any]) -> None:
    """Run these at once, and give back the connection that they used."""

    async def everything() -> None:
        try:
            await asyncio.gather(*(task() for task in tasks))
        finally:
            await sync_to_async(connections.close_all)()

    asyncio.run(everything())


def codes() -> set[str]:
    """The codes of the rows that were captured."""
    keys = [int(key) for key, _action, _fields in brief()]
    return set(Unique.objects.filter(pk__in=keys).values_list("code", flat=True))


def test_async_block_reaches_the_connection_that_does_the_work() -> None:
    async def task() -> None:
        await Unique.objects.acreate(code="before")
        with DisableSynchroLog():
            row = await Unique.objects.acreate(code="a")
            row.name = "x"
            await row.asave()
            await Unique.objects.abulk_create([Unique(code=f"{n}") for n in range(10)])
            await Unique.objects.filter(code="3").aupdate(name="y")
            await Unique.objects.filter(code="4").adelete()
            await sync_to_async(make)("b")
            with DisableSynchroLog():
                await sync_to_async(make)("c")
            await Unique.objects.acreate(code="d")
        await Unique.objects.acreate(code="after")

    run_async(task)
    assert codes() == {"before", "after"}
    assert Unique.objects.count() == 15
    assert captured()


def test_async_decorator_and_exception() -> None:
    @disable_synchro_log
    async def quiet(code: str) -> str:
        await Unique.objects.acreate(code=code)
        if code == "bad":
            raise LookupError
        return code

    async def task() -> None:
        assert await quiet("a") == "a"
        with pytest.raises(LookupError):
            await quiet("bad")
        with pytest.raises(IntegrityError):
            await quiet("a")
        await Unique.objects.acreate(code="loud")

    run_async(task)
    assert codes() == {"loud"}


def test_async_tasks_that_share_a_connection_do_not_disturb_each_other() -> None:
    async def quiet() -> None:
        with DisableSynchroLog():
            for number in range(30):
                await Unique.objects.acreate(code=f"quiet {number}")

    async def loud() -> None:
        for number in range(30):
            await Unique.objects.acreate(code=f"loud {number}")

    @disable_synchro_log
    async def quiet_too() -> None:
        for number in range(30):
            await sync_to_async(make)(f"quiet too {number}")

    run_async(quiet, loud, quiet_too)
    assert codes() == {f"loud {number}" for number in range(30)}
    assert Unique.objects.count() == 90


def test_async_block_around_a_transaction_and_in_one() -> None:
    def whole() -> None:
        with transaction.atomic():
            make("a")
            with pytest.raises(IntegrityError), transaction.atomic():
                make("a")
            make("b")

    def part(code: str) -> None:
        with transaction.atomic():
            make(code)

    async def task() -> None:
        with DisableSynchroLog():
            await sync_to_async(whole)()
        await sync_to_async(part)("c")
        with DisableSynchroLog():
            await sync_to_async(part)("d")
        await sync_to_async(part)("e")

    run_async(task)
    assert codes() == {"c", "e"}
    assert captured()


def test_block_of_a_plain_function_holds_for_async_code_that_it_runs() -> None:
    async def work(code: str) -> None:
        await Unique.objects.acreate(code=code)

    with DisableSynchroLog():
        async_to_sync(work)("a")
        make("b")
    async_to_sync(work)("c")
    assert codes() == {"c"}
