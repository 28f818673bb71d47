"""What Ctrl-C and SIGTERM do: the batch at hand ends, a second one rolls it back, and neither leaves a traceback."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from synchro.core import call_synchronize
from synchro.models import Run
from tests.replay import processes
from tests.replay.deployments import remote_count
from tests.shop.models import Seat

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)


def paused_in_the_first_batch() -> Any:
    """A process that replays in batches of two entries, and waits within the first."""
    for number in range(1, 6):
        Seat.objects.create(number=number)
    environment = processes.environment(SYNCHRO_BATCH_SIZE=2)
    process = processes.start("tests.operate.paused", "written", "1", env=environment)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n", process.stderr and process.stderr.read()
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_batch_at_hand_ends_and_no_other_begins(number: signal.Signals) -> None:
    with paused_in_the_first_batch() as process:
        process.send_signal(number)
        _output, errors = process.communicate("\n", timeout=60)

    assert "Traceback" not in errors
    assert "Stopped after 1 batches" in errors
    assert remote_count(Seat) == 2
    assert Run.objects.get().outcome == Run.STOPPED
    call_synchronize()
    assert remote_count(Seat) == 5


def test_second_signal_rolls_the_batch_back() -> None:
    with paused_in_the_first_batch() as process:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        _output, errors = process.communicate(timeout=60)

    assert process.returncode == 1  # the driver's own, for a CommandError
    assert "Traceback" not in errors
    assert "The batch at hand was rolled back" in errors
    assert remote_count(Seat) == 0
    call_synchronize()
    assert remote_count(Seat) == 5
