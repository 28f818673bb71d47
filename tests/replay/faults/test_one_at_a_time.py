"""Only one process replays between two databases at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen
from typing import Any

import pytest
from django.db import connections

from synchro.backends import backend_for
from synchro.core import call_synchronize
from synchro.exceptions import Busy, SynchroError
from synchro.models import Batch, Conflict
from synchro.replay.signals import step as step_signal
from tests.replay import processes
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import LOCAL, REMOTE, let_time_pass, other_side, remote_count
from tests.shop.models import Customer

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "remote"])


@pytest.fixture
def first() -> Iterator[Popen[str]]:
    """A process in the middle of its first batch, which goes on when it is told."""
    Customer.objects.create(name="Vimes")
    with processes.start("tests.replay.driver", "pause", "formed", "1") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n", process.stderr and process.stderr.read()
        yield process
        process.kill()


def go_on(process: Popen[str]) -> None:
    _, errors = process.communicate("go on\n", timeout=60)
    assert process.returncode == 0, errors


def test_second_process_says_so_and_writes_nothing(first: Popen[str]) -> None:
    Customer.objects.create(name="Carrot")
    second = processes.run("django", "synchronize")

    assert second.returncode == 1
    assert "Traceback" not in second.stderr
    assert second.stderr.strip()
    assert remote_count(Customer) == 0
    assert Batch.objects.count() == 1
    go_on(first)
    call_synchronize()
    assert_same_rows()


def test_second_run_within_this_process_is_refused_too(first: Popen[str]) -> None:
    with pytest.raises(Busy):
        call_synchronize()

    go_on(first)
    assert remote_count(Customer) == 1


def test_lock_ends_with_the_run(first: Popen[str]) -> None:
    go_on(first)

    call_synchronize()

    assert_same_rows()


def test_other_way_is_not_held_up(first: Popen[str]) -> None:
    """Each side may replay into the other at the same time."""
    with other_side():
        report = call_synchronize()

    go_on(first)
    assert report.entries == 0
    assert_same_rows()


@pytest.mark.parametrize("is_atomic", [False, True])
def test_conflict_of_a_run_that_lost_its_lock_while_it_committed_stays_on_record(
    is_atomic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run has begun by then. (tests/protocol)"""
    if connections[LOCAL].vendor == "sqlite" or connections[REMOTE].vendor == "sqlite":
        pytest.skip("SQLite has one write lock, which the next run waits for")
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    with other_side():
        Customer.objects.update_or_create(name="Vimes", defaults={"cash": 1})
    let_time_pass()
    customer.cash = 2
    customer.save()

    with processes.start("tests.replay.driver", "pause", "recorded", "2") as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "here\n", first.stderr and first.stderr.read()

        def end_the_first(step: str, **kwargs: Any) -> None:
            if step in ("formed", "read"):
                step_signal.disconnect(end_the_first)
                go_on(first)

        monkeypatch.setattr(type(backend_for(connections[LOCAL])), "lock", lost_lock)
        step_signal.connect(end_the_first)
        try:
            with pytest.raises(SynchroError, match="meanwhile"):
                call_synchronize(atomic=is_atomic)
        finally:
            step_signal.disconnect(end_the_first)
            first.kill()
    call_synchronize()

    assert_same_rows()
    assert [record.decision for record in Conflict.objects.all()] == [Conflict.LOCAL]


@contextmanager
def lost_lock(*arguments: Any) -> Iterator[bool]:
    """What the lock of another run is worth once its session is gone: anyone gets it."""
    yield True
