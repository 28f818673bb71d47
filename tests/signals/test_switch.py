"""Switching capture off, for the thread or task that asked for it and nobody else."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from synchro.core import DisableSynchroLog, disable_synchro_log
from synchro.models import ChangeLog
from synchro.switch import is_capture_off
from tests.people.models import Club


@pytest.fixture(autouse=True)
def _people_are_watched(settings: Any) -> None:
    settings.SYNCHRO_MODELS = ["people"]


@pytest.mark.django_db
def test_nothing_is_logged_inside_and_everything_outside() -> None:
    with DisableSynchroLog():
        Club.objects.create(name="chess").delete()
    assert not ChangeLog.objects.exists()
    Club.objects.create(name="chess")
    assert ChangeLog.objects.count() == 1


@pytest.mark.django_db
def test_decorated_function_logs_nothing_and_returns_its_value() -> None:
    @disable_synchro_log
    def found(name: str) -> Club:
        """Doc."""
        return Club.objects.create(name=name)

    assert found("chess").name == "chess"
    assert (found.__name__, found.__doc__) == ("found", "Doc.")
    assert not ChangeLog.objects.exists()


def test_blocks_nest_and_one_object_can_be_used_again() -> None:
    switch = DisableSynchroLog()
    with switch:
        with switch, DisableSynchroLog():
            assert is_capture_off()
        assert is_capture_off()
    assert not is_capture_off()
    with switch:
        assert is_capture_off()
    assert not is_capture_off()


def test_exception_ends_the_block() -> None:
    @disable_synchro_log
    def fail() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert not is_capture_off()
    with pytest.raises(LookupError), DisableSynchroLog(), DisableSynchroLog():
        raise LookupError
    assert not is_capture_off()


def test_other_threads_go_on_being_captured() -> None:
    with DisableSynchroLog(), ThreadPoolExecutor(1) as pool:
        assert not pool.submit(is_capture_off).result()


def test_threads_that_share_one_switch_do_not_disturb_each_other() -> None:
    switch = DisableSynchroLog()
    entered, left = threading.Event(), threading.Event()
    seen: list[bool] = []

    def other() -> None:
        with switch:
            entered.set()
            left.wait(10)
            seen.append(is_capture_off())
        seen.append(is_capture_off())

    thread = threading.Thread(target=other)
    with switch:
        thread.start()
        assert entered.wait(10)
    assert not is_capture_off()
    left.set()
    thread.join()
    assert seen == [True, False]


def test_tasks_do_not_disturb_each_other() -> None:
    async def run() -> list[bool]:
        inside, done = asyncio.Event(), asyncio.Event()

        @disable_synchro_log
        async def quiet() -> bool:
            inside.set()
            await done.wait()
            return is_capture_off()

        async def loud() -> bool:
            await inside.wait()
            seen = is_capture_off()
            done.set()
            return seen

        return list(await asyncio.gather(quiet(), loud()))

    assert asyncio.run(run()) == [True, False]
    assert not is_capture_off()


@pytest.mark.django_db(transaction=True)
def test_async_function_logs_nothing_through_the_async_orm() -> None:
    @disable_synchro_log
    async def quiet() -> None:
        await Club.objects.acreate(name="chess")

    async def run() -> None:
        await quiet()
        await Club.objects.acreate(name="rowing")
        await sync_to_async(connections.close_all)()

    asyncio.run(run())
    assert ChangeLog.objects.count() == 1
