"""System checks: each id with the mistake that it is about."""

from __future__ import annotations

import inspect
import io
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection, connections, models
from django.test import override_settings
from django.test.utils import isolate_apps

import synchro
from synchro import exceptions
from synchro.checks import check_models, check_settings, check_values
from synchro.core import NaturalManager
from synchro.registry import forget_cached
from tests.fewer_apps import only
from tests.people.models import ByBytes, City, Club, Employee, Person

ROOT = Path(synchro.__file__).parent
#: Some models of the tests are known by what is not unique, on purpose.
NOT_UNIQUE = "synchro.W032"


def ids(**settings: Any) -> set[str]:
    """The ids of synchro's messages with these settings, people being watched."""
    with override_settings(**{"SYNCHRO_MODELS": [("people", "Person", "Employee", "City")], **settings}):
        found = (*check_values(), *check_settings(None), *check_models(None))
    return {message.id for message in found} - {"synchro.W002", NOT_UNIQUE}


@pytest.mark.once
def test_sound_project_passes() -> None:
    assert ids() == set()


@pytest.mark.once
@pytest.mark.parametrize(
    ("engine", "here", "there"),
    [
        ("sqlite3", {"NAME": "shop.sqlite3"}, {"NAME": "./shop.sqlite3"}),
        ("postgresql", {"NAME": "shop", "HOST": "localhost"}, {"NAME": "shop", "HOST": "127.0.0.1"}),
    ],
)
def test_one_database_in_two_spellings_is_noticed(
    engine: str, here: dict[str, str], there: dict[str, str], monkeypatch: Any
) -> None:
    for alias, names in (("default", here), ("remote", there)):
        entry = connections[alias].settings_dict
        for name, value in {
            "HOST": "",
            "PORT": "",
            "ENGINE": f"django.db.backends.{engine}",
            **names,
        }.items():
            monkeypatch.setitem(entry, name, value)

    assert [message.id for message in check_settings(None)] == ["synchro.W002"]


@pytest.mark.once
@pytest.mark.parametrize(
    ("model", "attribute", "value", "expected"),
    [
        (Person, "SYNCHRO_SKIP", ("balance", "ballance"), "synchro.E001"),
        (Person, "SYNCHRO_SKIP", ("city_id",), "synchro.E001"),
        (Person, "SYNCHRO_SKIP", ("id",), "synchro.E002"),
        (Employee, "SYNCHRO_SKIP", ("balance", "person_ptr"), "synchro.E002"),
        (Person, "SYNCHRO_SKIP", "balance", "synchro.E003"),
        (Person, "SYNCHRO_SKIP", (5,), "synchro.E003"),
        (Employee, "SYNCHRO_SKIP", ("name",), "synchro.E004"),
        (Person, "SYNCHRO_IDENTITY", "key", "synchro.E005"),
        (Person, "SYNCHRO_CONFLICT", "mine", "synchro.E006"),
        (Person, "SYNCHRO_CONFLICT", "tests.nowhere.decide", "synchro.E006"),
    ],
)
def test_mistake_on_a_model_is_named(
    model: type[models.Model], attribute: str, value: Any, expected: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr(model, attribute, value, raising=False)
    forget_cached()
    found = [message for message in ids_and_objects(model) if message[0] != "synchro.W002"]
    monkeypatch.undo()
    forget_cached()
    assert (expected, model) in found


def ids_and_objects(model: type[models.Model]) -> list[tuple[str | None, Any]]:
    with override_settings(SYNCHRO_MODELS=[("people", model.__name__)]):
        return [(message.id, message.obj) for message in check_models(None)]


@pytest.mark.once
@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("SYNCHRO_SKIP", ["balance", "friends"]),
        ("SYNCHRO_IDENTITY", "pk"),
        ("SYNCHRO_CONFLICT", "remote"),
        ("SYNCHRO_CONFLICT", "builtins.max"),
        ("SYNCHRO_CONFLICT", staticmethod(max)),
    ],
)
def test_what_is_allowed_on_a_model_passes(attribute: str, value: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(Person, attribute, value, raising=False)
    assert ids_and_objects(Person) == []


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("BATCH_SIZE", 0, "E007"),
        ("BATCH_SIZE", "100", "E007"),
        ("BATCH_SIZE", True, "E007"),
        ("BATCH_SIZE", 1.5, "E007"),
        ("RETENTION", 30, "E007"),
        ("RETENTION", timedelta(days=-1), "E007"),
        ("CONFLICT", "tests.nowhere.decide", "E006"),
        ("CONFLICT", "django.conf.settings.DEBUG", "E006"),
        ("CONFLICT", "tests.databases.ENGINES", "E006"),
        ("CONFLICT", 5, "E006"),
        ("MODELS", [], "W004"),
    ],
)
def test_mistake_in_the_settings_is_named(name: str, value: Any, expected: str) -> None:
    assert ids(**{f"SYNCHRO_{name}": value}) == {f"synchro.{expected}"}


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BATCH_SIZE", 1),
        ("RETENTION", None),
        ("RETENTION", timedelta(0)),
        ("CONFLICT", "builtins.max"),
        ("CONFLICT", max),
    ],
)
def test_what_is_allowed_in_the_settings_passes(name: str, value: Any) -> None:
    assert ids(**{f"SYNCHRO_{name}": value}) == set()


