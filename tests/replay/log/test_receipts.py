"""What both sides remember of their exchange, and what happens where they disagree."""

from __future__ import annotations

from contextlib import ExitStack
from io import StringIO
from typing import Any, NoReturn

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections
from django.test import override_settings

from synchro.core import call_synchronize, reset_synchro
from synchro.exceptions import KnownAsOrigin, NotReady, UnknownState
from synchro.models import Batch, ChangeLog, Checkpoint, Node, Receipt, Reference, Reset
from synchro.replay.receipts import resending
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import REMOTE, create_on_remote, pass_sequences, remote, remote_count, unlogged
from tests.shop.models import Customer, Order, Seat

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


def exchange(*names: str) -> None:
    for name in names:
        Customer.objects.create(name=name)
        call_synchronize()


def away(*arguments: object) -> NoReturn:
    raise OperationalError("could not connect to server")


def test_batch_that_arrived_but_was_not_acknowledged_is_not_replayed_again() -> None:
    """LOCAL's process died between the two commits: it has neither checkpoint nor references of the batch."""
    exchange("Vimes", "Carrot", "Nobby")
    Checkpoint.objects.update(batch=2)
    Reference.objects.filter(batch=3).delete()

    call_synchronize()

    assert remote_count(Customer) == 3
    assert_same_rows()


def test_references_adopted_from_remote_are_used_by_what_follows() -> None:
    exchange("Vimes", "Carrot")
    Checkpoint.objects.update(batch=1)
    Reference.objects.filter(batch=2).delete()
    carrot = Customer.objects.get(name="Carrot")
    carrot.cash = 5
    carrot.save()
    Order.objects.create(customer=carrot)

    call_synchronize()

    assert remote_count(Customer) == 2
    assert_same_rows()


def test_remote_restored_from_an_older_backup_stops_the_run() -> None:
    exchange("Vimes", "Carrot", "Nobby")
    Receipt.objects.using(REMOTE).update(batch=2)
    Customer.objects.create(name="Angua")

    with pytest.raises(UnknownState):
        call_synchronize()

    assert remote_count(Customer) == 3


def test_remote_that_has_forgotten_the_exchange_stops_the_run() -> None:
    exchange("Vimes", "Carrot")
    Receipt.objects.using(REMOTE).all().delete()
    Customer.objects.create(name="Angua")

    with pytest.raises(UnknownState):
        call_synchronize()

    assert remote_count(Customer) == 2


def test_local_restored_from_an_older_backup_stops_the_run() -> None:
    """REMOTE has taken batches that LOCAL has not even formed."""
    exchange("Vimes", "Carrot", "Nobby")
    Node.objects.filter(pk=1).update(batch=1)
    Checkpoint.objects.update(batch=1)
    Batch.objects.filter(number__gt=1).delete()
    ChangeLog.objects.filter(pk__gt=ChangeLog.objects.earliest("pk").pk).delete()

    with pytest.raises(UnknownState):
        call_synchronize()

    assert remote_count(Customer) == 3


def restore_remote(batch: int) -> None:
    """REMOTE becomes what it was when it had received so many batches, one customer each."""
    node = Node.objects.using(REMOTE).get()
    peer = Receipt.objects.using(REMOTE).get().peer_id
    token = Batch.objects.get(number=batch).token
    assert node.pk
    Receipt.objects.using(REMOTE).update(batch=batch, token=token)
    lost = Reference.objects.using(REMOTE).filter(peer_id=peer, batch__gt=batch)
    with unlogged(REMOTE):
        Customer.objects.using(REMOTE).filter(
            pk__in=[int(key) for key in lost.values_list("local_object_id", flat=True)]
        ).delete()
    lost.delete()


