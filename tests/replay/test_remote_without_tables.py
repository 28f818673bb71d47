"""A REMOTE on which synchro is not installed: no log, no receipt, no references."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command

from synchro.core import Report, call_synchronize
from synchro.models import Reference
from tests.few import only
from tests.replay.compare import assert_same_rows
from tests.replay.sides import BY_TRIGGERS, REMOTE, remote, remote_count, set_capture, use_up_key_on_remote
from tests.shop.models import Album, Artist, Country, Customer, Order

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "remote"])


@pytest.fixture(scope="module", autouse=True)
def _triggers_at_the_end(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    yield
    if BY_TRIGGERS:
        with django_db_blocker.unblock():
            set_capture(REMOTE, "triggers")


@pytest.fixture(autouse=True)
def without_tables() -> Iterator[None]:
    migrate("zero")
    yield
    migrate()


def migrate(*step: str) -> None:
    """To that step, or to the last."""
    with only():
        call_command("migrate", "synchro", *step, database="remote", verbosity=0)


def test_run_works_and_warns_once() -> None:
    use_up_key_on_remote(Customer, name="gone")
    customer = Customer.objects.create(name="Vimes")
    Order.objects.create(customer=customer)
    Country.objects.create(code="PL")
    Album.objects.create(name="Blue").artists.add(Artist.objects.create(name="Joni"))

    report: Report = call_synchronize()

    assert len(report.warnings) == 1
    assert "synchro" in report.warnings[0]
    assert_same_rows()


def test_rows_stay_tied_to_what_they_became() -> None:
    use_up_key_on_remote(Customer, name="gone")
    customer, other = Customer.objects.create(name="Vimes"), Customer.objects.create(name="Carrot")
    call_synchronize()
    key = remote(Customer, name="Vimes").pk

    customer.cash = 5
    customer.save()
    other.delete()
    call_synchronize()

    assert (remote(Customer).pk, remote(Customer).cash) == (key, 5)
    assert_same_rows()


def test_running_again_doubles_nothing() -> None:
    Customer.objects.create(name="Vimes")

    reports = [call_synchronize() for _ in range(3)]

    assert [report.entries for report in reports] == [1, 0, 0]
    assert remote_count(Customer) == 1


def test_references_of_the_old_release_are_those_to_this_remote() -> None:
    """It knew one REMOTE, and kept nothing there."""
    kept, gone = Customer.objects.create(name="Vimes"), Customer.objects.create(name="Carrot")
    kind = ContentType.objects.get_for_model(Customer)
    for customer, there in ((kept, 500), (gone, 501)):
        Customer.objects.using(REMOTE).create(pk=there, name=customer.name)
        Reference.objects.create(content_type_id=kind.pk, local_object_id=customer.pk, remote_object_id=there)
    kept.name = "Sam"
    kept.save()
    gone.delete()

    call_synchronize()

    assert (remote(Customer).pk, remote(Customer).name) == (500, "Sam")


def test_whole_run_can_be_one_transaction(settings: Any) -> None:
    settings.SYNCHRO_BATCH_SIZE = 2
    use_up_key_on_remote(Customer, name="gone")
    for customer in [Customer.objects.create(name=name) for name in "abc"]:
        Order.objects.create(customer=customer)
        customer.save()

    call_synchronize(atomic=True)

    assert remote_count(Customer) == 3
    assert_same_rows()


def test_tables_that_are_installed_later_are_used_from_then_on() -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    migrate()

    customer.cash = 5
    customer.save()
    report = call_synchronize()

    assert report.warnings == ()
    assert remote(Customer).cash == 5
    assert_same_rows()