@pytest.mark.once
def test_remote_that_is_local_itself_is_named(monkeypatch: Any) -> None:
    monkeypatch.setitem(connections["default"].settings_dict, "NAME", "here")
    monkeypatch.setitem(connections["remote"].settings_dict, "NAME", "there")
    assert "synchro.W002" not in {message.id for message in check_settings(None)}
    monkeypatch.setitem(connections["remote"].settings_dict, "NAME", "here")
    assert "synchro.W002" in {message.id for message in check_settings(None)}


@pytest.mark.once
def test_natural_key_without_its_manager_is_named(monkeypatch: Any) -> None:
    monkeypatch.setattr(Club, "natural_key", lambda self: (self.name,), raising=False)
    assert ids_and_objects(Club) == [("synchro.E008", Club)]
    assert ids_and_objects(City) == [(NOT_UNIQUE, City)]


@pytest.mark.once
@isolate_apps("tests.people")
def test_natural_manager_of_no_field_is_named(monkeypatch: Any) -> None:
    class Town(models.Model):
        name = models.CharField(max_length=10)
        mother = models.ForeignKey("self", models.CASCADE, null=True)

        objects = NaturalManager("name", "mother__name", "mother_id", "pk")
        wrong = NaturalManager("name", "mother__color", "name__iexact", "colour")

        class Meta:
            app_label = "people"

    monkeypatch.setattr("django.apps.apps.get_models", lambda **_: [Town])
    named = [
        re.findall("'([a-z_]+)'", message.msg)[0] for message in check_models(None) if message.obj is Town
    ]
    assert named == ["mother__color", "name__iexact", "colour"]
    assert {message.id for message in check_models(None)} - {NOT_UNIQUE} == {"synchro.E009"}


@pytest.mark.once
def test_unmanaged_model_is_named() -> None:
    assert ids_and_objects(ByBytes) == [("synchro.W001", ByBytes)]


@pytest.mark.once
@isolate_apps("tests.people")
def test_skipped_field_needs_a_default_that_fits(monkeypatch: Any) -> None:
    class Account(models.Model):
        SYNCHRO_SKIP = ("bare", "single", "text", "free", "random")

        bare = models.IntegerField()
        single = models.IntegerField(unique=True, default=0)
        text = models.CharField(max_length=10)
        free = models.IntegerField(null=True, unique=True)
        random = models.IntegerField(unique=True, default=id)

        class Meta:
            app_label = "people"

    monkeypatch.setattr("synchro.checks.models.watched_models", lambda: (Account,))
    found = {(message.id, message.msg.split("'")[1]) for message in check_models(None)}
    assert found == {("synchro.W006", "bare"), ("synchro.W007", "single")}


@pytest.mark.once
def test_only_the_apps_that_were_asked_about_are_checked(monkeypatch: Any) -> None:
    monkeypatch.setattr(Person, "SYNCHRO_SKIP", ("nothing",))
    monkeypatch.setattr(Person, "SYNCHRO_IDENTITY", "key", raising=False)
    with override_settings(SYNCHRO_MODELS=[("people", "Person")]):
        assert {message.id for message in check_models([Person._meta.app_config])} >= {
            "synchro.E001",
            "synchro.E005",
        }
        assert check_models([synchro_app()]) == []


def synchro_app() -> Any:
    from django.apps import apps

    return apps.get_app_config("synchro")


@pytest.mark.once
@pytest.mark.django_db(databases=["default", "remote"])
def test_checks_are_run_by_django_and_say_what_to_do() -> None:
    with override_settings(SYNCHRO_CONFLICT="nobody"):
        (message,) = (found for found in run_checks() if found.id == "synchro.E006")
    assert message.hint


@pytest.mark.once
@pytest.mark.django_db(databases=["default", "remote"], transaction=True)
def test_missing_tables_of_local_are_named_but_do_not_stop_migrate() -> None:
    def found() -> set[str | None]:
        return {message.id for message in run_checks(databases=["default"])}

    with only("tests.people", watched=["people"]):
        assert "synchro.W003" not in found()
        call_command("migrate", "synchro", "zero", verbosity=0)
        try:
            assert "synchro.W003" in found()
            assert "synchro.W003" not in {message.id for message in run_checks()}
            assert "synchro.W003" not in {message.id for message in run_checks(databases=["remote"])}
        finally:
            call_command(
                "migrate", verbosity=0, stdout=io.StringIO(), stderr=io.StringIO(), skip_checks=False
            )
        assert "synchro.W003" not in found()
    assert connection.alias == "default"


# -- docs/messages.md ----------------------------------------------------------------------------------------


@pytest.mark.once
def test_every_check_is_documented_and_every_documented_one_exists() -> None:
    in_code = {
        found
        for path in ROOT.rglob("*.py")
        for found in re.findall(r"""["'](synchro\.[EWI]\d{3})["']""", path.read_text())
    }
    documented = re.findall(r"^\| `(synchro\.[EWI]\d{3})` \|", document(), re.MULTILINE)
    assert sorted(in_code) == sorted(documented)


@pytest.mark.once
def test_every_exception_is_documented_and_every_documented_one_exists() -> None:
    in_code = [
        name
        for name, found in inspect.getmembers(exceptions, inspect.isclass)
        if issubclass(found, Exception) and found.__module__ == exceptions.__name__
    ]
    documented = re.findall(r"^\| `(\w+)` \|", document(), re.MULTILINE)
    assert sorted(in_code) == sorted(documented)


def document() -> str:
    return (ROOT.parent / "docs" / "messages.md").read_text()
