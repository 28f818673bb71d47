"""Entries that every REMOTE has are kept for a while, and then dropped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone

from synchro.core import call_synchronize
from synchro.exceptions import SynchroError
from synchro.models import Baseline, Batch, ChangeLog, Checkpoint, Conflict, Node, Peer, options
from synchro.replay.log import batches
from synchro.replay.prune import prune
from synchro.replay.session import Database, Databases, Session
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import REMOTE, create_on_remote, let_time_pass, other_side, remote, remote_count
from tests.replay.histories.harness import object_by_object
from tests.shop.models import Country, Customer, Order, Seat

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


def test_newest_entry_that_pruning_leaves_is_no_conflict_with_what_came_later(settings: Any) -> None:
    """Its batch is gone, which said that it was received."""
    settings.SYNCHRO_RETENTION = timedelta(0)
    Country.objects.create(code="AM", name="Ankh")
    call_synchronize()
    with other_side():
        country = Country.objects.get(code="AM")
        country.name = "Morpork"
        country.save()
        call_synchronize()
        call_synchronize()
        assert (ChangeLog.objects.count(), Batch.objects.count()) == (1, 0)
    country = Country.objects.get(code="AM")
    country.name = "Ankh-Morpork"
    country.save()

    report = call_synchronize()

    assert report.conflicts == 0
    assert_same_rows(Country)


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


# -- what REMOTE dropped before LOCAL received it ---------------------------------------------------------------


@pytest.fixture(params=["in bulk", "object by object"])
def _way(request: Any) -> Iterator[None]:
    """How rows get to REMOTE where nobody listens, and where somebody does."""
    with nullcontext() if request.param == "in bulk" else object_by_object():
        yield


@pytest.fixture
def vimes(db: None) -> Customer:
    """A customer that the office (LOCAL) and the main server (REMOTE) have."""
    customer = Customer.objects.create(name="Vimes", cash=1)
    call_synchronize()
    let_time_pass(60)
    return customer


def session_with(peer: Peer) -> Session:
    """Return a session as of a run to this peer that begins now."""
    databases = Databases(Database(REMOTE))
    begun = databases.local.backend.now()
    return Session(remote=databases.remote, node=Node.objects.get().uuid, peer=peer, begun=begun)


def prune_there() -> None:
    """The main server sends what it has logged to an archive only, and drops it a month later."""
    with other_side():
        for key in ("XX", "YY"):  # the newest entry always stays
            Country.objects.create(code=key)
        batch = batches.next_batch(0)
        while batch is not None:
            last, batch = batch, batches.next_batch(batch.number)
        Country.objects.create(code="ZZ")
        archive = Peer.objects.create(uuid=uuid4(), alias="archive")
        Checkpoint.objects.create(peer=archive, batch=last.number)
        let_days_pass(31)
        before = ChangeLog.objects.count()
        prune(session_with(archive))
        assert ChangeLog.objects.count() < before


def change_there(**values: Any) -> None:
    with other_side():
        there = Customer.objects.get()
        for name, value in values.items():
            setattr(there, name, value)
        there.save()
    let_time_pass()


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize(("policy", "cash"), [("newer", 2), ("local", 2), ("remote", 3)])
def test_older_change_does_not_overwrite_in_silence_what_remote_changed_and_has_dropped_from_its_log(
    vimes: Customer, settings: Any, policy: str, cash: int
) -> None:
    settings.SYNCHRO_CONFLICT = policy
    vimes.cash = 2
    vimes.save()
    let_time_pass()
    change_there(cash=3)
    prune_there()

    call_synchronize()

    assert remote(Customer).cash == cash
    conflict = Conflict.objects.get()
    assert '"cash": 3' in (conflict.remote_values or "")
    assert conflict.decision == ("remote" if policy == "remote" else "local")


@pytest.mark.usefixtures("_way")
def test_older_deletion_does_not_take_along_in_silence_what_remote_has_dropped_from_its_log(
    vimes: Customer,
) -> None:
    vimes.delete()
    let_time_pass()
    change_there(cash=3)
    with other_side():
        Order.objects.create(customer=Customer.objects.get(), note="newer")
    prune_there()

    call_synchronize()

    assert remote_count(Customer) == 0
    values = [conflict.remote_values or "" for conflict in Conflict.objects.all()]
    assert any('"cash": 3' in text for text in values)
    assert any('"note": "newer"' in text for text in values)


@pytest.mark.usefixtures("_way")
def test_older_change_of_a_row_that_remote_deleted_long_ago_is_on_record(vimes: Customer) -> None:
    vimes.cash = 2
    vimes.save()
    let_time_pass()
    with other_side():
        Customer.objects.get().delete()
    prune_there()

    call_synchronize()

    assert remote(Customer).cash == 2
    assert Conflict.objects.get().remote_values is None


def test_entry_that_stayed_at_an_earlier_pruning_does_not_hide_a_later_one(vimes: Customer) -> None:
    """The office was loaded from a copy of the main server, made when that entry was the newest one."""
    vimes.cash = 2
    vimes.save()
    let_time_pass()
    with other_side():
        prune_all_for_an_archive("XX")
        newest = ChangeLog.objects.get().pk
    change_there(cash=3)
    with other_side():
        prune_all_for_an_archive("YY")
        node = Node.objects.get().uuid
    log = ContentType.objects.get_for_model(ChangeLog)
    Baseline.objects.create(node=node, content_type=log, highest=newest)

    call_synchronize()

    assert '"cash": 3' in (Conflict.objects.get().remote_values or "")


def prune_all_for_an_archive(code: str) -> None:
    """What was logged until now has been sent to an archive, and has been dropped but for the newest entry."""
    Country.objects.create(code=code)
    batch = batches.next_batch(Node.objects.get().batch)
    assert batch is not None
    archive, _new = Peer.objects.get_or_create(alias="archive", defaults={"uuid": uuid4()})
    Checkpoint.objects.update_or_create(peer=archive, defaults={"batch": batch.number})
    let_days_pass(31)
    prune(session_with(archive))
    assert not Batch.objects.exists()


@pytest.mark.parametrize("what", ["new", "equal", "later", "received"])
def test_what_cannot_be_a_conflict_is_not_on_record_though_remote_has_dropped_entries(
    vimes: Customer, what: str
) -> None:
    if what == "new":
        Customer.objects.create(name="Carrot")
    elif what != "later":
        vimes.cash = 2
        vimes.save()
    let_time_pass()
    if what == "equal":
        change_there(cash=2)
    if what == "received":
        change_there(cash=3)
        with other_side():
            call_synchronize()
        vimes.refresh_from_db()
        vimes.cash = 4
        vimes.save()
        let_time_pass()
    prune_there()
    if what == "later":
        vimes.cash = 5
        vimes.save()

    call_synchronize()

    assert not Conflict.objects.exists()
    assert_same_rows(Customer)
