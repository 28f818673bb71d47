"""With SYNCHRO_ON_ERROR = 'quarantine' a change that REMOTE refuses is set aside, and the others go on."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connections
from django.db.models.signals import m2m_changed, post_save, pre_delete

from synchro.core import DisableSynchroLog, call_synchronize
from synchro.exceptions import Refused, SynchroError
from synchro.models import ChangeLog, Reference, SetAside
from synchro.replay.signals import step
from synchro.status import remotes
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import REMOTE, create_on_remote, remote, remote_count
from tests.replay.log.test_pruning import let_days_pass
from tests.replay.refusals import Refusal, aside, place, refusing
from tests.shop.models import (
    Album,
    Artist,
    Customer,
    Publisher,
    Seat,
)

pytestmark = [
    pytest.mark.django_db(databases=["default", "remote"]),
    pytest.mark.usefixtures("quarantine", "all_receivers"),
]


def test_refused_row_is_set_aside_with_its_cause_and_the_others_arrive() -> None:
    create_on_remote(Seat, number=7, guest="of REMOTE's own")
    Customer.objects.create(name="Vimes")
    good, bad = Seat.objects.create(number=6), Seat.objects.create(number=7, guest="Nobby")

    report = call_synchronize()

    assert report.aside == 1
    assert any("1" in warning and "--retry" in warning for warning in report.warnings)
    assert aside() == place(bad)
    cause = SetAside.objects.get().cause
    assert "number" in cause
    assert "7" not in cause
    assert remote(Seat, number=6).pk
    assert (remote_count(Customer), remote_count(Seat)) == (1, 2)
    assert Reference.objects.filter(local_object_id=str(good.pk)).exists()


def test_stop_is_the_default(settings: Any) -> None:
    del settings.SYNCHRO_ON_ERROR
    create_on_remote(Seat, number=7)
    Customer.objects.create(name="Vimes")
    Seat.objects.create(number=7)

    with pytest.raises(Refused):
        call_synchronize()

    assert (aside(), remote_count(Customer)) == (set(), 0)


def test_what_is_set_aside_arrives_with_retry_after_the_cause_was_mended() -> None:
    obstacle = create_on_remote(Seat, number=7)
    seats = [Seat.objects.create(number=number) for number in range(5, 10)]
    call_synchronize()
    obstacle.delete()

    assert call_synchronize().aside == 1
    report = call_synchronize(retry=True)

    assert report.aside == 0
    assert str(report) == "Synchronization performed successfully."
    assert aside() == set()
    assert not SetAside.objects.exists()
    assert remote_count(Seat) == len(seats)
    assert_same_rows()
    assert call_synchronize(retry=True).models == ()


def test_what_is_not_mended_stays_aside() -> None:
    create_on_remote(Seat, number=7)
    seat = Seat.objects.create(number=7)
    for _ in range(3):
        assert call_synchronize(retry=True).aside == 1

    assert aside() == place(seat)
    assert SetAside.objects.count() == 1
    assert remote_count(Seat) == 1


def test_later_change_of_what_is_set_aside_is_tried_and_may_mend_it() -> None:
    create_on_remote(Seat, number=7)
    seat = Seat.objects.create(number=7, guest="Nobby")
    call_synchronize()

    seat.row = "B"
    seat.save()
    assert call_synchronize().aside == 1
    seat.number = 8
    seat.save()

    assert call_synchronize().aside == 0
    there = remote(Seat, number=8)
    assert (there.row, there.guest) == ("B", "Nobby")


def test_refused_change_of_a_row_that_remote_has_leaves_it_as_it_is() -> None:
    seat = Seat.objects.create(number=1, guest="Nobby")
    call_synchronize()
    obstacle = create_on_remote(Seat, number=7)
    seat.number, seat.guest = 7, "Colon"
    seat.save()

    call_synchronize()

    assert remote(Seat, guest="Nobby").number == 1
    obstacle.delete()
    call_synchronize(retry=True)
    assert_same_rows()


def test_object_that_a_receiver_refuses_is_set_aside_without_its_words() -> None:
    with refusing(Customer):
        good, bad = Customer.objects.create(name="good"), Customer.objects.create(name="cursed")
        call_synchronize()

        assert aside() == place(bad)
        assert SetAside.objects.get().cause == "Refusal"
        assert remote_count(Customer) == 1
    call_synchronize(retry=True)
    assert_same_rows()
    assert good.name == "good"


def test_many_refused_rows_cost_a_few_attempts_only() -> None:
    for number in range(0, 300, 10):
        create_on_remote(Seat, number=number)
    for number in range(300):
        Seat.objects.create(number=number)
    attempts: list[str] = []

    def note(step: str, **kwargs: Any) -> None:
        if step == "read":
            attempts.append(step)

    step.connect(note)
    try:
        report = call_synchronize()
    finally:
        step.disconnect(note)

    assert report.aside == 30
    assert remote_count(Seat) == 300
    assert len(attempts) <= 4  # the first as a whole
    Seat.objects.using(REMOTE).filter(guest=None, number__in=range(0, 300, 10)).delete()
    call_synchronize(retry=True)
    assert_same_rows()


def test_rows_that_hand_on_unique_values_after_a_refused_one_are_bounded_and_arrive_with_retry() -> None:
    seats = [Seat.objects.create(number=number) for number in range(60)]
    call_synchronize()
    obstacle = create_on_remote(Seat, number=60)
    for seat in reversed(seats):
        seat.number += 1
        seat.save()
    Customer.objects.create(name="Vimes")
    attempts: list[str] = []

    def note(step: str, **kwargs: Any) -> None:
        if step == "read":
            attempts.append(step)

    step.connect(note)
    try:
        call_synchronize()
    finally:
        step.disconnect(note)

    assert len(attempts) < 30
    assert remote_count(Customer) == 1
    obstacle.delete()
    assert call_synchronize(retry=True).aside == 0
    assert_same_rows()


def test_rows_that_swap_unique_values_are_not_taken_for_refused_ones() -> None:
    create_on_remote(Seat, number=7)
    one, other = Seat.objects.create(number=1), Seat.objects.create(number=2)
    call_synchronize()
    one.number = 1000
    one.save()
    other.number = 1
    other.save()
    one.number = 2
    one.save()
    bad = Seat.objects.create(number=7)

    call_synchronize()

    assert aside() == place(bad)
    assert_same_rows(Customer)
    assert sorted(Seat.objects.using(REMOTE).values_list("number", flat=True)) == [1, 2, 7]


def test_deletion_that_a_receiver_refuses_is_set_aside_and_its_reference_kept() -> None:
    cursed, good = Customer.objects.create(name="cursed"), Customer.objects.create(name="good")
    call_synchronize()
    gone = place(cursed)
    with refusing(Customer, signal=pre_delete):
        cursed.delete()
        good.delete()
        call_synchronize()

        assert aside() == gone
        assert remote(Customer).name == "cursed"
        call_synchronize()
    call_synchronize(retry=True)

    assert remote_count(Customer) == 0
    assert not Reference.objects.exists()
    assert not Reference.objects.using(REMOTE).exists()


def test_deletion_of_a_natural_key_is_found_again_after_pruning() -> None:
    with DisableSynchroLog():
        publisher = Publisher.objects.create(name="cursed")
    create_on_remote(Publisher, name="cursed")
    with refusing(Publisher, signal=pre_delete):
        publisher.delete()
        call_synchronize()
    let_days_pass(100)
    Customer.objects.create(name="Vimes")
    for _ in range(2):
        call_synchronize()
    assert ChangeLog.objects.count() == 1

    call_synchronize(retry=True)

    assert remote_count(Publisher) == 0
    assert aside() == set()


def test_pairs_that_a_receiver_refuses_are_set_aside() -> None:
    def receive(action: str, using: str, pk_set: set[int], **kwargs: Any) -> None:
        if using == REMOTE and action == verb and remote(Artist, name="cursed").pk in pk_set:
            raise Refusal

    good, cursed = Artist.objects.create(name="good"), Artist.objects.create(name="cursed")
    album = Album.objects.create(name="Blue")
    call_synchronize()
    there: Any = remote(Album, name="Blue")
    m2m_changed.connect(receive, sender=Album.artists.through)
    try:
        verb = "pre_add"
        album.artists.add(good)
        album.artists.add(cursed)
        assert call_synchronize().aside == 1
        assert [artist.name for artist in there.artists.all()] == ["good"]
        verb = ""
        assert call_synchronize(retry=True).aside == 0
        assert there.artists.count() == 2
        verb = "pre_remove"
        album.artists.clear()
        assert call_synchronize().aside == 1
        assert [artist.name for artist in there.artists.all()] == ["cursed"]
        verb = ""
        assert call_synchronize(retry=True).aside == 0
    finally:
        m2m_changed.disconnect(receive, sender=Album.artists.through)

    assert_same_rows()


@pytest.mark.parametrize("cause", ["could not extend file: No space left on device", "deadlock detected"])
def test_error_about_the_server_is_never_set_aside(cause: str) -> None:
    def receive(using: str, **kwargs: Any) -> None:
        if using == REMOTE:
            raise OperationalError(cause)

    Customer.objects.create(name="Vimes")
    post_save.connect(receive, sender=Customer)
    try:
        with pytest.raises((SynchroError, OperationalError)):
            call_synchronize()
    finally:
        post_save.disconnect(receive, sender=Customer)

    assert aside() == set()
    call_synchronize()
    assert_same_rows()


# -- who is told --------------------------------------------------------------------------------------------


def test_command_and_status_say_how_much_is_set_aside() -> None:
    obstacle = create_on_remote(Seat, number=7)
    Seat.objects.create(number=7)
    out, err = StringIO(), StringIO()

    call_command("synchronize", stdout=out, stderr=err, verbosity=2)

    assert "1 in quarantine" in out.getvalue()
    assert "--retry" in err.getvalue()
    assert [status.aside for status in remotes()] == [1]
    obstacle.delete()
    out, err = StringIO(), StringIO()
    call_command("synchronize", retry=True, stdout=out, stderr=err, verbosity=2)
    assert "0 in quarantine" in out.getvalue()
    assert err.getvalue() == ""
    assert [status.aside for status in remotes()] == [0]


def test_where_nothing_is_refused_a_batch_costs_one_question_more() -> None:
    Customer.objects.create(name="Vimes")
    statements: list[str] = []

    def note(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        if "synchro_setaside" in sql:
            statements.append(sql)
        return execute(sql, *arguments)

    with connections["default"].execute_wrapper(note):
        call_synchronize()

    assert len(statements) <= 2
    assert all(sql.startswith("SELECT") for sql in statements)


@pytest.mark.parametrize("debug", [False, True])
def test_log_tells_the_words_of_a_receivers_error_to_whoever_debugs_only(
    settings: Any, caplog: pytest.LogCaptureFixture, debug: bool
) -> None:
    def refuse(using: str, **kwargs: Any) -> None:
        if using == REMOTE:
            raise ValueError("Vimes owes 12 dollars")

    settings.SYNCHRO_ON_ERROR, settings.SYNCHRO_DEBUG = "quarantine", debug
    Customer.objects.create(name="Vimes")
    post_save.connect(refuse, sender=Customer)
    try:
        call_synchronize()
    finally:
        post_save.disconnect(refuse, sender=Customer)

    assert "ValueError" in caplog.text
    assert ("12 dollars" in caplog.text) is debug
