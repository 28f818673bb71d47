"""A process that is killed while it sets something aside, or takes it up again, and what is known afterwards."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.test import override_settings

from synchro.core import DisableSynchroLog, call_synchronize
from synchro.models import Node, SetAside
from tests.odd.models import Trace
from tests.replay import driver, processes
from tests.replay.apply.test_refused import altered_on_remote
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import REMOTE, create_on_remote, remote_count
from tests.replay.faults.test_killed import run_until_free
from tests.replay.refusals import aside, place
from tests.shop.models import Customer, Measurement, Order, Seat

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "remote"])

STEPS = ["written", "recorded", "committed", "acknowledged"]


@pytest.fixture(autouse=True)
def _quarantine(settings: Any) -> None:
    settings.SYNCHRO_ON_ERROR = "quarantine"
    ContentType.objects.clear_cache()


def killed(step: str, batch: int, *options: str) -> None:
    with override_settings(SYNCHRO_ON_ERROR="quarantine"):
        ended = processes.forked(driver.happening, "kill", step, str(batch), *options)
    assert ended == -signal.SIGKILL


def obstacles(*numbers: int) -> None:
    for number in numbers:
        create_on_remote(Seat, number=number, guest=f"REMOTE's own {number}")


def remove_obstacles() -> None:
    Seat.objects.using(REMOTE).filter(guest__startswith="REMOTE").delete()


@pytest.mark.parametrize("step", STEPS)
def test_killed_while_it_sets_aside(step: str) -> None:
    obstacles(7, 8, 9)
    mended, changed = Seat.objects.create(number=7), Seat.objects.create(number=8)
    call_synchronize()
    mended.number = 70
    mended.save()
    changed.row = "B"
    changed.save()
    new = Seat.objects.create(number=9)
    Order.objects.create(customer=Customer.objects.create(name="Vimes"))
    killed(step, 2)

    report = run_until_free()

    assert report.aside == 2
    assert aside() == place(changed, new)
    assert SetAside.objects.count() == 2
    assert Seat.objects.using(REMOTE).filter(number=70).count() == 1
    remove_obstacles()
    assert call_synchronize(retry=True).aside == 0
    assert_same_rows()
    assert (remote_count(Seat), remote_count(Customer)) == (3, 1)


@pytest.mark.parametrize("step", STEPS)
def test_killed_while_it_takes_up_again(step: str) -> None:
    obstacles(7, 8, 9)
    seats = [Seat.objects.create(number=number) for number in (7, 8, 9)]
    call_synchronize()
    Seat.objects.using(REMOTE).filter(number__in=[7, 8]).delete()
    number = Node.objects.get().batch + 1
    killed(step, number, "--retry")
    Customer.objects.create(name="Vimes")

    run_until_free()

    assert_same_rows(Customer)
    arrived = step in ("committed", "acknowledged")
    assert aside() == place(*(seats[2:] if arrived else seats))
    remove_obstacles()
    assert call_synchronize(retry=True).aside == 0
    assert_same_rows()
    assert remote_count(Seat) == 3


def test_reference_that_remote_refuses_only_at_its_commit_is_set_aside() -> None:
    """LOCAL's column has no constraint; some servers check only then, and name no row."""
    with altered_on_remote(Trace, "customer", db_constraint=True):
        customer = Customer.objects.create(name="Vimes")
        good = Trace.objects.create(customer=customer, text="good")
        bad = Trace.objects.create(customer_id=customer.pk + 1000, text="bad")
        report = call_synchronize()
        found, count = aside(), remote_count(Trace)

        assert (report.aside, found, count) == (1, place(bad), 1)
        assert remote_count(Customer) == 1
        assert good.pk
    call_synchronize(retry=True)
    assert aside() == set()


@pytest.mark.parametrize(
    ("values", "field", "attributes"),
    [
        ({"small": None}, "small", {"null": False}),
        ({"short": "far too long for ten"}, "short", {"max_length": 10}),
    ],
)
def test_value_that_remotes_column_cannot_hold_is_set_aside(
    values: dict[str, Any], field: str, attributes: dict[str, Any]
) -> None:
    if "max_length" in attributes and connections[REMOTE].vendor == "sqlite":
        pytest.skip("SQLite takes text of any length")
    with altered_on_remote(Measurement, field, **attributes):
        Measurement.objects.create(small=1, short="short")
        bad = Measurement.objects.create(**({"small": 1} | values))
        call_synchronize()
        found, cause, count = aside(), SetAside.objects.get().cause, remote_count(Measurement)
        with DisableSynchroLog():
            Measurement.objects.update(small=2, short="fits")
        left = call_synchronize(retry=True).aside
        values_there = list(Measurement.objects.using(REMOTE).values_list("small", "short"))

    assert (found, count) == (place(bad), 1)
    assert field in cause
    assert left == 0
    assert sorted(values_there) == [(1, "short"), (2, "fits")]
