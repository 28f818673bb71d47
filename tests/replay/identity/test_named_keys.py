"""SYNCHRO_KEYS: plain columns that hold keys of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import connections
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from synchro.core import call_synchronize
from synchro.exceptions import WrongSetting
from synchro.relations import named_models
from tests.guests.models import Discount, Food, History, Offer
from tests.replay.deployments import (
    REMOTE,
    create_on_remote,
    remote,
    remote_count,
    use_up_key_on_remote,
    watching,
)
from tests.replay.refusals import refusing
from tests.shop.models import Customer

pytestmark = pytest.mark.django_db(databases=["default", "remote"])

HISTORY = {"guests.History": {"KEYS": {"id": "shop.Customer"}}}


@pytest.fixture(scope="module", autouse=True)
def watched(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    with watching(django_db_blocker, "guests", "shop"):
        yield


@pytest.fixture(autouse=True)
def _other_keys_on_remote() -> None:
    for model in (Offer, Customer):
        for _time in range(3):
            use_up_key_on_remote(model, name="x")


def offer_of(discount: Discount) -> str:
    there = Discount.objects.using(REMOTE).get(amount=discount.amount)
    return Offer.objects.using(REMOTE).get(pk=there.offer_id).name


def test_key_in_a_plain_column_is_that_of_remote() -> None:
    offer = Offer.objects.create(name="summer")
    discount = Discount.objects.create(offer_id=offer.pk, amount=1)
    none = Discount.objects.create(offer_id=None, amount=2)

    call_synchronize()

    assert remote(Offer).pk != offer.pk
    assert offer_of(discount) == "summer"
    assert remote(Discount, amount=none.amount).offer_id is None


def test_key_in_a_plain_column_that_changes_is_that_of_remote() -> None:
    first, second = Offer.objects.create(name="summer"), Offer.objects.create(name="winter")
    discount = Discount.objects.create(offer_id=first.pk, amount=1)
    call_synchronize()

    discount.offer_id = second.pk
    discount.save(update_fields=["offer_id"])
    call_synchronize()

    assert offer_of(discount) == "winter"


def test_many_rows_are_translated_together() -> None:
    offers = [Offer.objects.create(name=f"offer {number}") for number in range(20)]
    for number, offer in enumerate(offers):
        Discount.objects.create(offer_id=offer.pk, amount=number)

    with CaptureQueriesContext(connections[REMOTE]) as queries:
        call_synchronize()

    there = dict(Offer.objects.using(REMOTE).values_list("pk", "name"))
    found = Discount.objects.using(REMOTE).values_list("amount", "offer_id")
    assert {amount: there[key] for amount, key in found} == {n: f"offer {n}" for n in range(20)}
    assert len([one for one in queries if "guests_" in one["sql"]]) < 20


@pytest.mark.parametrize("is_saved_again", [True, False])
def test_row_that_is_named_goes_first_even_if_it_was_never_sent(is_saved_again: bool) -> None:
    """As for a foreign key: what a row points at and REMOTE lacks is created with it."""
    with override_settings(SYNCHRO_MODELS=["guests", "-guests.Offer"]):
        offer = Offer.objects.create(name="summer")
        discount = Discount.objects.create(offer_id=offer.pk, amount=1)
        call_synchronize()
        if is_saved_again:
            discount.save()
            call_synchronize()

    assert offer_of(discount) == "summer"
    assert remote_count(Offer) == 1


def test_key_of_a_row_that_is_gone_leads_to_no_other_row() -> None:
    there = create_on_remote(Offer, name="theirs")
    Discount.objects.create(offer_id=there.pk, amount=1)

    report = call_synchronize()

    assert remote(Discount).offer_id == 0
    assert any("guests.Discount" in text and "offer_id" in text for text in report.warnings)


def test_key_of_a_row_that_neither_side_has_stays_as_it_is() -> None:
    Discount.objects.create(offer_id=9_999, amount=1)

    call_synchronize()

    assert remote(Discount).offer_id == 9_999


@override_settings(SYNCHRO_MODEL_OPTIONS=HISTORY)
def test_histories_name_the_row_that_they_are_about() -> None:
    customer = Customer.objects.create(name="Nobby")
    History.objects.create(id=customer.pk, name="+")
    call_synchronize()
    History.objects.create(id=customer.pk, name="-")
    key = remote(Customer).pk
    customer.delete()
    call_synchronize()

    assert sorted(History.objects.using(REMOTE).values_list("id", "name")) == [(key, "+"), (key, "-")]
    assert key != customer.pk


@override_settings(SYNCHRO_IDENTITY="pk")
def test_equal_keys_stay_equal() -> None:
    offer = Offer.objects.create(name="summer")
    Discount.objects.create(offer_id=offer.pk, amount=1)

    call_synchronize()

    assert remote(Discount).offer_id == offer.pk == remote(Offer).pk


def test_what_names_a_refused_row_waits_for_it(quarantine: None) -> None:
    with refusing(Offer):
        offer = Offer.objects.create(name="cursed")
        discount = Discount.objects.create(offer_id=offer.pk, amount=1)
        Food.objects.create(name="bread")
        assert call_synchronize().aside == 2
        assert remote_count(Food) == 1

    assert call_synchronize(retry=True).aside == 0
    assert offer_of(discount) == "cursed"


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (["offer_id"], "must be a dictionary"),
        ({"offer": "guests.Offer"}, "names 'offer', which is no field"),
        ({"offer_id": "guests.Offr"}, "'guests.Offr', which is no model"),
        ({"offer_id": "Offer"}, "'Offer', which is no model"),
        ({"id": "guests.Offer"}, "names 'id', which is a key"),
        ({"offer_id": "guests.Document"}, "they are of other types"),
        ({"offer_id": "guests.Reading"}, "they are of other types"),
    ],
)
def test_wrong_keys_are_told_by_a_check_and_stop_a_run(keys: Any, told: str) -> None:
    with override_settings(SYNCHRO_MODEL_OPTIONS={"guests.Discount": {"KEYS": keys}}):
        with pytest.raises(WrongSetting) as raised:
            named_models(Discount)
        assert told in str(raised.value)
        (found,) = (message for message in run_checks() if message.id == "synchro.E030")
    assert told in found.msg
    assert found.obj is Discount
