"""Rows whose key says on both sides which row they are."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
from django.db import connections
from django.db.models import Model
from django.test import override_settings

from synchro.core import call_synchronize
from synchro.exceptions import NotReady, Refused
from synchro.keys import key_fields
from synchro.models import Reference
from synchro.replay.rows import select
from synchro.replay.session import Database
from tests.odd.models import Level, Shift
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import LOCAL, REMOTE, create_on_remote, remote, remote_count
from tests.shop.models import Country, Customer, Holding, Measurement, Order, Parcel, Shelf, Warehouse

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


def test_row_of_remote_with_the_same_given_key_is_overwritten() -> None:
    create_on_remote(Country, code="PL", name="Polska")
    Country.objects.create(code="PL", name="Poland")

    call_synchronize()

    assert remote(Country).name == "Poland"
    assert_same_rows()


def test_given_keys_need_no_references() -> None:
    Country.objects.create(code="PL")
    Parcel.objects.create()
    Shelf.objects.create(aisle=1, letter="A")

    call_synchronize()

    assert_same_rows()
    assert not Reference.objects.exists()


@pytest.mark.parametrize(
    "code", ["PL", "zażółć", "🦊", "it's", 'qu"ote', "a,b", "a b", "%s", "\\", "[1]", "null", "1"]
)
def test_row_with_any_text_as_its_key_is_added_changed_and_deleted(code: str) -> None:
    country = Country.objects.create(code=code, name="one")
    call_synchronize()
    assert_same_rows()

    country.name = "two"
    country.save()
    call_synchronize()
    assert remote(Country, code=code).name == "two"

    country.delete()
    call_synchronize()
    assert remote_count(Country) == 0


def test_row_that_gets_another_given_key_is_a_new_row() -> None:
    """Django saves it as one; the old one stays until it is deleted, on both sides."""
    country = Country.objects.create(code="CS", name="Czechia")
    call_synchronize()

    Country.objects.get(code="CS").delete()
    country.code = "CZ"
    country.save()
    call_synchronize()

    assert remote(Country).code == "CZ"


def test_row_with_a_uuid_is_added_changed_and_deleted() -> None:
    """Also on engines that keep it as text, with or without dashes."""
    key = uuid.UUID("0123abcd-4567-89ab-cdef-0123456789ab")
    parcel = Parcel.objects.create(id=key, weight=1)
    call_synchronize()
    assert_same_rows()

    parcel.weight = 2
    parcel.save()
    call_synchronize()
    assert remote(Parcel, id=key).weight == 2

    parcel.delete()
    call_synchronize()
    assert remote_count(Parcel) == 0


def test_row_with_a_composite_key_is_added_changed_and_deleted() -> None:
    shelf = Shelf.objects.create(aisle=1, letter="A", width=10)
    Shelf.objects.create(aisle=1, letter="B", width=20)
    call_synchronize()
    assert_same_rows()

    shelf.width = 11
    shelf.save()
    call_synchronize()
    assert remote(Shelf, aisle=1, letter="A").width == 11
    assert remote(Shelf, aisle=1, letter="B").width == 20

    shelf.delete()
    call_synchronize()
    assert remote(Shelf).letter == "B"


def test_row_whose_key_holds_values_of_every_kind_is_changed_and_deleted_and_no_other() -> None:
    moment = datetime(2026, 3, 29, 1, 30, 0, 1, tzinfo=UTC)
    values = {
        "day": date(999, 1, 2),
        "begins": time(23, 59, 59, 999999),
        "moment": moment,
        "length": timedelta(days=-1, microseconds=1),
        "rate": Decimal("-0.10"),
        "token": uuid.UUID(int=7),
        "place": '1", "2',
    }
    by_day = Shift.objects.create(is_night=False, name="day", **values)
    by_night = Shift.objects.create(is_night=True, name="night", **values)
    call_synchronize()
    assert_same_rows()

    by_night.name = "late"
    by_night.save()
    call_synchronize()
    assert remote(Shift, is_night=True).name == "late"

    by_night.delete()
    call_synchronize()
    assert [shift.is_night for shift in Shift.objects.using(REMOTE)] == [False]
    by_day.delete()
    call_synchronize()
    assert remote_count(Shift) == 0


def test_reference_within_a_composite_key_is_translated() -> None:
    for number in range(3):
        create_on_remote(Customer, name=f"Other {number}")
    customer = Customer.objects.create(name="Vimes")
    holding = Holding.objects.create(customer=customer, article="boots", quantity=1)
    call_synchronize()
    assert remote(Holding).customer == remote(Customer, name="Vimes")

    holding.quantity = 2
    holding.save()
    call_synchronize()
    assert remote(Holding).quantity == 2

    holding.delete()
    call_synchronize()
    assert remote_count(Holding) == 0


def test_model_may_ask_for_the_same_automatic_key_on_both_sides() -> None:
    create_on_remote(Warehouse, pk=77, name="to be overwritten")
    warehouse = Warehouse.objects.create(pk=77, name="Ankh")

    call_synchronize()

    assert remote(Warehouse, pk=warehouse.pk).name == "Ankh"
    assert_same_rows(Warehouse)
    assert not Reference.objects.exists()


def test_project_may_ask_for_the_same_automatic_keys_on_both_sides() -> None:
    with override_settings(SYNCHRO_IDENTITY="pk"):
        customer = Customer.objects.create(pk=1234, name="Vimes")
        Order.objects.create(pk=99, customer=customer)
        call_synchronize()

        customer.delete()
        Customer.objects.create(pk=1235, name="Carrot")
        call_synchronize()

    assert remote(Customer).pk == 1235
    assert remote_count(Order) == 0


def test_remote_hands_out_greater_keys_after_keys_were_given() -> None:
    """PostgreSQL's sequences know nothing of keys that were written by others."""
    Warehouse.objects.create(pk=1000, name="Ankh")
    call_synchronize()

    own = Warehouse.objects.using(REMOTE).create(name="REMOTE's own")

    assert own.pk > 1000


