"""NaturalManager and NaturalKeyModel: all forms of a declaration, and the places managers are copied to."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import MultipleObjectsReturned, ObjectDoesNotExist, ValidationError
from django.db import models
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.questioner import NonInteractiveMigrationQuestioner
from django.db.migrations.state import ModelState, ProjectState
from django.db.migrations.writer import OperationWriter
from django.test.utils import isolate_apps

from synchro.core import NaturalKeyModel, NaturalManager
from tests.people.models import City, Club, Event, Person


class LoudManager(models.Manager[Any]):
    use_in_migrations = True

    def loud(self) -> str:
        return "!"


class CodeManager(NaturalManager):
    use_in_migrations = True


class FixedManager(NaturalManager):
    fields = ("name",)
    use_in_migrations = True


@pytest.fixture
def _apart() -> Iterator[None]:
    with isolate_apps("tests.people"):
        yield


def bound(manager: Any, model: type[models.Model] = City) -> Any:
    """`manager` as if `model` had declared it."""
    manager = copy.copy(manager)
    manager.model = model
    manager.name = "objects"
    return manager


# -- finding -------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_object_is_found_by_its_natural_key() -> None:
    oslo = City.objects.create(name="Oslo", country="NO")
    City.objects.create(name="Oslo", country="US")
    assert oslo.natural_key() == ("Oslo", "NO")
    assert City.objects.get_by_natural_key("Oslo", "NO") == oslo
    with pytest.raises(City.DoesNotExist):
        City.objects.get_by_natural_key("Oslo", "PL")


@pytest.mark.django_db(databases=["default", "remote"])
def test_object_is_found_in_the_database_that_is_asked() -> None:
    there = City.objects.using("remote").create(name="Oslo", country="NO")
    assert City.objects.db_manager("remote").get_by_natural_key("Oslo", "NO") == there
    with pytest.raises(ObjectDoesNotExist):
        City.objects.get_by_natural_key("Oslo", "NO")


@pytest.mark.django_db
def test_several_objects_are_an_error_unless_many_are_allowed() -> None:
    first, _ = (City.objects.create(name="Oslo", country="NO") for _ in range(2))
    with pytest.raises(MultipleObjectsReturned):
        City.objects.get_by_natural_key("Oslo", "NO")
    many = bound(NaturalManager("name", "country", allow_many=True))
    assert many.get_by_natural_key("Oslo", "NO") == first
    with pytest.raises(City.DoesNotExist):
        many.get_by_natural_key("Oslo", "PL")


def test_wrong_number_of_values_is_refused() -> None:
    with pytest.raises(ValueError, match=r"people\.City: a natural key has 2 values, not 1"):
        City.objects.get_by_natural_key("Oslo")


@pytest.mark.django_db
@pytest.mark.usefixtures("_apart")
def test_key_may_follow_a_foreign_key_to_nowhere() -> None:
    class Street(NaturalKeyModel):
        _natural_key = ("name", "city__name")
        name = models.CharField(max_length=10)
        city = models.ForeignKey(City, models.CASCADE, null=True)

        class Meta:
            app_label = "people"

    oslo = City(name="Oslo", country="NO")
    assert Street(name="Main", city=oslo).natural_key() == ("Main", "Oslo")
    assert Street(name="Main").natural_key() == ("Main", None)


# -- declaring -----------------------------------------------------------------------------------------------


def test_manager_extends_the_one_that_is_named() -> None:
    manager = NaturalManager("name", manager=LoudManager)
    assert isinstance(manager, LoudManager)
    assert isinstance(manager, NaturalManager)
    assert manager.loud() == "!"
    assert manager.fields == ("name",)


@pytest.mark.usefixtures("_apart")
def test_manager_may_come_from_a_queryset() -> None:
    class Quiet(models.QuerySet[Any]):
        def quiet(self) -> str:
            return "."

    manager = NaturalManager("name", manager=models.Manager.from_queryset(Quiet))
    assert bound(manager).quiet() == "."


def test_same_arguments_make_the_same_class_and_others_another() -> None:
    assert type(NaturalManager("name")) is type(NaturalManager("name"))
    assert type(NaturalManager("name")) is not type(NaturalManager("name", allow_many=True))
    assert type(NaturalManager("name")) is not type(NaturalManager("country"))
    assert type(NaturalManager("name")) is not type(NaturalManager("name", manager=LoudManager))


@pytest.mark.parametrize(
    ("fields", "options", "message"),
    [
        ((), {}, "needs the names"),
        ((5,), {}, "5 is not the name of a field"),
        ((["name"],), {}, "is not the name of a field"),
        (("name",), {"manager": dict}, "dict is not a subclass of django.db.models.Manager"),
        (("name",), {"manager": models.Manager()}, "is not a subclass of django.db.models.Manager"),
    ],
)
def test_wrong_arguments_are_refused_at_once(fields: Any, options: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        NaturalManager(*fields, **options)


def test_unknown_option_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="many"):
        NaturalManager("name", many=True)  # type: ignore[call-arg]


@pytest.mark.usefixtures("_apart")
def test_natural_key_model_extends_the_manager_of_the_class() -> None:
    class Town(NaturalKeyModel):
        _natural_key = ("name",)
        _natural_manager_kwargs = {"allow_many": True}
        name = models.CharField(max_length=10)
        objects = LoudManager()

        class Meta:
            app_label = "people"

    assert Town.objects.loud() == "!"
    assert Town.objects.allow_many
    assert Town._default_manager is Town.objects
    assert Town(name="Oslo").natural_key() == ("Oslo",)


@pytest.mark.usefixtures("_apart")
def test_natural_key_model_takes_a_natural_manager_as_well() -> None:
    class Town(NaturalKeyModel):
        _natural_key = ("name",)
        name = models.CharField(max_length=10)
        objects = NaturalManager("code", manager=LoudManager)

        class Meta:
            app_label = "people"

    assert (Town.objects.fields, Town.objects.loud()) == (("name",), "!")


@pytest.mark.usefixtures("_apart")
def test_natural_key_is_inherited_and_a_manager_of_the_child_is_extended() -> None:
    class Named(NaturalKeyModel):
        _natural_key = ("name",)
        _natural_manager_kwargs = {"allow_many": True}
        name = models.CharField(max_length=10)

        class Meta:
            abstract = True

    class Town(Named):
        class Meta:
            app_label = "people"

    class Street(Named):
        objects = LoudManager()

        class Meta:
            app_label = "people"

    for model in (Town, Street):
        assert model.objects.fields == ("name",)
        assert model.objects.allow_many
        assert model(name="x").natural_key() == ("x",)
    assert Street.objects.loud() == "!"


@pytest.mark.parametrize(
    "attributes", [{}, {"_natural_key": ()}, {"_natural_key": "name"}, {"_natural_key": (5,)}]
)
@pytest.mark.usefixtures("_apart")
def test_natural_key_model_without_a_proper_key_is_refused(attributes: dict[str, Any]) -> None:
    meta = type("Meta", (), {"app_label": "people"})
    with pytest.raises(ValidationError):
        type(NaturalKeyModel)(
            "Town", (NaturalKeyModel,), {"__module__": __name__, "Meta": meta, **attributes}
        )


# -- copies --------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.usefixtures("_apart")
def test_related_managers_find_by_natural_key_among_their_own() -> None:
    event = Event.objects.create(
        moment="2020-01-02T03:04:05Z", price="1.50", city=City.objects.create(name="a", country="b")
    )
    event.refresh_from_db()
    assert event.city is not None
    found = event.city.event_set.get_by_natural_key(event.moment, event.price, event.city)
    assert found == event
    with pytest.raises(Event.DoesNotExist):
        City.objects.create(name="x", country="y").event_set.get_by_natural_key(
            event.moment, event.price, event.city
        )


@pytest.mark.usefixtures("_apart")
def test_managers_of_many_to_many_fields_are_natural_too() -> None:
    class Band(NaturalKeyModel):
        _natural_key = ("name",)
        name = models.CharField(max_length=10)
        near = models.ManyToManyField("self")
        clubs = models.ManyToManyField(Club, related_name="+")

        class Meta:
            app_label = "people"

    for manager in (Band(pk=1).near, copy.copy(Band.objects), copy.deepcopy(Band.objects)):
        assert isinstance(manager, NaturalManager)
        assert manager.fields == ("name",)
    assert Band.objects == copy.copy(Band.objects)


def test_copy_is_independent() -> None:
    manager = City.objects.db_manager("remote")
    assert (manager.db, City.objects.db) == ("remote", "default")
    assert manager.fields == City.objects.fields


# -- migrations ----------------------------------------------------------------------------------------------


def written_and_read(manager: Any) -> Any:
    """`manager` after its way through the text of a migration."""
    operation = models_operation(manager)
    code, imports = OperationWriter(operation, indentation=0).serialize()
    names: dict[str, Any] = {}
    exec("\n".join({*imports, "from django.db import migrations, models"}), names)
    return eval(code.strip().rstrip(","), names).managers[0][1]


def models_operation(manager: Any) -> Any:
    from django.db.migrations.operations import AlterModelManagers

    return AlterModelManagers("town", [("objects", manager)])


class MigratedNaturalManager(NaturalManager):
    use_in_migrations = True


@pytest.mark.parametrize(
    "manager",
    [
        MigratedNaturalManager("name", "code"),
        NaturalManager("name", manager=LoudManager),
        NaturalManager("name", manager=LoudManager, allow_many=True),
        CodeManager("code"),
        CodeManager("code", allow_many=True),
        FixedManager(),
    ],
)
def test_manager_survives_the_way_through_a_migration(manager: Any) -> None:
    again = written_and_read(manager)
    assert type(again) is type(manager)
    assert again == manager
    assert (again.fields, again.allow_many) == (manager.fields, manager.allow_many)


@pytest.mark.usefixtures("_apart")
def test_unchanged_models_make_no_migration() -> None:
    def state() -> ProjectState:
        with isolate_apps("tests.people"):

            class Town(NaturalKeyModel):
                _natural_key = ("name",)
                name = models.CharField(max_length=10)
                objects = LoudManager()

                class Meta:
                    app_label = "people"

            class Street(models.Model):
                name = models.CharField(max_length=10)
                objects = CodeManager("name")
                plain = NaturalManager("name")

                class Meta:
                    app_label = "people"

            found = ProjectState()
            for model in (Town, Street):
                found.add_model(ModelState.from_model(model))
            return found

    before, after = state(), state()
    assert [name for name, _ in before.models["people", "town"].managers] == ["objects"]
    assert [name for name, _ in before.models["people", "street"].managers] == ["objects"]
    questioner = NonInteractiveMigrationQuestioner()
    assert MigrationAutodetector(before, after, questioner)._detect_changes() == {}
    historical = after.apps.get_model("people", "Town").objects
    assert historical.fields == ("name",)
    assert historical.loud() == "!"


@pytest.mark.django_db(databases=["default", "remote"])
def test_migrations_of_synchro_match_its_models() -> None:
    from django.core.management import call_command

    call_command("makemigrations", "synchro", check=True, dry_run=True, verbosity=0)


def test_model_without_natural_key_has_none() -> None:
    assert not hasattr(Person, "natural_key")
