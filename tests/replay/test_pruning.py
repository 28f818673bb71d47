"""Entries that every REMOTE has are kept for a while, and then dropped."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from synchro.core import call_synchronize
from synchro.exceptions import SynchroError
from synchro.models import Batch, ChangeLog, Checkpoint, Peer, options
from tests.replay.compare import assert_same_rows
from tests.replay.sides import REMOTE, create_on_remote, let_time_pass, remote_count
from tests.shop.models import Customer, Seat

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


def let_days_pass(days: int) -> None:
    let_time_pass(days * 86_400)
    for batch in Batch.objects.all():
        Batch.objects.filter(pk=batch.pk).update(formed=batch.formed - timedelta(days=days))


def test_entries_older_than_the_retention_go_with_their_batches() -> None:
    for number in range(5):
        Customer.objects.create(name=f"Customer {number}")
    call_synchronize()
    let_days_pass(31)
    Customer.objects.create(name="new")

    call_synchronize()
    call_synchronize()

    assert [entry.action for entry in ChangeLog.objects.all()] == [1]
    assert Batch.objects.count() == 1
    assert_same_rows()


def test_entries_younger_than_the_retention_stay() -> None:
    Customer.objects.create(name="Vimes")
    call_synchronize()
    let_days_pass(29)

    call_synchronize()

    assert (ChangeLog.objects.count(), Batch.objects.count()) == (1, 1)


def test_entries_stay_for_ever_where_that_was_asked_for(settings: Any) -> None:
    settings.SYNCHRO_RETENTION = None
    for number in range(3):
        Customer.objects.create(name=f"Customer {number}")
    call_synchronize()
    let_days_pass(10_000)

    call_synchronize()

    assert ChangeLog.objects.count() == 3


def test_entries_that_have_not_arrived_stay_however_old_they_are() -> None:
    obstacle = create_on_remote(Seat, number=1)
    Seat.objects.create(number=1)
    Customer.objects.create(name="Vimes")
    with pytest.raises(SynchroError):
        call_synchronize()
    let_days_pass(365)
    with pytest.raises(SynchroError):
        call_synchronize()

    obstacle.delete()
    call_synchronize()

    assert_same_rows()


def test_another_remote_that_keeps_entries_beyond_the_retention_is_named() -> None:
    Customer.objects.create(name="Vimes")
    call_synchronize()
    archive = Peer.objects.create(uuid=uuid4(), alias="archive")
    checkpoint = Checkpoint.objects.create(peer=archive, batch=0)

    early = call_synchronize()
    let_days_pass(31)
    late = call_synchronize()
    kept = ChangeLog.objects.count()
    checkpoint.delete()
    after = call_synchronize()

    assert early.warnings == ()
    assert ["archive" in text and "SYNCHRO_RETENTION" in text for text in late.warnings] == [True]
    assert kept == 1
    assert after.warnings == ()


def test_changes_after_a_pruning_arrive_once() -> None:
    customers = [Customer.objects.create(name=f"Customer {number}") for number in range(5)]
    call_synchronize()
    let_days_pass(31)
    call_synchronize()

    customers[0].delete()
    customers[1].cash = 5
    customers[1].save()
    report = call_synchronize()

    assert report.entries == 2
    assert remote_count(Customer) == 4
    assert_same_rows()


def test_checkpoint_set_back_beyond_what_was_pruned_replays_what_is_left() -> None:
    for number in range(5):
        Customer.objects.create(name=f"Customer {number}")
    call_synchronize()
    let_days_pass(31)
    Customer.objects.create(name="new")
    call_synchronize()
    call_synchronize()

    options.last_check = timezone.now() - timedelta(days=365)
    call_synchronize()

    assert Customer.objects.using(REMOTE).count() == 6
    assert_same_rows()
