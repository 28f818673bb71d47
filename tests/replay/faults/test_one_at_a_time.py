"""Only one process replays between two databases at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections

from synchro.backends import backend_for
from synchro.core import call_synchronize
from synchro.exceptions import Busy, SynchroError
from synchro.models import Batch, Conflict
from synchro.replay.signals import step as step_signal
from tests.replay import driver, processes
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import LOCAL, REMOTE, let_time_pass, other_side, remote_count
from tests.replay.processes import Fork
from tests.shop.models import Customer

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "remote"])


@pytest.fixture
def first() -> Iterator[Fork]:
    """A process in the middle of its first batch, which goes on when it is told."""
    Customer.objects.create(name="Vimes")
    with Fork(driver.happening, "pause", "formed", "1") as process:
        assert process.line() == "here"
        yield process


def go_on(process: Fork) -> None:
    process.go_on()
    assert process.end() == 0


def test_second_process_says_so_and_writes_nothing(first: Fork) -> None:
    Customer.objects.create(name="Carrot")
    second = processes.run("django", "synchronize")

    assert second.returncode == 4
    assert "Traceback" not in second.stderr
    assert second.stderr.strip()
    assert remote_count(Customer) == 0
    assert Batch.objects.count() == 1
    go_on(first)
    call_synchronize()
    assert_same_rows()


def test_second_run_within_this_process_is_refused_too(first: Fork) -> None:
    with pytest.raises(Busy):
        call_synchronize()

    go_on(first)
    assert remote_count(Customer) == 1


def test_lock_ends_with_the_run(first: Fork) -> None:
    go_on(first)

    call_synchronize()

    assert_same_rows()


def test_other_way_is_not_held_up(first: Fork) -> None:
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

    with Fork(driver.happening, "pause", "recorded", "2") as first:
        assert first.line() == "here"

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
    call_synchronize()

    assert_same_rows()
    assert [record.decision for record in Conflict.objects.all()] == [Conflict.LOCAL]


@contextmanager
def lost_lock(*arguments: Any) -> Iterator[bool]:
    """What the lock of another run is worth once its session is gone: anyone gets it."""
    yield True
