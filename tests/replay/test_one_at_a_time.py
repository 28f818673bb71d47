"""Only one process replays between two databases at a time."""

from __future__ import annotations

from collections.abc import Iterator
from subprocess import Popen

import pytest

from synchro.core import call_synchronize
from synchro.exceptions import Busy
from synchro.models import Batch
from tests.replay import processes
from tests.replay.compare import assert_same_rows
from tests.replay.sides import other_side, remote_count
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
