"""Which entries a change leaves in the log, by Django's signals."""

from __future__ import annotations

import io
import json
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import Model
from django.utils import timezone

from synchro.models import ADDITION, CHANGE, DELETION, M2M_CHANGE, ChangeLog
from tests.people.models import (
    ByBytes,
    ByDate,
    ByDecimal,
    ByDuration,
    ByMoment,
    ByPair,
    ByPerson,
    ByText,
    ByUuid,
    Citizen,
    City,
    Club,
    Employee,
    Event,
    Membership,
    Person,
    Secret,
    Team,
    Twinning,
    Village,
)

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.fixture(autouse=True)
def _people_are_watched(settings: Any) -> None:
    settings.SYNCHRO_MODELS = ["people"]


class Log:
    """What has been logged since the last look."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self) -> list[tuple[type[Model] | None, str, int, tuple[str, ...] | None]]:
        entries = list(ChangeLog.objects.filter(id__gt=self.seen).order_by("id"))
        self.seen = entries[-1].id if entries else self.seen
        return [(e.content_type.model_class(), e.object_id, e.action, e.fields) for e in entries]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def ann(log: Log) -> Person:
    person = Person.objects.create(name="Ann")
    log()
    return person


# -- one row -------------------------------------------------------------------------------------------------


def test_creation_change_and_deletion_are_one_entry_each(log: Log) -> None:
    club = Club.objects.create(name="chess")
    key = str(club.pk)
    club.name = "rowing"
    club.save()
    club.delete()
    assert log() == [(Club, key, ADDITION, None), (Club, key, CHANGE, None), (Club, key, DELETION, None)]


def test_entry_carries_the_time_of_the_change(log: Log) -> None:
    Club.objects.create(name="chess")
    assert abs(ChangeLog.objects.get().date - timezone.now()) < timedelta(minutes=1)


def test_a_save_costs_one_insert(django_assert_num_queries: Any) -> None:
    club = Club.objects.create(name="chess")
    with django_assert_num_queries(2):
        club.save()
    with django_assert_num_queries(2):
        Club.objects.create(name="rowing")
    with django_assert_num_queries(2):
        club.save(update_fields=["name"])


def test_unwatched_model_costs_nothing(settings: Any, django_assert_num_queries: Any, log: Log) -> None:
    settings.SYNCHRO_MODELS = [("people", "City")]
    with django_assert_num_queries(1):
        Club.objects.create(name="chess")
    assert log() == []


def test_saved_fields_are_named(ann: Person, log: Log) -> None:
    ann.save(update_fields=["name", "city"])
    ann.save(update_fields=["city_id"])
    assert log() == [
        (Person, str(ann.pk), CHANGE, ("city", "name")),
        (Person, str(ann.pk), CHANGE, ("city",)),
    ]


def test_skipped_fields_are_not_named_and_alone_not_logged(ann: Person, log: Log) -> None:
    ann.save(update_fields=["name", "balance"])
    ann.save(update_fields=["balance"])
    assert log() == [(Person, str(ann.pk), CHANGE, ("name",))]


def test_deferred_fields_are_not_named(ann: Person, log: Log) -> None:
    Person.objects.only("name").get().save()
    assert log() == [(Person, str(ann.pk), CHANGE, ("name",))]


def test_get_or_create_and_update_or_create_are_captured(log: Log) -> None:
    club, _ = Club.objects.get_or_create(name="chess")
    Club.objects.get_or_create(name="chess")
    Club.objects.update_or_create(name="chess", defaults={"name": "rowing"})
    assert [(action, key) for _, key, action, _ in log()] == [
        (ADDITION, str(club.pk)),
        (CHANGE, str(club.pk)),
    ]


def test_loaded_fixture_is_captured(tmp_path: Path, log: Log) -> None:
    fixture = tmp_path / "clubs.json"
    fixture.write_text(json.dumps([{"model": "people.club", "pk": 7, "fields": {"name": "chess"}}]))
    call_command("loaddata", str(fixture), stdout=io.StringIO())
    assert log() == [(Club, "7", ADDITION, None)]


def test_nothing_is_logged_for_remote(log: Log) -> None:
    club = Club.objects.using("remote").create(name="chess")
    person = Person.objects.using("remote").create(name="Ann")
    person.clubs.add(club)
    person.clubs.clear()
    club.save()
    club.delete()
    assert log() == []
    assert not ChangeLog.objects.using("remote").exists()


def test_nothing_is_logged_by_signals_where_triggers_capture(settings: Any, log: Log) -> None:
    settings.SYNCHRO_CAPTURE = "triggers"
    Club.objects.create(name="chess").delete()
    assert log() == []


def test_rolled_back_change_leaves_no_entry(log: Log) -> None:
    with transaction.atomic():
        Club.objects.create(name="chess")
        with transaction.atomic():
            Club.objects.create(name="rowing")
            transaction.set_rollback(True)
    assert len(log()) == 1


def test_deleting_a_queryset_logs_each_object_and_what_it_takes_along(log: Log) -> None:
    city = City.objects.create(name="Oslo", country="NO")
    people = [Person.objects.create(name=name, city=city) for name in ("Ann", "Bob")]
    log()
    City.objects.all().delete()
    assert sorted(log(), key=str) == sorted(
        [(Person, str(p.pk), DELETION, None) for p in people] + [(City, str(city.pk), DELETION, None)],
        key=str,
    )


# -- proxies and inheritance ---------------------------------------------------------------------------------


def test_proxy_is_logged_as_its_model(log: Log) -> None:
    citizen = Citizen.objects.create(name="Ann")
    key = str(citizen.pk)
    citizen.save(update_fields=["name"])
    citizen.clubs.add(Club.objects.create(name="chess"))
    citizen.delete()
    assert [entry for entry in log() if entry[0] is not Club] == [
        (Person, key, ADDITION, None),
        (Person, key, CHANGE, ("name",)),
        (Person, key, M2M_CHANGE, ("clubs",)),
        (Person, key, DELETION, None),
    ]


def test_save_of_a_child_is_one_entry_and_its_deletion_one_for_each_table(log: Log) -> None:
    employee = Employee.objects.create(name="Ann", room="7b")
    key = str(employee.pk)
    employee.save(update_fields=["name", "room", "balance"])
    employee.delete()
    assert log() == [
        (Employee, key, ADDITION, None),
        (Employee, key, CHANGE, ("name", "room")),
        (Employee, key, DELETION, None),
        (Person, key, DELETION, None),
    ]


def test_save_of_an_unwatched_child_is_logged_for_the_watched_parent(settings: Any, log: Log) -> None:
    settings.SYNCHRO_MODELS = [("people", "Person")]
    employee = Employee.objects.create(name="Ann", room="7b")
    employee.save(update_fields=["room"])
    employee.save(update_fields=["room", "name"])
    assert log() == [
        (Person, str(employee.pk), ADDITION, None),
        (Person, str(employee.pk), CHANGE, ("name",)),
    ]


def test_m2m_of_a_child_is_logged_for_the_model_that_declares_it(log: Log) -> None:
    employee = Employee.objects.create(name="Ann", room="7b")
    club = Club.objects.create(name="chess")
    log()
    employee.clubs.add(club)
    assert log() == [(Person, str(employee.pk), M2M_CHANGE, ("clubs",))]


# -- many-to-many --------------------------------------------------------------------------------------------


def test_m2m_change_is_logged_for_the_object_whose_manager_was_used(ann: Person, log: Log) -> None:
    chess, rowing = (Club.objects.create(name=name) for name in ("chess", "rowing"))
    log()
    forward = (Person, str(ann.pk), M2M_CHANGE, ("clubs",))
    ann.clubs.add(chess, rowing)
    assert log() == [forward]
    ann.clubs.remove(chess)
    assert log() == [forward]
    ann.clubs.clear()
    assert log() == [forward]
    chess.members.add(ann)
    assert log() == [(Club, str(chess.pk), M2M_CHANGE, ("people.Person.clubs",))]


def test_m2m_change_that_changes_nothing_is_not_logged(ann: Person, log: Log) -> None:
    chess = Club.objects.create(name="chess")
    ann.clubs.add(chess)
    log()
    ann.clubs.add(chess)
    ann.clubs.set([chess])
    assert log() == []


def test_set_is_logged_once_for_what_it_adds_and_once_for_what_it_removes(ann: Person, log: Log) -> None:
    chess, rowing = (Club.objects.create(name=name) for name in ("chess", "rowing"))
    ann.clubs.set([chess])
    log()
    ann.clubs.set([rowing])
    assert log() == [(Person, str(ann.pk), M2M_CHANGE, ("clubs",))] * 2


def test_symmetrical_and_self_relations_are_told_apart(ann: Person, log: Log) -> None:
    bob = Person.objects.create(name="Bob")
    log()
    ann.friends.add(bob)
    ann.follows.add(bob)
    ann.followers.add(bob)
    assert log() == [
        (Person, str(ann.pk), M2M_CHANGE, ("friends",)),
        (Person, str(ann.pk), M2M_CHANGE, ("follows",)),
        (Person, str(ann.pk), M2M_CHANGE, ("people.Person.follows",)),
    ]


def test_rows_of_a_through_model_are_logged_themselves(ann: Person, log: Log) -> None:
    team = Team.objects.create(name="red")
    log()
    team.members.add(ann)
    row = Membership.objects.get()
    assert log() == [(Membership, str(row.pk), ADDITION, None)]
    row.role = "captain"
    row.save()
    assert log() == [(Membership, str(row.pk), CHANGE, None)]
    team.members.remove(ann)
    assert log() == [(Membership, str(row.pk), DELETION, None)]
    ann.teams.add(team)
    row = Membership.objects.get()
    assert log() == [(Membership, str(row.pk), ADDITION, None)]
    ann.teams.clear()
    assert log() == [(Membership, str(row.pk), DELETION, None)]
    Membership.objects.create(team=team, person=ann)
    assert [entry[2] for entry in log()] == [ADDITION]


def test_through_model_is_found_from_a_proxy_and_a_child(log: Log) -> None:
    team = Team.objects.create(name="red")
    citizen, employee = Citizen.objects.create(name="Ann"), Employee.objects.create(name="Bob", room="7b")
    log()
    citizen.teams.add(team)
    employee.teams.add(team)
    rows = Membership.objects.order_by("pk")
    assert log() == [(Membership, str(row.pk), ADDITION, None) for row in rows]


def test_mirrored_rows_of_a_through_model_are_logged_by_their_set(log: Log) -> None:
    one, other = (Village.objects.create(name=name) for name in ("Ely", "Orp"))
    log()
    one.twins.add(other)
    first = Twinning.objects.get(one=one)
    assert log() == [
        (Twinning, str(first.pk), ADDITION, None),
        (Village, str(one.pk), M2M_CHANGE, ("twins",)),
    ]
    rows = {str(row.pk) for row in Twinning.objects.all()}
    assert len(rows) == 2
    one.twins.remove(other)
    assert {entry[1] for entry in log() if entry[:1] + entry[2:3] == (Twinning, DELETION)} == rows


def test_skipped_m2m_field_is_not_logged(ann: Person, log: Log) -> None:
    secret = Secret.objects.create()
    log()
    secret.readers.add(ann)
    assert log() == []


# -- keys ----------------------------------------------------------------------------------------------------

NUMBER = uuid.UUID("123e4567-e89b-12d3-a456-426614174000")


@pytest.mark.parametrize(
    ("model", "values", "text"),
    [
        (Club, {"id": "7"}, "7"),
        (ByUuid, {"id": NUMBER}, str(NUMBER)),
        (ByUuid, {"id": NUMBER.hex}, str(NUMBER)),
        (ByDecimal, {"number": Decimal("1.5")}, "1.50"),
        (ByDecimal, {"number": 2}, "2.00"),
        (ByDate, {"day": date(2020, 1, 2)}, "2020-01-02"),
        (ByDate, {"day": "2020-01-02"}, "2020-01-02"),
        (ByMoment, {"moment": datetime(2020, 1, 2, 3, 4, 5, 6, UTC)}, "2020-01-02T03:04:05.000006"),
        (
            ByMoment,
            {"moment": datetime(2020, 1, 2, 3, tzinfo=timezone.get_fixed_timezone(120))},
            "2020-01-02T01:00:00.000000",
        ),
        (ByText, {"code": 'Żółw, 🐢 "x"'}, 'Żółw, 🐢 "x"'),
        (ByDuration, {"length": timedelta(days=1, microseconds=1)}, "86400000001"),
        (ByPair, {"year": 2020, "code": "ż,1"}, '[2020,"ż,1"]'),
    ],
)
def test_key_has_one_spelling(model: type[Model], values: dict[str, Any], text: str, log: Log) -> None:
    instance = model._default_manager.create(**values)
    model._default_manager.get().save(force_update=model not in (ByPair,))
    instance.delete()
    entries = log()
    assert {entry[:2] for entry in entries} == {(model, text)}
    assert [entry[2] for entry in entries] == [ADDITION, CHANGE, DELETION]


def test_key_that_is_a_foreign_key_is_spelled_as_that_key(ann: Person, log: Log) -> None:
    ByPerson.objects.create(person=ann)
    assert log() == [(ByPerson, str(ann.pk), ADDITION, None)]


@pytest.mark.skipif("connection.vendor == 'mysql'", reason="MySQL and MariaDB have no keys of bytes")
@pytest.mark.django_db(transaction=True)
def test_key_of_bytes_is_spelled_in_hex(log: Log) -> None:
    with connection.schema_editor() as editor:
        editor.create_model(ByBytes)
    try:
        ByBytes.objects.create(digest=b"\x00\xff")
        ByBytes.objects.get().delete()
        assert log() == [(ByBytes, "00ff", ADDITION, None), (ByBytes, "00ff", DELETION, None)]
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(ByBytes)


def test_logged_object_can_be_fetched(log: Log) -> None:
    club = Club.objects.create(name="chess")
    pair = ByUuid.objects.create(id=NUMBER)
    assert [entry.object for entry in ChangeLog.objects.order_by("id")] == [club, pair]


# -- natural keys of deleted objects -------------------------------------------------------------------------


def natural_key() -> Any:
    kept = ChangeLog.objects.filter(action=DELETION).latest("id").natural_key
    return None if kept is None else json.loads(kept)


def test_deletion_keeps_the_natural_key() -> None:
    City.objects.create(name="Łódź", country="PL").delete()
    assert natural_key() == ["Łódź", "PL"]


def test_deletion_without_a_natural_key_keeps_none() -> None:
    Club.objects.create(name="chess").delete()
    assert natural_key() is None


def test_natural_key_of_a_deletion_keeps_every_digit() -> None:
    city = City.objects.create(name="Oslo", country="NO")
    moment = datetime(2020, 1, 2, 3, 4, 5, 678901, timezone.get_fixed_timezone(60))
    Event.objects.create(moment=moment, price=Decimal("1.50"), city=city)
    Event.objects.get().delete()
    assert natural_key() == ["2020-01-02T02:04:05.678901+00:00", "1.50", city.pk]


@pytest.mark.parametrize(
    ("returned", "kept"), [("Oslo", ["Oslo"]), (["Oslo", 1, None], ["Oslo", 1, None]), (AttributeError, None)]
)
def test_natural_key_made_by_hand_never_stops_a_deletion(returned: Any, kept: Any, monkeypatch: Any) -> None:
    def made(self: Club) -> Any:
        if isinstance(returned, type):
            raise returned
        return returned

    monkeypatch.setattr(Club, "natural_key", made, raising=False)
    Club.objects.create(name="chess").delete()
    assert natural_key() == kept


def test_content_type_costs_no_query_of_its_own(django_assert_num_queries: Any) -> None:
    ContentType.objects.clear_cache()
    with django_assert_num_queries(2):
        Club.objects.create(name="chess")


def test_missing_content_type_is_made_with_the_first_entry(log: Log) -> None:
    ContentType.objects.filter(app_label="people", model="club").delete()
    ContentType.objects.clear_cache()
    club = Club.objects.create(name="chess")
    assert log() == [(Club, str(club.pk), ADDITION, None)]


def test_process_goes_on_with_the_content_types_of_a_database_that_was_replaced(log: Log) -> None:
    Club.objects.create(name="chess")
    City.objects.create(name="Oslo", country="NO")
    log()
    # As in another copy, where migrations made the content types in another order.
    clubs, cities = (ContentType.objects.get_for_model(model) for model in (Club, City))
    types = ContentType.objects.all()
    types.filter(pk=clubs.pk).update(model="parked")
    types.filter(pk=cities.pk).update(model="club")
    types.filter(pk=clubs.pk).update(model="city")
    club = Club.objects.create(name="rowing")
    entry = ChangeLog.objects.latest("id")
    assert (entry.object_id, entry.content_type_id) == (str(club.pk), cities.pk)
    ContentType.objects.clear_cache()
