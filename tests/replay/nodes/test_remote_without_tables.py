"""A REMOTE on which synchro is not installed: no log, no receipt, no references."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from synchro.core import Report, call_synchronize
from synchro.exceptions import NotReady, UnknownState
from synchro.models import Checkpoint, Node, Peer, Reference
from tests.fewer_apps import only
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import (
    BY_TRIGGERS,
    REMOTE,
    remote,
    remote_count,
    set_capture,
    use_up_key_on_remote,
)
from tests.shop.models import Album, Artist, Country, Customer, Order

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "remote"])


@pytest.fixture(scope="module", autouse=True)
def _tables_at_the_end(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Once for all tests, since it takes longer than most of them."""
    yield
    with django_db_blocker.unblock():
        migrate()
        if BY_TRIGGERS:
            set_capture(REMOTE, "triggers")


@pytest.fixture(autouse=True)
def without_tables() -> None:
    if Node._meta.db_table in connections[REMOTE].introspection.table_names():
        migrate("zero")


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

    # By triggers REMOTE has none yet, which every run says.
    assert [text for text in report.warnings if "have no triggers" not in text] == []
    assert remote(Customer).cash == 5
    assert_same_rows()


@contextmanager
def renamed(alias: str) -> Iterator[None]:
    """Inside, REMOTE has another alias."""
    connection = connections[REMOTE]
    connection.alias = alias
    connections[alias] = connection
    connections.databases[alias] = connections.databases[REMOTE]
    try:
        with override_settings(SYNCHRO_REMOTE=alias):
            yield
    finally:
        connection.alias = REMOTE
        del connections[alias]
        del connections.databases[alias]


def counts(customers: int = 1) -> None:
    assert remote_count(Customer) == customers


def test_renamed_alias_is_the_same_database() -> None:
    use_up_key_on_remote(Customer, name="gone")
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    customer.cash = 5
    customer.save()

    with renamed("other"):
        report: Report = call_synchronize()

    assert report.entries == 1
    assert (remote(Customer).name, remote(Customer).cash) == ("Vimes", 5)
    assert Peer.objects.get().alias == "other"


def test_new_alias_of_a_database_that_is_not_known_for_sure_is_asked_for() -> None:
    """Of a REMOTE of an earlier release nothing says which server's it was."""
    use_up_key_on_remote(Customer, name="gone")
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    Peer.objects.update(place="")
    customer.cash = 5
    customer.save()

    with renamed("other"):
        with pytest.raises(UnknownState, match=r"remote.*other"):
            call_synchronize()
        counts(1)
        Peer.objects.filter(uuid=None, alias=REMOTE).update(alias="other", place="")
        call_synchronize()

    counts(1)
    assert remote(Customer).cash == 5


def test_another_database_under_the_same_alias_is_not_written_into() -> None:
    Customer.objects.create(name="Vimes")
    call_synchronize()
    Peer.objects.update(place="another server")
    before = Checkpoint.objects.get().batch
    Customer.objects.create(name="Carrot")

    with pytest.raises(UnknownState, match="moved"):
        call_synchronize()

    counts(1)
    assert Checkpoint.objects.get().batch == before
    Peer.objects.filter(uuid=None, alias=REMOTE).update(place="")
    call_synchronize()
    assert_same_rows()


def test_remote_whose_tables_are_gone_is_refused_and_nothing_is_written() -> None:
    migrate()
    Customer.objects.create(name="Vimes")
    call_synchronize()
    before = (Checkpoint.objects.get().batch, Reference.objects.count(), Peer.objects.count())
    Customer.objects.create(name="Carrot")
    migrate("zero")

    with pytest.raises(UnknownState) as raised:
        call_synchronize()

    assert "reset" not in str(raised.value)
    counts(1)
    assert (Checkpoint.objects.get().batch, Reference.objects.count(), Peer.objects.count()) == before


def test_tables_of_an_older_release_are_refused_in_words() -> None:
    migrate("0006")
    Customer.objects.create(name="Vimes")

    with pytest.raises(NotReady, match=r"older release.*migrate synchro"):
        call_synchronize()

    counts(0)
    migrate()
    call_synchronize()
    assert_same_rows()
