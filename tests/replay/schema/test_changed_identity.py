"""SYNCHRO_IDENTITY is changed while REMOTE has rows already."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.test import override_settings

from synchro.core import DisableSynchroLog, call_synchronize, reset_synchro
from synchro.exceptions import NotReady
from synchro.models import ModelIdentity
from tests.replay.deployments import (
    create_on_remote,
    make_local_a_copy_of_remote,
    other_side,
    pass_sequences,
    remote,
    remote_count,
    save_unlogged,
    use_up_key_on_remote,
)
from tests.shop.models import Customer, Order

pytestmark = pytest.mark.django_db(databases=["default", "remote"])

SAME_KEYS = override_settings(SYNCHRO_IDENTITY="pk")
REFERENCES = override_settings(SYNCHRO_IDENTITY="reference")


def convert() -> str:
    call_command("synchro_identity", stdout=(out := StringIO()))
    return out.getvalue()


def errors() -> list[Any]:
    return [message for message in run_checks(databases=["default"]) if message.id == "synchro.E010"]


def change(name: str) -> Customer:
    customer = Customer.objects.get(name=name)
    customer.cash = (customer.cash or 0) + 5
    customer.save()
    return customer


def test_from_same_keys_to_references_stops_before_rows_are_doubled() -> None:
    with SAME_KEYS:
        Customer.objects.create(name="Vimes")
        call_synchronize()
    change("Vimes")

    with pytest.raises(NotReady, match=r"shop\.Customer is “reference” now.*synchro_identity"):
        call_synchronize()

    assert remote_count(Customer) == 1
    assert {error.obj for error in errors()} >= {Customer, Order}
    with SAME_KEYS:
        assert not errors()
        call_synchronize()
    assert remote(Customer).cash == 5


def test_from_references_to_same_keys_stops_before_rows_are_overwritten() -> None:
    create_on_remote(Customer, name="Rust")
    Customer.objects.create(name="Vimes")
    call_synchronize()
    change("Vimes")

    with SAME_KEYS, pytest.raises(NotReady, match="overwritten"):
        call_synchronize()

    assert {one.name for one in Customer.objects.using("remote")} == {"Rust", "Vimes"}


def test_same_keys_are_converted_to_references_and_no_row_is_doubled() -> None:
    with SAME_KEYS:
        for name in ("Vimes", "Carrot"):
            Order.objects.create(customer=Customer.objects.create(name=name), note=name)
        call_synchronize()

    assert "shop.Customer is identified by 'reference' now" in convert()

    assert not errors()
    pass_sequences(Customer, Order)
    create_on_remote(Customer, name="REMOTE's own")
    change("Vimes")
    new = Order.objects.create(customer=Customer.objects.create(name="Angua"), note="new")
    Order.objects.get(note="Carrot").delete()
    call_synchronize()
    assert {one.name for one in Customer.objects.using("remote")} == {
        "Vimes",
        "Carrot",
        "Angua",
        "REMOTE's own",
    }
    assert remote(Customer, name="Vimes").cash == 5
    assert remote(Order, note=new.note).customer.name == "Angua"
    assert {order.note for order in Order.objects.using("remote")} == {"Vimes", "new"}


def test_converted_rows_come_back_to_the_same_rows() -> None:
    with SAME_KEYS:
        Customer.objects.create(name="Vimes")
        call_synchronize()
        with other_side():
            call_synchronize()
    convert()
    with other_side():
        convert()
        change("Vimes")
        call_synchronize()

    assert [(one.name, one.cash) for one in Customer.objects.all()] == [("Vimes", 5)]


def copied() -> Customer:
    """A row that both sides have under the same key, though the setting says references."""
    with DisableSynchroLog():
        customer = Customer.objects.create(name="Vimes")
    make_local_a_copy_of_remote(Customer)
    reset_synchro()
    call_synchronize()
    return customer


def test_rows_with_equal_keys_are_converted_to_same_keys() -> None:
    copied()

    with SAME_KEYS:
        convert()
        change("Vimes")
        call_synchronize()

    assert (remote(Customer).cash, remote(Customer).pk) == (5, Customer.objects.get().pk)


def test_rows_with_other_keys_are_not_converted_and_nothing_is_changed() -> None:
    use_up_key_on_remote(Customer, name="gap")
    Customer.objects.create(name="Vimes")
    call_synchronize()

    with SAME_KEYS, pytest.raises(CommandError, match=r"shop\.Customer keeps “reference”: 1 of its rows"):
        convert()

    kept = ModelIdentity.objects.get(content_type=ContentType.objects.get_for_model(Customer))
    assert kept.identity == "reference"
    change("Vimes")
    call_synchronize()
    assert remote(Customer).cash == 5


def test_row_of_remotes_own_under_a_key_of_local_keeps_references() -> None:
    copied()
    other = Customer(name="not captured")
    save_unlogged(other)
    create_on_remote(Customer, pk=other.pk, name="REMOTE's own")

    with SAME_KEYS, pytest.raises(CommandError, match="1 keys of LOCAL belong to rows there"):
        convert()

    assert remote(Customer, pk=other.pk).name == "REMOTE's own"


def test_nothing_is_converted_while_changes_are_pending() -> None:
    with SAME_KEYS:
        Customer.objects.create(name="Vimes")
        call_synchronize()
    change("Vimes")

    with pytest.raises(CommandError, match="Changes are pending"):
        convert()


def test_identity_is_remembered_when_remote_was_reset() -> None:
    with SAME_KEYS:
        Customer.objects.create(name="Vimes")
        call_synchronize()
    with other_side():
        reset_synchro()
    change("Vimes")

    with pytest.raises(NotReady, match="SYNCHRO_IDENTITY"):
        call_synchronize()

    assert remote_count(Customer) == 1


def test_where_nothing_differs_there_is_nothing_to_convert() -> None:
    Customer.objects.create(name="Vimes")
    call_synchronize()

    assert convert() == "remote: nothing to convert\n"
