"""Capture by signals of what data migrations write through the models of their own state."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models
from django.db.migrations.state import ModelState, ProjectState
from django.db.models.signals import post_migrate, pre_migrate

from synchro.models import ADDITION, CHANGE, DELETION, M2M_CHANGE, ChangeLog
from tests.people.models import City, Club, Employee, Membership, Person, Team

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.fixture(autouse=True)
def _people_are_watched(settings: Any) -> Iterator[None]:
    settings.SYNCHRO_MODELS = ["people"]
    settings.SYNCHRO_CAPTURE = "signals"
    yield
    gc.collect()


@pytest.fixture
def state() -> ProjectState:
    found = ProjectState()
    for model in apps.get_app_config("people").get_models():
        found.add_model(ModelState.from_model(model))
    return found


def entries() -> list[tuple[Any, str, int, Any]]:
    found = ChangeLog.objects.order_by("id")
    return [
        (e.content_type.model_class() or e.content_type.model, e.object_id, e.action, e.fields) for e in found
    ]


def test_rows_are_captured_as_those_of_the_installed_model(state: ProjectState) -> None:
    old = state.apps.get_model("people", "Club")
    assert old is not Club
    club = old.objects.create(name="chess")
    key = str(club.pk)
    club.save(update_fields=["name"])
    club.delete()
    assert entries() == [
        (Club, key, ADDITION, None),
        (Club, key, CHANGE, ("name",)),
        (Club, key, DELETION, None),
    ]


def test_skipped_field_unwatched_model_and_other_database_are_not_captured(
    state: ProjectState, settings: Any
) -> None:
    person = state.apps.get_model("people", "Person").objects.create(name="Ann")
    person.save(update_fields=["balance"])
    state.apps.get_model("people", "Club").objects.using("remote").create(name="chess")
    assert entries() == [(Person, str(person.pk), ADDITION, None)]
    settings.SYNCHRO_MODELS = [("people", "City")]
    state.apps.get_model("people", "Club").objects.create(name="chess")
    assert len(entries()) == 1


def test_child_and_deletion_with_a_natural_key(state: ProjectState) -> None:
    employee = state.apps.get_model("people", "Employee").objects.create(name="Ann", room="7b")
    city = state.apps.get_model("people", "City").objects.create(name="Oslo", country="NO")
    key = str(city.pk)
    city.delete()
    assert entries() == [
        (Employee, str(employee.pk), ADDITION, None),
        (City, key, ADDITION, None),
        (City, key, DELETION, None),
    ]
    assert ChangeLog.objects.latest("id").natural_key == '["Oslo", "NO"]'


def test_sets_are_captured_from_both_ends(state: ProjectState) -> None:
    ann = state.apps.get_model("people", "Person").objects.create(name="Ann")
    club = state.apps.get_model("people", "Club").objects.create(name="chess")
    ChangeLog.objects.all().delete()
    ann.clubs.add(club)
    club.members.clear()
    assert entries() == [
        (Person, str(ann.pk), M2M_CHANGE, ("clubs",)),
        (Club, str(club.pk), M2M_CHANGE, ("people.Person.clubs",)),
    ]
    assert [entry.members for entry in ChangeLog.objects.order_by("id")] == [f'["{club.pk}"]', None]


def test_rows_of_a_through_model_are_captured(state: ProjectState) -> None:
    ann = state.apps.get_model("people", "Person").objects.create(name="Ann")
    team = state.apps.get_model("people", "Team").objects.create(name="red")
    ChangeLog.objects.all().delete()
    team.members.add(ann)
    assert entries() == [(Membership, str(Membership.objects.get().pk), ADDITION, None)]
    assert Team.objects.get().members.get().pk == ann.pk


def test_field_that_has_another_name_by_now_is_a_change_of_the_whole_row(state: ProjectState) -> None:
    club = state.models["people", "club"]
    club.fields["title"] = models.CharField(max_length=50, db_column="name")
    del club.fields["name"]
    old = state.apps.get_model("people", "Club").objects.create(title="chess")
    old.save(update_fields=["title"])
    assert entries() == [(Club, str(old.pk), ADDITION, None), (Club, str(old.pk), CHANGE, None)]


def test_key_and_model_that_have_other_names_by_now_are_known_by_the_table(state: ProjectState) -> None:
    fields = [
        ("number", models.BigAutoField(primary_key=True, db_column="id")),
        ("name", models.CharField(max_length=50)),
    ]
    state.add_model(ModelState("unwatched", "Society", fields, {"db_table": "people_club"}))
    old = state.apps.get_model("unwatched", "Society").objects.create(name="chess")
    key = str(old.pk)
    old.delete()
    assert entries() == [(Club, key, ADDITION, None), (Club, key, DELETION, None)]


def test_model_that_is_renamed_later_is_known_by_the_content_type_that_moves_with_it(
    state: ProjectState,
) -> None:
    fields = [("id", models.BigIntegerField(primary_key=True)), ("name", models.CharField(max_length=50))]
    state.add_model(ModelState("people", "Society", fields, {"db_table": "people_society"}))
    old = state.apps.get_model("people", "Society")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE people_society AS SELECT * FROM people_club")
    old(pk=7, name="chess").save(force_insert=True)
    assert entries() == []  # nothing knows of such a model
    ContentType.objects.create(app_label="people", model="society")
    old(pk=8, name="rowing").save(force_insert=True)
    assert entries() == [("society", "8", ADDITION, None)]


def test_database_that_is_being_made_logs_nothing_of_its_migrations(
    state: ProjectState, monkeypatch: Any
) -> None:
    config = apps.get_app_config("synchro")
    old = state.apps.get_model("people", "Club")
    tables = connection.introspection.table_names

    def before(cursor: Any = None, include_views: bool = False) -> list[str]:
        return [name for name in tables(cursor, include_views) if not name.startswith("synchro_")]

    monkeypatch.setattr(connection.introspection, "table_names", before)
    about: dict[str, Any] = {"sender": config, "using": "default", "plan": [], "verbosity": 0}
    pre_migrate.send(**about)
    monkeypatch.undo()
    old.objects.create(name="chess")
    assert entries() == []
    post_migrate.send(apps=apps, app_config=config, interactive=False, **about)
    old.objects.create(name="rowing")
    assert len(entries()) == 1
