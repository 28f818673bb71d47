"""Entries of models that the synchronizing process does not watch, or does not have, wait for one that does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command

from synchro.core import call_synchronize, reset_synchro
from synchro.exceptions import NotConfigured
from synchro.models import Batch, ChangeLog, Node, Reset, options
from synchro.replay.log.unread import forget
from synchro.replay.signals import step as step_signal
from synchro.status import remotes
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import REMOTE, let_time_pass, other_side, remote, remote_count
from tests.shop.models import Country, Customer

pytestmark = pytest.mark.django_db(databases=["default", "remote"])

EVERYTHING = ["shop", "odd", "spicy"]
FEW = [("shop", "Customer")]


def synchronize(settings: Any, models: list[Any], **options: Any) -> Any:
    settings.SYNCHRO_MODELS = models
    try:
        return call_synchronize(**options)
    finally:
        settings.SYNCHRO_MODELS = EVERYTHING


@contextmanager
def dying(when: str) -> Iterator[None]:
    """Inside, a run ends at this step as a process that is interrupted does."""

    def die(step: str, **kwargs: Any) -> None:
        if step == when:
            raise KeyboardInterrupt

    step_signal.connect(die)
    try:
        yield
    finally:
        step_signal.disconnect(die)


def make_rows() -> None:
    Customer.objects.create(name="Vimes")
    for code in ("AM", "KL", "UB"):
        Country.objects.create(code=code, name=code)
        Customer.objects.create(name=code)


@pytest.mark.parametrize("is_atomic", [False, True])
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_they_arrive_with_the_first_process_that_watches_the_model(
    settings: Any, size: int, is_atomic: bool
) -> None:
    settings.SYNCHRO_BATCH_SIZE = size
    make_rows()
    report = synchronize(settings, FEW, atomic=is_atomic)
    assert any("3 entries of shop.Country" in warning for warning in report.warnings)
    assert (remote_count(Customer), remote_count(Country)) == (4, 0)
    assert [status.pending for status in remotes()] == [3]
    assert synchronize(settings, FEW, atomic=is_atomic).warnings == report.warnings

    last = synchronize(settings, EVERYTHING, atomic=is_atomic)

    assert (last.entries, last.warnings) == (3, ())
    assert [status.pending for status in remotes()] == [0]
    assert_same_rows()
    assert synchronize(settings, EVERYTHING, atomic=is_atomic).batches == 0


def test_changes_and_deletions_wait_as_well(settings: Any) -> None:
    Country.objects.create(code="AM", name="Ankh")
    Country.objects.create(code="KL", name="Klatch")
    call_synchronize()
    Country.objects.get(code="AM").delete()
    klatch = Country.objects.get(code="KL")
    klatch.name = "Klatchistan"
    klatch.save()
    synchronize(settings, FEW)
    assert remote_count(Country) == 2
    synchronize(settings, EVERYTHING)
    assert remote(Country, code="KL").name == "Klatchistan"
    assert_same_rows()


def test_model_that_is_not_installed_is_named_by_its_content_type(settings: Any) -> None:
    make_rows()
    types = ContentType.objects.filter(app_label="shop", model="country")
    types.update(model="land")
    ContentType.objects.clear_cache()
    report = synchronize(settings, FEW)
    assert any("3 entries of shop.land" in warning for warning in report.warnings)
    assert (remote_count(Customer), remote_count(Country)) == (4, 0)

    ContentType.objects.filter(app_label="shop", model="land").update(model="country")
    ContentType.objects.clear_cache()
    assert call_synchronize().warnings == ()
    assert_same_rows()


@pytest.mark.parametrize("when", ["written", "committed"])
def test_process_that_dies_on_the_way_loses_none(settings: Any, when: str) -> None:
    make_rows()
    with pytest.raises(KeyboardInterrupt), dying(when):
        synchronize(settings, FEW)
    call_synchronize()
    assert_same_rows()


def test_batch_that_was_formed_by_another_process_is_no_different(settings: Any) -> None:
    make_rows()

    with pytest.raises(KeyboardInterrupt), dying("written"):
        call_synchronize()
    assert Batch.objects.count() == 1
    synchronize(settings, FEW)
    call_synchronize()
    assert_same_rows()


def test_they_are_not_pruned(settings: Any) -> None:
    make_rows()
    synchronize(settings, FEW)
    let_time_pass(31 * 86_400)
    for batch in Batch.objects.all():
        Batch.objects.filter(pk=batch.pk).update(formed=batch.formed - timedelta(days=31))
    synchronize(settings, FEW)
    assert Batch.objects.count() == 0
    assert ChangeLog.objects.count() == 4  # and the newest
    call_synchronize()
    assert_same_rows()


def test_they_are_dropped_where_a_person_says_so_and_their_number_is_said(settings: Any) -> None:
    make_rows()
    said = StringIO()
    settings.SYNCHRO_MODELS = FEW
    call_command("synchronize", forget=["shop.country"], stdout=StringIO(), stderr=said)
    assert "3 entries of shop.country were dropped" in said.getvalue()
    assert call_synchronize().warnings == ()
    assert [status.pending for status in remotes()] == [0]

    settings.SYNCHRO_MODELS = EVERYTHING
    call_synchronize()
    assert remote_count(Country) == 0
    Country.objects.create(code="XX", name="Hidden")
    call_synchronize()
    assert remote_count(Country) == 1


@pytest.mark.parametrize("label", ["shop.Customer", "shop.Country", "shop.no", "nonsense"])
def test_nothing_is_dropped_of_what_does_not_wait(settings: Any, label: str) -> None:
    make_rows()
    with pytest.raises(CommandError, match="No entries of"):
        call_command("synchronize", forget=[label], stdout=StringIO(), stderr=StringIO())
    assert_same_rows()


def test_dropping_what_this_process_watches_is_refused(settings: Any) -> None:
    make_rows()
    synchronize(settings, FEW)
    with pytest.raises(NotConfigured, match="is watched"):
        forget("shop.Country")
    call_synchronize()
    assert_same_rows()


def test_remotes_change_that_its_own_run_could_not_read_is_not_taken_for_received(settings: Any) -> None:
    Country.objects.create(code="AM", name="Ankh")
    call_synchronize()
    here = Country.objects.get(code="AM")
    here.name = "older"
    here.save()
    let_time_pass(60)
    with other_side():
        there = Country.objects.get(code="AM")
        there.name = "newer"
        there.save()
        synchronize(settings, FEW)
    call_synchronize()
    assert remote(Country, code="AM").name == "newer"
    with other_side():
        call_synchronize()
    assert Country.objects.get(code="AM").name == "newer"
    assert_same_rows()


def test_remotes_change_is_not_taken_for_received_before_the_batch_that_takes_it_up_has_arrived(
    settings: Any,
) -> None:
    Country.objects.create(code="AM", name="Ankh")
    call_synchronize()
    let_time_pass()
    country = Country.objects.get(code="AM")
    country.name = "older"
    country.save()
    let_time_pass()
    with other_side():
        country = Country.objects.get(code="AM")
        country.name = "newer"
        country.save()
        synchronize(settings, FEW)
        with dying("formed"), suppress(KeyboardInterrupt):
            call_synchronize()

    call_synchronize()

    assert remote(Country, code="AM").name == "newer"
    with other_side():
        call_synchronize()
    assert_same_rows(Country)


def test_checkpoint_that_a_person_sets_and_a_reset_leave_nothing_waiting(settings: Any) -> None:
    make_rows()
    synchronize(settings, FEW)
    options.last_check = ChangeLog.objects.latest("id").date
    assert synchronize(settings, FEW).warnings == ()

    Country.objects.create(code="XX", name="Hidden")
    synchronize(settings, FEW)
    assert Node.objects.get().unread != "{}"
    reset_synchro(is_copy=True)
    assert Node.objects.get().unread == "{}"
    assert Node.objects.using(REMOTE).get().unread == "{}"


def test_number_of_those_that_are_forgotten_is_said(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    make_rows()
    synchronize(settings, FEW)

    options.last_check = ChangeLog.objects.latest("id").date
    assert "3 entries that were pending" in caplog.text

    Country.objects.create(code="XX", name="Hidden")
    synchronize(settings, FEW)
    reset_synchro(is_copy=True)
    assert "remote: 1 entries pending" in Reset.objects.get().forgotten
