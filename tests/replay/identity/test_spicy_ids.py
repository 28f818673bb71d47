"""Spicy ids: integers in the log and in the tables, whatever people see of them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from django.db.models import Model

from synchro.core import call_synchronize
from synchro.models import ChangeLog
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import (
    REMOTE,
    captured_by_triggers,
    create_on_remote,
    let_time_pass,
    other_side,
    remote,
    remote_count,
)
from tests.spicy.models import Device, Event, Invoice, Menu, Note, Place, Restaurant, Tag, User, UserProxy

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.fixture(autouse=True)
def _other_keys_on_remote() -> None:
    """So that no key is right by chance."""
    for number in range(3):
        user = create_on_remote(User, name=f"own {number}")
        create_on_remote(Invoice, customer=user)
        create_on_remote(Tag, label=f"own {number}")


def test_rows_of_every_kind_arrive_with_what_they_point_at() -> None:
    user = User.objects.create(name="Vimes", email="vimes@example.org")
    invoice = Invoice.objects.create(customer=user, payer=UserProxy.objects.get(pk=user.pk))
    tag = Tag.objects.create(label="urgent")
    tag.invoices.add(invoice)
    device = Device.objects.create(owner=user, serial="1")
    Menu.objects.create(restaurant=Restaurant.objects.create(name="Harga's", stars=1), title="All day")
    event = Event.objects.create(what="watch")

    call_synchronize()

    found = remote(Invoice, customer__name="Vimes")
    assert found.payer is not None
    assert found.payer.email == "vimes@example.org"
    assert [other.label for other in found.tags.using(REMOTE)] == ["urgent"]
    assert (remote(Device).pk, remote(Event).pk) == (device.pk, event.pk)
    assert remote(Device).owner.name == "Vimes"
    assert remote(Menu).restaurant.name == "Harga's"


def test_entries_name_rows_by_their_integers() -> None:
    user = User.objects.create(name="Vimes")
    device = Device.objects.create(owner=user)
    Note.objects.create(target=device)
    device.delete()

    assert all(entry.object_id.isdecimal() for entry in ChangeLog.objects.all())


@pytest.mark.parametrize("kind", [User, Device])
def test_generic_reference_leads_to_the_same_row(kind: type[Model]) -> None:
    target = User.objects.create(name="Vimes") if kind is User else Device.objects.create(serial="1")
    Note.objects.create(target=target, text="see there")

    call_synchronize()

    note = remote(Note)
    there = remote(User, name="Vimes") if kind is User else remote(Device)
    assert note.target == there
    assert note.target_id == there.pk


def test_relation_back_from_a_generic_reference_finds_its_rows() -> None:
    device = Device.objects.create(serial="1")
    Note.objects.create(target=device, text="see there")

    call_synchronize()

    assert [note.text for note in remote(Device).notes.using(REMOTE)] == ["see there"]


def test_changes_and_deletions_find_their_rows() -> None:
    user = User.objects.create(name="Vimes")
    invoice = Invoice.objects.create(customer=user)
    tag = Tag.objects.create(label="urgent")
    tag.invoices.add(invoice)
    device = Device.objects.create(owner=user)
    call_synchronize()

    invoice.total = 5
    invoice.save()
    tag.invoices.clear()
    device.serial = "2"
    device.save(update_fields=["serial"])
    call_synchronize()
    assert remote(Invoice, customer__name="Vimes").total == 5
    assert not remote(Tag, label="urgent").invoices.using(REMOTE).exists()
    assert remote(Device).serial == "2"

    user.delete()
    call_synchronize()
    assert (remote_count(User), remote_count(Invoice), remote_count(Device)) == (3, 3, 0)


def test_newer_change_of_remotes_own_is_not_overwritten() -> None:
    user, device = User.objects.create(name="Vimes"), Device.objects.create(serial="1")
    call_synchronize()

    user.name = "older"
    user.save()
    device.serial = "older"
    device.save()
    let_time_pass()
    with other_side():
        for row, name in ((User.objects.get(name="Vimes"), "name"), (Device.objects.get(), "serial")):
            setattr(row, name, "newer")
            row.save()
    call_synchronize()

    assert remote(User, name="newer").pk
    assert remote(Device).serial == "newer"


def test_row_with_a_random_key_goes_both_ways() -> None:
    device = Device.objects.create(serial="1")
    call_synchronize()
    with other_side():
        found = Device.objects.get(pk=device.pk)
        found.serial = "2"
        found.save()
        call_synchronize()

    device.refresh_from_db()
    assert device.serial == "2"
    assert_same_rows(Device)


@pytest.fixture
def _triggers(transactional_db: None) -> Iterator[None]:
    with captured_by_triggers("spicy"):
        yield


@pytest.mark.django_db(transaction=True, databases=["default", "remote"])
@pytest.mark.usefixtures("_triggers")
def test_rows_of_every_kind_are_captured_by_triggers_and_arrive() -> None:
    users = User.objects.bulk_create([User(name=f"user {number}") for number in range(3)])
    users = list(User.objects.order_by("name")) if users[0].pk is None else users
    invoices = [Invoice.objects.create(customer=user) for user in users]
    tag = Tag.objects.create(label="urgent")
    tag.invoices.add(*invoices)
    device = Device.objects.create(owner=users[0], serial="1")
    Note.objects.create(target=device, text="see there")
    Menu.objects.create(restaurant=Restaurant.objects.create(name="Harga's", stars=1), title="All day")
    call_synchronize()
    keys = set(ChangeLog.objects.values_list("content_type__model", "object_id"))

    Invoice.objects.filter(customer__in=users[1:]).update(total=5)
    users[0].delete()
    call_synchronize()

    assert all(isinstance(json.loads(key), int) for model, key in keys if model != "tag_invoices")
    assert ("device", str(Device._meta.pk.get_prep_value(device.pk))) in keys
    assert {(row.customer.name, row.total) for row in Invoice.objects.using(REMOTE).filter(total=5)} == {
        ("user 1", 5),
        ("user 2", 5),
    }
    assert remote_count(Device) == 0
    assert remote(Tag, label="urgent").invoices.using(REMOTE).count() == 2
    assert remote(Menu).restaurant.name == "Harga's"
    assert_same_rows(Device, Menu, Place, Restaurant)