def test_what_remote_lost_by_a_restore_is_sent_again_when_asked_for() -> None:
    """No advice leads to a loss: nothing is overwritten, not even what REMOTE put in the place of what it lost."""
    exchange("Vimes", "Carrot", "Nobby")
    lost = remote(Customer, name="Nobby").pk
    restore_remote(2)
    with unlogged(REMOTE):
        Customer.objects.using(REMOTE).create(pk=lost, name="REMOTE's own")
    pass_sequences(Customer)
    with pytest.raises(UnknownState, match="--resend") as raised:
        call_synchronize()
    assert "reset" not in str(raised.value)
    Customer.objects.create(name="Angua")

    with resending():
        report = call_synchronize()

    assert report.entries == 2
    assert {one.name for one in Customer.objects.using(REMOTE)} == {
        "Vimes",
        "Carrot",
        "Nobby",
        "Angua",
        "REMOTE's own",
    }
    nobby = Customer.objects.get(name="Nobby")
    nobby.cash = 5
    nobby.save()
    call_synchronize()
    assert remote(Customer, name="Nobby").cash == 5
    assert remote(Customer, pk=lost).name == "REMOTE's own"


def test_deletion_that_remote_lost_by_a_restore_is_sent_again() -> None:
    exchange("Vimes", "Carrot")
    views = list(Reference.objects.using(REMOTE).all())
    row = remote(Customer, name="Vimes")
    Customer.objects.get(name="Vimes").delete()
    call_synchronize()
    with unlogged(REMOTE):
        row.save(using=REMOTE, force_insert=True)
    Reference.objects.using(REMOTE).all().delete()
    Reference.objects.using(REMOTE).bulk_create(views)
    Receipt.objects.using(REMOTE).update(batch=2, token=Batch.objects.get(number=2).token)

    with resending():
        call_synchronize()

    assert [one.name for one in Customer.objects.using(REMOTE)] == ["Carrot"]


def test_command_sends_again() -> None:
    exchange("Vimes", "Carrot")
    restore_remote(1)
    with pytest.raises(CommandError, match="--resend"):
        call_command("synchronize")

    call_command("synchronize", "--resend", stderr=StringIO(), stdout=StringIO())

    assert remote_count(Customer) == 2
    assert_same_rows()


def test_what_cannot_be_sent_again_after_a_restore_is_refused() -> None:
    exchange("Vimes", "Carrot", "Nobby")
    restore_remote(1)
    Batch.objects.filter(number=2).delete()

    with resending(), pytest.raises(UnknownState, match="not all"):
        call_synchronize()

    assert remote_count(Customer) == 1


def test_what_was_taken_up_again_cannot_be_sent_again(settings: Any) -> None:
    """The batch with which it arrived names it nowhere."""
    settings.SYNCHRO_ON_ERROR = "quarantine"
    obstacle = create_on_remote(Seat, number=1)
    Seat.objects.create(number=1)
    assert call_synchronize().aside == 1
    with unlogged(REMOTE):
        obstacle.delete()
    settings.SYNCHRO_ON_ERROR = "stop"
    exchange("Vimes")
    assert remote_count(Seat) == 1
    with unlogged(REMOTE):
        Seat.objects.using(REMOTE).all().delete()
    restore_remote(1)

    with resending(), pytest.raises(UnknownState, match="set aside and arrived later"):
        call_synchronize()

    assert remote_count(Customer) == 0


def test_batches_that_set_something_aside_are_sent_again_and_set_it_aside_again(settings: Any) -> None:
    settings.SYNCHRO_ON_ERROR = "quarantine"
    exchange("Vimes")
    obstacle = create_on_remote(Seat, number=1)
    Seat.objects.create(number=1)
    assert call_synchronize().aside == 1
    exchange("Carrot")
    restore_remote(1)

    with resending():
        assert call_synchronize().aside == 1

    assert remote_count(Customer) == 2
    with unlogged(REMOTE):
        obstacle.delete()
    assert call_synchronize(retry=True).aside == 0
    assert_same_rows()


def test_batch_of_another_copy_of_local_is_not_taken_for_ones_own() -> None:
    """LOCAL was put back within seconds, and then served another REMOTE first."""
    exchange("Vimes", "Carrot")
    Customer.objects.get(name="Carrot").delete()
    Batch.objects.filter(number=2).update(token=f"2-{'f' * 32}")
    Checkpoint.objects.update(batch=1)

    with pytest.raises(UnknownState) as raised:
        call_synchronize()

    assert "reset" not in str(raised.value)
    assert remote_count(Customer) == 2


