"""A row that is saved, and its entry, are committed together; what receivers do is not their concern."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models.signals import post_save

from synchro.models import ADDITION, CHANGE, DELETION, ChangeLog
from tests.people.models import Club, Employee, Person

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)


@pytest.fixture(autouse=True)
def _people_are_watched(settings: Any) -> None:
    settings.SYNCHRO_MODELS = ["people"]
    settings.SYNCHRO_CAPTURE = "signals"


@pytest.fixture
def _log_is_broken() -> Iterator[None]:
    def rename(old: str, new: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")

    rename("synchro_changelog", "synchro_hidden")
    yield
    rename("synchro_hidden", "synchro_changelog")


def entries() -> list[tuple[str, int]]:
    return list(ChangeLog.objects.order_by("id").values_list("object_id", "action"))


@pytest.mark.usefixtures("_log_is_broken")
def test_row_is_not_committed_where_its_entry_cannot_be_written() -> None:
    with pytest.raises(DatabaseError):
        Club.objects.create(name="chess")
    with pytest.raises(DatabaseError):
        Employee.objects.create(name="Ann", room="7b")
    assert not Club.objects.exists()
    assert not Person.objects.exists()


def test_change_and_deletion_are_not_committed_where_their_entry_cannot_be_written(
    request: pytest.FixtureRequest,
) -> None:
    club = Club.objects.create(name="chess")
    request.getfixturevalue("_log_is_broken")
    club.name = "rowing"
    for write in (club.save, club.delete):
        with pytest.raises(DatabaseError):
            write()
    with pytest.raises(DatabaseError):
        Club.objects.all().delete()
    assert Club.objects.get().name == "chess"


def test_receivers_find_row_and_entry_committed_and_no_transaction_open() -> None:
    seen: list[Any] = []

    def receive(instance: Club, **kwargs: Any) -> None:
        seen.append(connection.in_atomic_block)
        seen.append(entries() == [(str(instance.pk), ADDITION)])
        with transaction.atomic(durable=True):
            seen.append("durable")
        transaction.on_commit(lambda: seen.append("at once"))
        seen.append("end")

    post_save.connect(receive, sender=Club)
    try:
        Club.objects.create(name="chess")
    finally:
        post_save.disconnect(receive, sender=Club)
    assert seen == [False, True, "durable", "at once", "end"]


def test_receiver_that_fails_takes_back_neither_row_nor_entry() -> None:
    def receive(**kwargs: Any) -> None:
        raise LookupError

    post_save.connect(receive, sender=Club)
    try:
        with pytest.raises(LookupError):
            Club.objects.create(name="chess")
    finally:
        post_save.disconnect(receive, sender=Club)
    assert entries() == [(str(Club.objects.get().pk), ADDITION)]


def test_each_save_is_one_entry_whether_or_not_a_transaction_is_open() -> None:
    club = Club.objects.create(name="chess")
    with transaction.atomic():
        club.save()
        club.save()
    club.save()
    key = str(club.pk)
    club.delete()
    assert entries() == [(key, ADDITION), (key, CHANGE), (key, CHANGE), (key, CHANGE), (key, DELETION)]


def test_save_that_fails_leaves_no_entry_and_a_usable_connection() -> None:
    club = Club.objects.create(name="chess")
    with pytest.raises(DatabaseError):
        Club(pk=club.pk, name="rowing").save(force_insert=True)
    with pytest.raises(DatabaseError):
        Club(pk=club.pk + 1, name="rowing").save(force_update=True)
    assert not connection.in_atomic_block
    assert entries() == [(str(club.pk), ADDITION)]


def test_autocommit_switched_off_leaves_the_commit_to_the_application() -> None:
    transaction.set_autocommit(False)
    try:
        Club.objects.create(name="chess")
        transaction.rollback()
    finally:
        transaction.set_autocommit(True)
    assert not Club.objects.exists()
    assert entries() == []
