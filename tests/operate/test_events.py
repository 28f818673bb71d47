"""synchro's own signals and loggers: who listens knows what a run does, and cannot break it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.dispatch import Signal
from django.utils import timezone

from synchro import events
from synchro.core import call_synchronize
from synchro.exceptions import Refused
from synchro.models import ChangeLog, Conflict
from tests.replay.deployments import create_on_remote, other_side, remote_count
from tests.shop.models import Customer, Seat

pytestmark = [pytest.mark.once, pytest.mark.django_db(databases=["default", "remote"])]

ALL = {name: signal for name, signal in vars(events).items() if isinstance(signal, Signal)}


@contextmanager
def heard() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """What all signals of `synchro.events` say meanwhile."""
    found: list[tuple[str, dict[str, Any]]] = []
    receivers = {name: lambda name=name, **said: found.append((name, said)) for name in ALL}
    for name, receiver in receivers.items():
        ALL[name].connect(receiver)
    try:
        yield found
    finally:
        for name, receiver in receivers.items():
            ALL[name].disconnect(receiver)


def test_run_tells_of_its_batches_and_its_end(settings: Any) -> None:
    settings.SYNCHRO_BATCH_SIZE = 2
    for number in (1, 2, 3):
        Seat.objects.create(number=number)

    with heard() as said:
        call_synchronize()
        call_synchronize()

    names = [name for name, _said in said]
    assert names == ["run_started", "batch_applied", "batch_applied", "run_ended", "run_started", "run_ended"]
    (first, second) = (told for name, told in said if name == "batch_applied")
    assert (first["remote"], first["entries"], second["batch"] - first["batch"]) == ("remote", 2, 1)
    (seats,) = first["models"]
    assert (seats.model, seats.added) == ("shop.Seat", 2)
    assert said[0][1]["by"]
    assert (said[3][1]["report"].batches, said[3][1]["error"]) == (2, None)


def test_refusal_is_told_as_the_end_of_a_run() -> None:
    create_on_remote(Seat, number=1)
    Seat.objects.create(number=1)

    with heard() as said, pytest.raises(Refused) as raised:
        call_synchronize()

    name, told = said[-1]
    assert (name, told["report"], told["error"]) == ("run_ended", None, raised.value)


def test_conflicts_and_changes_in_quarantine_are_told_one_by_one(settings: Any) -> None:
    settings.SYNCHRO_ON_ERROR = "quarantine"
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    create_on_remote(Seat, number=1)
    refused = Seat.objects.create(number=1)
    customer.name = "Sir Samuel"
    customer.save()
    with other_side():
        there = Customer.objects.get()
        there.name = "Duke of Ankh"
        there.save()
        ChangeLog.objects.update(date=timezone.now() + timedelta(seconds=1))

    with heard() as said:
        call_synchronize()

    (decided,) = (told for name, told in said if name == "conflict_decided")
    assert (decided["conflict"], decided["conflict"].decision) == (Conflict.objects.get(), Conflict.REMOTE)
    (quarantined,) = (told for name, told in said if name == "change_quarantined")
    assert (quarantined["model"], quarantined["key"]) == (Seat, str(refused.pk))
    assert "number" in quarantined["cause"]


def test_receiver_that_raises_does_not_stop_the_run(caplog: pytest.LogCaptureFixture) -> None:
    def fail(**_said: Any) -> None:
        raise RuntimeError("of the project")

    Seat.objects.create(number=1)
    for signal in ALL.values():
        signal.connect(fail)
    try:
        call_synchronize()
    finally:
        for signal in ALL.values():
            signal.disconnect(fail)

    assert remote_count(Seat) == 1
    assert "of the project" in caplog.text


def test_receiver_that_writes_is_captured() -> None:
    def write(**_said: Any) -> None:
        Customer.objects.create(name="by a receiver")

    Seat.objects.create(number=1)
    events.batch_applied.connect(write)
    try:
        call_synchronize()
    finally:
        events.batch_applied.disconnect(write)
    call_synchronize()

    assert remote_count(Customer) == 1


def test_each_run_and_batch_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    Seat.objects.create(number=1)

    with caplog.at_level(logging.INFO, "synchro"):
        call_synchronize()
        call_synchronize()  # idle: at DEBUG only

    said = [(record.name, record.levelname) for record in caplog.records]
    assert said == [("synchro.batch", "INFO"), ("synchro.run", "INFO")]
    assert "1 rows added" in caplog.text
