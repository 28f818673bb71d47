"""What other code sends through Django's signals never breaks it, and leaves the best entry that there can be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models.signals import m2m_changed, post_delete, post_save

from synchro.models import ADDITION, CHANGE, DELETION, M2M_CHANGE, ChangeLog
from tests.people.models import Citizen, City, Club, Employee, Membership, Person, Team

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.fixture(autouse=True)
def _people_are_watched(settings: Any) -> None:
    settings.SYNCHRO_MODELS = ["people"]
    settings.SYNCHRO_CAPTURE = "signals"


@pytest.fixture
def club() -> Club:
    found = Club.objects.create(name="chess")
    ChangeLog.objects.all().delete()
    return found


def entries() -> list[tuple[Any, str, int, Any]]:
    return [
        (e.content_type.model_class(), e.object_id, e.action, e.fields)
        for e in ChangeLog.objects.order_by("id")
    ]


@pytest.mark.parametrize(
    "sent",
    [
        {"created": False},
        {"created": True},
        {},
        {"created": False, "update_fields": "name"},
        {"created": False, "update_fields": ["no such"]},
        {"created": False, "update_fields": 7},
        {"created": False, "using": None, "raw": None, "update_fields": None, "origin": object()},
    ],
    ids=str,
)
def test_signal_without_its_arguments_is_a_change_of_the_whole_object(
    club: Club, sent: dict[str, Any]
) -> None:
    post_save.send(sender=Club, instance=club, **sent)
    assert entries() == [(Club, str(club.pk), CHANGE, None)]


def test_fields_that_are_named_by_hand_are_believed(club: Club) -> None:
    post_save.send(sender=Club, instance=club, created=False, update_fields=["name"])
    assert entries() == [(Club, str(club.pk), CHANGE, ("name",))]


def test_signal_by_hand_after_a_save_is_an_entry_of_its_own() -> None:
    club = Club.objects.create(name="chess")
    post_save.send(sender=Club, instance=club, created=True)
    assert [entry[2] for entry in entries()] == [ADDITION, CHANGE]


@pytest.mark.parametrize("sender", [SimpleNamespace, City, Person], ids=str)
def test_sender_that_is_not_the_model_of_the_object_does_not_matter(club: Club, sender: Any) -> None:
    post_save.send(sender=sender, instance=club, created=False)
    post_delete.send(sender=sender, instance=club)
    key = str(club.pk)
    assert entries() == [(Club, key, CHANGE, None), (Club, key, DELETION, None)]


def test_parent_as_sender_of_a_child_is_a_change_of_the_child(club: Club) -> None:
    employee = Employee.objects.create(name="Ann", room="7b")
    ChangeLog.objects.all().delete()
    post_save.send(sender=Person, instance=employee, created=False)
    post_save.send(sender=Person, instance=Citizen.objects.get(), created=False)
    assert entries() == [
        (Employee, str(employee.pk), CHANGE, None),
        (Person, str(employee.pk), CHANGE, None),
    ]


@pytest.mark.parametrize(
    "instance",
    [
        None,
        SimpleNamespace(pk=1),
        "an object",
        Club(name="not saved"),
        Club(pk="no key"),
        Employee(name="Ann"),
    ],
    ids=repr,
)
def test_what_is_no_saved_object_is_not_logged_and_nothing_is_raised(instance: Any) -> None:
    post_save.send(sender=Club, instance=instance, created=True)
    post_delete.send(sender=Club, instance=instance)
    m2m_changed.send(sender=Person.clubs.through, instance=instance, action="post_add", pk_set={1})
    m2m_changed.send(sender=SimpleNamespace, instance=instance, action="post_add", pk_set={1})
    assert entries() == []


def test_signal_about_an_object_of_remote_is_not_logged() -> None:
    club = Club.objects.using("remote").create(name="chess")
    post_save.send(sender=Club, instance=club, created=False)
    post_delete.send(sender=Club, instance=club)
    m2m_changed.send(sender=SimpleNamespace, instance=club, action="post_add", pk_set={1})
    assert entries() == []


# -- what looks like a many-to-many field ---------------------------------------------------------------------


class Labels:
    """A manager like that of a tagging package: rows of a through model that belongs to no many-to-many field."""

    def __init__(self, instance: models.Model) -> None:
        self.instance = instance

    def add(self, *clubs: Club) -> None:
        keys = {club.pk for club in clubs}
        about = {
            "instance": self.instance,
            "reverse": False,
            "model": Club,
            "pk_set": keys,
            "using": "default",
        }
        m2m_changed.send(sender=Membership, action="pre_add", **about)
        team = Team.objects.create(name="label")
        for _ in clubs:
            Membership.objects.create(team=team, person=Person.objects.create(name="label"))
        m2m_changed.send(sender=Membership, action="post_add", **about)


def test_manager_that_is_not_djangos_own_is_captured_by_its_rows_and_its_object(club: Club) -> None:
    Labels(club).add(club)
    row = Membership.objects.get()
    found = entries()
    assert (Membership, str(row.pk), ADDITION, None) in found
    assert found[-1] == (Club, str(club.pk), CHANGE, None)


@pytest.mark.parametrize("pk_set", [None, {"no key"}, {object()}], ids=["none", "text", "object"])
def test_members_that_cannot_be_read_count_as_any(club: Club, pk_set: Any) -> None:
    ann = Person.objects.create(name="Ann")
    ChangeLog.objects.all().delete()
    m2m_changed.send(sender=Person.clubs.through, instance=ann, action="post_add", pk_set=pk_set)
    entry = ChangeLog.objects.get()
    assert (entry.action, entry.fields, entry.members) == (M2M_CHANGE, ("clubs",), None)


def test_set_of_an_object_that_does_not_have_it_is_a_change_of_the_object(club: Club) -> None:
    m2m_changed.send(sender=Person.clubs.through, instance=club, action="post_clear", reverse=False)
    assert entries() == [(Club, str(club.pk), CHANGE, None)]


def test_natural_key_that_raises_does_not_stop_a_deletion(
    club: Club, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(self: Club) -> Any:
        raise NotImplementedError

    monkeypatch.setattr(Club, "natural_key", made, raising=False)
    key = str(club.pk)
    club.delete()
    assert entries() == [(Club, key, DELETION, None)]


def test_content_types_are_not_asked_for(club: Club) -> None:
    ContentType.objects.clear_cache()
    post_save.send(sender=Club, instance=club, created=False)
    assert len(entries()) == 1
