"""What signals cost, and what is told of writes that send none."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Permission
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from synchro import unsignalled
from synchro.core import DisableSynchroLog
from synchro.models import ChangeLog
from tests.people.models import City, Club, Person

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.fixture(autouse=True)
def _people_are_watched(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.SYNCHRO_MODELS = ["people"]
    settings.SYNCHRO_CAPTURE = "signals"
    monkeypatch.setattr(unsignalled, "_told", set())


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.WARNING, "synchro")
    return lambda: [record.getMessage() for record in caplog.records]


def statements(write: Any) -> list[str]:
    with CaptureQueriesContext(connection) as queries:
        write()
    return [query["sql"] for query in queries]


def test_an_entry_costs_one_statement_and_asks_for_no_content_type(settings: Any) -> None:
    with transaction.atomic():
        City(name="first").save()
        city = City(name="second")
        counts = [len(statements(write)) for write in (city.save, city.save, city.delete)]
        settings.SYNCHRO_MODELS = []
        city = City(name="third")
        bare = [len(statements(write)) for write in (city.save, city.save, city.delete)]
    assert counts == [count + 1 for count in bare]
    assert ChangeLog.objects.count() == 4


def update() -> None:
    City.objects.update(name="x")


WRITES: dict[str, Any] = {
    "update": update,
    "bulk_create": lambda: City.objects.bulk_create([City(name="a")]),
    "bulk_update": lambda: City.objects.bulk_update([City.objects.create(name="c")], ["name"]),
}


@pytest.mark.parametrize("method", WRITES)
def test_a_line_that_writes_without_a_signal_is_told_once(method: str, told: Any) -> None:
    write = WRITES[method]
    write()
    write()
    (message,) = told()
    line = write.__code__.co_firstlineno + (method == "update")
    assert message.startswith(f"{__file__}:{line} writes people.City by {method}(), which sends no signal")
    assert "SYNCHRO_CAPTURE = 'triggers'" in message


def test_another_line_is_told_too(told: Any) -> None:
    City.objects.update(name="x")
    City.objects.update(name="x")
    assert len(told()) == 2


def test_the_bulk_ways_of_a_reverse_foreign_key_are_told(told: Any) -> None:
    city, person = City.objects.create(name="a"), Person.objects.create(name="b")
    relation = next(one for one in City._meta.related_objects if one.related_model is Person)
    getattr(city, relation.get_accessor_name()).add(person)  # type: ignore[arg-type]
    (message,) = told()
    assert message.startswith(f"{__file__}:")
    assert "people.Person by update()" in message


@pytest.mark.django_db(transaction=True, databases=["default", "remote"])
def test_asynchronous_code_is_told_its_line(told: Any) -> None:
    async def write() -> None:
        await City.objects.aupdate(name="x")

    asyncio.run(write())
    (message,) = told()
    assert message.startswith(
        f"{__file__}:{write.__code__.co_firstlineno + 1} writes people.City by update()"
    )


def test_what_is_captured_or_not_meant_to_be_is_not_told(told: Any, settings: Any) -> None:
    city = City.objects.create(name="a")
    person = Person.objects.create(name="b")
    person.clubs.add(Club.objects.create(name="c"))
    person.clubs.clear()
    person.clubs.set([])
    City.objects.get_or_create(name="d")
    City.objects.update_or_create(name="d", defaults={"name": "e"})
    city.delete()  # with what its deletion sets to NULL
    City.objects.all().delete()
    with DisableSynchroLog():
        City.objects.update(name="x")
    City.objects.using("remote").update(name="x")
    ChangeLog.objects.update(fields=None)
    settings.SYNCHRO_CAPTURE = "triggers"
    City.objects.update(name="x")
    assert told() == []


@pytest.mark.once
def test_permissions_that_migrate_makes_on_both_sides_are_not_told(settings: Any, told: Any) -> None:
    settings.SYNCHRO_MODELS = ["auth", "people"]
    Permission.objects.filter(content_type__app_label="people").delete()

    create_permissions(apps.get_app_config("people"), verbosity=0)

    assert Permission.objects.filter(content_type__app_label="people").exists()
    assert told() == []
