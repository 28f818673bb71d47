"""An operator's walk through the dashboard, in a real browser."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connections
from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys

from synchro.core import call_synchronize
from synchro.models import Checkpoint, Conflict, Job, Run, SetAside
from tests.browser.conftest import Person
from tests.replay.deployments import let_time_pass, other_side, remote_count
from tests.shop.models import Customer

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)


@pytest.fixture(autouse=True)
def _watched(settings: Any) -> None:
    settings.SYNCHRO_MODELS = [("shop", "Customer", "Artist", "Order")]
    settings.SYNCHRO_BATCH_SIZE = 100


@contextmanager
def remote_is_busy() -> Iterator[None]:
    """Inside, somebody writes to REMOTE, so that a run has to wait."""
    with closing(sqlite3.connect(connections["remote"].settings_dict["NAME"], isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def a_day_of_runs() -> None:
    """What a day leaves behind."""
    chance, now = random.Random(7), datetime.now(UTC)
    for minutes in range(23 * 60, 10, -17):
        rows, seconds = chance.randint(40, 4000), chance.uniform(0.5, 3)
        ended = now - timedelta(minutes=minutes)
        Run.objects.create(
            alias="remote", by="cron", begun=ended - timedelta(seconds=seconds), ended=ended, outcome=Run.DONE,
            batches=1, entries=rows, lag=chance.uniform(1, 9) + (90 if 300 < minutes < 400 else 0),
            rows=json.dumps({"shop.Customer": [rows // 2, rows - rows // 2, 0, 0]}),
        )  # fmt: skip


def conflict_between_both() -> Conflict:
    customer = Customer.objects.create(name="Samuel Vimes", cash=41)
    call_synchronize()
    let_time_pass()
    with other_side():
        found = Customer.objects.get(name="Samuel Vimes")
        found.name, found.cash = "Sam Vimes", 40
        found.save()
    let_time_pass()
    customer.name, customer.cash = "Sir Samuel Vimes", 41_000
    customer.save()
    call_synchronize()
    let_time_pass()
    return Conflict.objects.get()


def put_in_quarantine() -> Customer:
    customer = Customer.objects.create(name="Rincewind")
    call_synchronize()
    checkpoint = Checkpoint.objects.get()
    SetAside.objects.create(
        peer=checkpoint.peer, batch=checkpoint.batch, object_id=f"{customer.pk}",
        content_type=ContentType.objects.get_for_model(Customer), changed=datetime.now(UTC),
        cause="Column name: a rule of the other database refuses this value.",
    )  # fmt: skip
    return customer


def test_an_operator_presses_watches_stops_retries_and_resolves(person: Person) -> None:
    a_day_of_runs()
    conflict = conflict_between_both()
    put_in_quarantine()
    Customer.objects.bulk_create([Customer(name=f"{n}") for n in range(5)])
    for n in range(250):
        Customer.objects.create(name=f"customer {n}")

    # the way there, and where things stand
    person.open("/admin/")
    person.presses("a[href='/admin/synchro/dashboard/']")
    person.sees("cannot be reached")
    person.finds("#charts[data-drawn]")
    person.sees("250")
    person.keeps("dashboard")

    # press, watch, stop
    with remote_is_busy():
        person.presses("#synchronize-1")
        person.sees("begun for “remote”")
        person.sees("of 250")
        assert not person.driver.find_elements("id", "synchronize-1")
        person.finds("#synchro-status")
        assert person.problems() == []
        person.keeps("progress")
        person.presses("#stop-1")
        person.sees("It will stop")
    person.finds("#synchronize-1")
    assert Job.objects.latest("id").state == Job.STOPPED
    assert remote_count(Customer) < 250

    # by keyboard: the focus stays where it is while the page is refreshed
    person.driver.execute_script("document.getElementById('synchronize-1').focus()")
    person.open_eyes()
    assert person.driver.execute_script("return document.activeElement.id") == "synchronize-1"
    ActionChains(person.driver).send_keys(Keys.ENTER).perform()
    person.sees("begun for “remote”")
    person.finds("#retry-1")
    assert Job.objects.latest("id").state == Job.DONE
    person.presses("#retry-1")
    person.finds("#synchronize-1")
    person.sees("has every change")
    assert not SetAside.objects.filter(is_over=False).exists()

    # a comparison says that both are equal
    person.presses("#verify")
    person.finds(".synchro-jobs .synchro-outcome-done")
    job = Job.objects.latest("id")
    person.open(f"/synchro/jobs/{job.pk}/")
    person.finds(".synchro-outcome-done")
    person.sees("shop.Customer")
    assert person.problems() == []
    person.keeps("comparison")

    # the other side of a conflict
    person.open(f"/admin/synchro/conflict/{conflict.pk}/change/")
    person.sees("Sam Vimes")
    assert person.problems() == []
    person.keeps("conflict")
    person.presses("#take-remote")
    person.sees("LOCAL has these values now.")
    assert Customer.objects.filter(name="Sam Vimes").exists()

    assert person.errors() == []


def test_what_waits_is_read_on_a_phone_in_the_dark_and_through_a_screen_reader(person: Person) -> None:
    a_day_of_runs()
    conflict_between_both()
    customer = put_in_quarantine()
    person.prefers("dark")
    pages = {
        "dashboard-dark": "/synchro/",
        "entries": "/admin/synchro/changelog/",
        "quarantine": "/admin/synchro/setaside/",
        "object": f"/admin/shop/customer/{customer.pk}/synchronization/",
        "reset": "/synchro/reset/",
    }
    for name, path in pages.items():
        person.open(path)
        if path == "/synchro/":
            person.sees("cannot be reached")
            person.finds("#charts[data-drawn]")
        # The list pages are the admin's own, with its own colours.
        assert path.startswith("/admin/synchro/") or person.problems() == [], path
        person.keeps(name)
    person.resizes(390, 844)
    for path in ("/synchro/", pages["object"], pages["reset"]):
        person.open(path)
        if path == "/synchro/":
            person.sees("cannot be reached")
            person.finds("#charts[data-drawn]")
            person.keeps("phone")
        assert not person.overflows(), path
    assert person.errors() == []


def test_a_change_is_discarded_after_a_question(person: Person) -> None:
    put_in_quarantine()
    person.open("/admin/synchro/setaside/")
    person.presses("input.action-select")
    person.driver.execute_script("document.querySelector('select[name=action]').value = 'discard_changes'")
    person.presses("button[name=index], .actions button[type=submit]")
    person.sees("will not be sent to remote any more")
    assert person.problems() == []
    person.presses("#confirm-discard")
    person.sees("1 change was discarded.")
    assert not SetAside.objects.filter(is_over=False).exists()
    assert person.errors() == []
