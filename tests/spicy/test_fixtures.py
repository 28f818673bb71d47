"""`dumpdata` and `loaddata`."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core import serializers
from django.core.management import call_command
from django.core.serializers.base import DeserializationError

from tests.spicy.models import Device, Invoice, Menu, Note, Place, Restaurant, Tag, User

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("chosen_keys")]


def make_rows() -> None:
    ada = User.objects.create(id=123456789, name="Ada")
    invoice = Invoice.objects.create(id=0x7000005, customer=ada)
    Tag.objects.create(id=500, label="red").invoices.add(invoice)
    Device.objects.create(owner=ada, serial="A1")
    bistro = Restaurant.objects.create(name="Bistro", stars=2)
    Menu.objects.create(restaurant=bistro, title="Lunch")
    Note.objects.create(target=invoice, text="hello")


def everything() -> list[list[tuple]]:
    models = (User, Invoice, Tag, Device, Place, Restaurant, Menu, Note)
    rows = [list(model.objects.order_by("pk").values_list()) for model in models]
    return [*rows, list(Tag.objects.values_list("id", "invoices"))]


@pytest.mark.parametrize("form", ["json", "jsonl", "xml"])
def test_rows_survive_dumpdata_and_loaddata(tmp_path: Path, form: str) -> None:
    make_rows()
    before = everything()
    assert all(before)
    fixture = tmp_path / f"rows.{form}"
    call_command("dumpdata", "spicy", format=form, output=str(fixture), verbosity=0)
    for model in (Note, Menu, Restaurant, Place, Device, Tag, Invoice, User):
        model.objects.all().delete()
    call_command("loaddata", str(fixture), verbosity=0)
    assert everything() == before


def test_a_fixture_holds_ids() -> None:
    make_rows()
    output = StringIO()
    call_command("dumpdata", "spicy.User", "spicy.Invoice", "spicy.Tag", stdout=output)
    user, invoice, tag = json.loads(output.getvalue())
    assert user["pk"] == "usr_8M0kX"
    assert (invoice["pk"], invoice["fields"]["customer"], invoice["fields"]["payer"]) == (
        "inv-07000005",
        "usr_8M0kX",
        None,
    )
    assert tag["fields"]["invoices"] == ["inv-07000005"]


def test_a_fixture_from_before_the_table_had_ids_is_loaded() -> None:
    rows = [
        {"model": "spicy.user", "pk": 123456789, "fields": {"name": "Ada"}},
        {"model": "spicy.invoice", "pk": 5, "fields": {"customer": 123456789, "total": 1}},
    ]
    for row in serializers.deserialize("json", json.dumps(rows)):
        row.save()
    assert Invoice.objects.get(pk="inv-00000005").customer_id == "usr_8M0kX"


@pytest.mark.parametrize("key", ["garbage", "usr_05", -1, 2**63, True])
def test_a_fixture_with_what_is_no_id_is_refused(key: object) -> None:
    rows = json.dumps([{"model": "spicy.user", "pk": key, "fields": {"name": "Ada"}}])
    with pytest.raises(DeserializationError):
        list(serializers.deserialize("json", rows))