def test_sequence_of_remote_is_never_set_back() -> None:
    create_on_remote(Warehouse, name="first")
    with connections[REMOTE].cursor() as cursor:
        cursor.execute("DELETE FROM shop_warehouse")
    last = create_on_remote(Warehouse, name="second")
    Warehouse.objects.create(pk=last.pk, name="Ankh")
    call_synchronize()

    own = Warehouse.objects.using(REMOTE).create(name="REMOTE's own")

    assert own.pk > last.pk


def test_many_given_keys_of_every_kind_arrive_at_once() -> None:
    for number in range(120):
        Country.objects.create(code=f"{number:03}", name=f"Country {number}")
        Parcel.objects.create(weight=number)
        Shelf.objects.create(aisle=number, letter="A")
    call_synchronize()
    assert_same_rows()

    Parcel.objects.filter(weight__lt=60).delete()
    for shelf in Shelf.objects.filter(aisle__lt=60):
        shelf.delete()
    for country in Country.objects.all():
        country.name = country.name.upper()
        country.save()
    call_synchronize()

    assert_same_rows()


@pytest.mark.parametrize("model", [Customer, Warehouse])
def test_row_with_a_negative_key_is_added_changed_and_deleted(model: type[Model]) -> None:
    for key in (-3, -2):
        model._base_manager.create(pk=key, name="Ankh")
    call_synchronize()
    assert_same_rows(model)

    changed, gone = (model._base_manager.get(pk=key) for key in (-3, -2))
    vars(changed)["name"] = "Morpork"
    changed.save()
    gone.delete()
    call_synchronize()

    assert_same_rows(model)
    assert remote_count(model) == 1


def test_key_that_no_column_of_remote_can_hold_is_refused_and_may_go() -> None:
    if connections[LOCAL].vendor != "sqlite" or connections[REMOTE].vendor == "sqlite":
        pytest.skip("only SQLite holds more than REMOTE in such a column")
    level = Level.objects.create(number=2**40)
    with pytest.raises(Refused, match="Level"):
        call_synchronize()

    level.delete()

    assert call_synchronize().entries == 2


# -- sequences of PostgreSQL that do not belong to their column, as other programs make them ---------------------


def take_sequence_away(model: type[Model]) -> None:
    """REMOTE's table has no key of its own for a new row."""
    if connections[REMOTE].vendor != "postgresql":
        pytest.skip("other engines know no sequences")
    with connections[REMOTE].cursor() as cursor:
        cursor.execute(f"ALTER TABLE {model._meta.db_table} ALTER id DROP IDENTITY")


def give_another_sequence(model: type[Model]) -> None:
    take_sequence_away(model)
    with connections[REMOTE].cursor() as cursor:
        cursor.execute('CREATE SEQUENCE "Of Nobody" START 500')
        cursor.execute(f"ALTER TABLE {model._meta.db_table} ALTER id SET DEFAULT nextval('\"Of Nobody\"')")


def test_keys_come_from_the_sequence_of_the_default_whoever_owns_it() -> None:
    give_another_sequence(Measurement)
    Measurement.objects.create(short="Ankh")

    call_synchronize()

    assert remote(Measurement).pk == 500
    assert_same_rows(Measurement)


def test_sequence_that_nobody_owns_is_moved_past_keys_that_were_given() -> None:
    give_another_sequence(Warehouse)
    Warehouse.objects.create(pk=700, name="Ankh")

    call_synchronize()

    assert create_on_remote(Warehouse, name="REMOTE's own").pk > 700


def test_table_that_hands_out_no_keys_is_named() -> None:
    take_sequence_away(Measurement)
    Measurement.objects.create()

    with pytest.raises(NotReady, match="hands out no keys"):
        call_synchronize()

    assert remote_count(Measurement) == 0


@pytest.mark.parametrize("number", [2**63, 2**64 - 1, -(2**63) - 1])
def test_key_that_no_column_holds_is_that_of_no_row(number: int) -> None:
    fields = key_fields(Customer)
    Customer.objects.create(pk=5, name="a")
    assert select(Database(LOCAL), Customer, fields, fields, [(number,), (5,)]) == [(5,)]