def test_clone_that_has_sent_its_own_batch_of_the_same_number_is_noticed_by_the_other() -> None:
    exchange("Vimes", "Carrot")
    Receipt.objects.using(REMOTE).update(token=f"2-{'f' * 32}")
    Customer.objects.create(name="Nobby")

    with pytest.raises(UnknownState, match="another copy"):
        call_synchronize()

    assert remote_count(Customer) == 2


@pytest.mark.parametrize("token", ["", "1-0123456789abcdef"])
def test_receipt_of_the_release_before_is_accepted(token: str) -> None:
    """It signs without a token, and leaves what stands there."""
    exchange("Vimes", "Carrot")
    Receipt.objects.using(REMOTE).update(token=token)
    Checkpoint.objects.update(batch=1)

    call_synchronize()

    assert Checkpoint.objects.get().batch == 2
    assert_same_rows()


def test_reset_is_refused_where_remote_has_what_local_has_lost() -> None:
    """A new row of LOCAL's would be taken for one that it lost, and overwrite it on REMOTE."""
    exchange("Vimes", "Carrot", "Nobby")
    Node.objects.filter(pk=1).update(batch=1)
    Checkpoint.objects.update(batch=1)
    Batch.objects.filter(number__gt=1).delete()
    node = Node.objects.get().uuid

    with pytest.raises(UnknownState, match="load LOCAL"):
        reset_synchro()

    assert Node.objects.get().uuid == node


def test_reset_waits_for_a_remote_that_may_have_received_more_than_is_known() -> None:
    exchange("Vimes", "Carrot")
    Checkpoint.objects.update(batch=1)
    node = Node.objects.get().uuid

    with connections[REMOTE].execute_wrapper(away), pytest.raises(NotReady, match="SYNCHRO_REMOTE"):
        reset_synchro()
    assert Node.objects.get().uuid == node

    with override_settings(SYNCHRO_REMOTE=None), connections[REMOTE].execute_wrapper(away):
        reset_synchro()
    assert Node.objects.get().uuid != node


def test_reset_needs_no_remote_where_all_is_acknowledged() -> None:
    exchange("Vimes")

    with connections[REMOTE].execute_wrapper(away):
        reset_synchro(is_copy=True)

    assert not ChangeLog.objects.exists()


@pytest.mark.parametrize("can_be_asked", [True, False])
def test_reset_of_what_remote_knows_as_an_origin_has_to_be_said_twice(can_be_asked: bool) -> None:
    exchange("Vimes")
    Customer.objects.create(name="Carrot")
    node = Node.objects.get().uuid

    with ExitStack() as stack:
        if not can_be_asked:
            stack.enter_context(connections[REMOTE].execute_wrapper(away))
        with pytest.raises(KnownAsOrigin, match=r"“remote” knows .* reset_synchro\(is_copy=True\)"):
            reset_synchro()
        assert Node.objects.get().uuid == node
        assert not Reset.objects.exists()

    call_synchronize()  # nothing was forgotten
    assert remote_count(Customer) == 2
    reset_synchro(is_copy=True)
    assert Node.objects.get().uuid != node


def test_copy_of_remote_is_reset_without_a_word_whatever_the_original_has_sent() -> None:
    """What it says of positions is the original's, and REMOTE has the same node id."""
    exchange("Vimes")
    Node.objects.using(REMOTE).update(uuid=Node.objects.get().uuid)

    reset_synchro()

    assert Reset.objects.get().former == Node.objects.using(REMOTE).get().uuid


def test_other_node_in_remotes_place_is_a_new_acquaintance() -> None:
    """Its rows are looked up anew; references to the former one mean nothing."""
    exchange("Vimes", "Carrot")
    for table in ("synchro_reference", "synchro_receipt", "synchro_peer", "synchro_node", "shop_customer"):
        with connections[REMOTE].cursor() as cursor:
            cursor.execute(f"DELETE FROM {table}")
    for customer in Customer.objects.all():
        customer.save()

    call_synchronize()

    assert remote_count(Customer) == 2
    assert_same_rows()
