"""What both sides remember of their exchange, and what happens where they disagree."""

from __future__ import annotations

from typing import NoReturn

import pytest
from django.db import OperationalError, connections
from django.test import override_settings

from synchro.core import call_synchronize, reset_synchro
from synchro.exceptions import NotReady, UnknownState
from synchro.models import Batch, ChangeLog, Checkpoint, Node, Receipt, Reference
from tests.replay.compare import assert_same_rows
from tests.replay.sides import REMOTE, remote_count
from tests.shop.models import Customer, Order

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


def test_reset_is_the_way_out_that_the_message_names() -> None:
    exchange("Vimes", "Carrot")
    Receipt.objects.using(REMOTE).update(batch=1)
    with pytest.raises(UnknownState, match="reset"):
        call_synchronize()

    reset_synchro()
    exchange("Angua")

    assert_same_rows()


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
        reset_synchro()

    assert not ChangeLog.objects.exists()


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
