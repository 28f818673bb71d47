"""System checks about keys and natural keys."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import override_settings

from synchro.checks import check_models, check_receivers
from synchro.registry import forget_cached
from tests.guests.models import Company, Discount, Food, Forgetful, History, Offer, Pair, Tagging
from tests.people.models import City, Person
from tests.shop.models import Tag

pytestmark = pytest.mark.once


def found(*watched: Any, **settings: Any) -> list[tuple[str | None, Any]]:
    """The ids of the messages about these models, being watched, each with what it is about."""
    names = [(model._meta.app_label, model.__name__) for model in watched]
    with override_settings(SYNCHRO_MODELS=names, **settings):
        return [(message.id, message.obj) for message in check_models(None)]


def options(model: Any, **given: Any) -> dict[str, Any]:
    return {"SYNCHRO_MODEL_OPTIONS": {model._meta.label: given}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"SKIP": "balance"}, "synchro.E003"),
        ({"SKIP": ("ballance",)}, "synchro.E001"),
        ({"IDENTITY": "key"}, "synchro.E005"),
        ({"CONFLICT": "mine"}, "synchro.E006"),
        ({"KEYS": ["name"]}, "synchro.E030"),
        ({"KEYS": {"name": "people.Ghost"}}, "synchro.E030"),
        ({"KEYS": {"name": "people.City"}}, "synchro.E030"),
        ({"NATURAL_KEY": "name"}, "synchro.E031"),
        ({"NATURAL_KEY": (5,)}, "synchro.E031"),
        ({"NATURAL_KEY": ("name", "colour")}, "synchro.E031"),
        ({"NATURAL_KEY": ("name", "city__colour")}, "synchro.E031"),
    ],
)
def test_wrong_value_of_an_option_is_named_with_the_model(given: Any, expected: str) -> None:
    assert (expected, Person) in found(Person, **options(Person, **given))


def test_wrong_choice_of_receivers_is_named_with_the_model() -> None:
    with override_settings(SYNCHRO_MODELS=[("people", "Person")], **options(Person, RECEIVERS=5)):
        assert [(message.id, message.obj) for message in check_receivers()] == [("synchro.E040", Person)]


@pytest.mark.parametrize(
    "given", [{"NATURAL_KEY": ()}, {"NATURAL_KEY": ["id"]}, {"KEYS": {}}, {"SKIP": ["name"]}]
)
def test_value_that_an_option_can_have_passes(given: Any) -> None:
    assert found(Food, **options(Food, **given)) in ([], [("synchro.W006", Food)])


def test_manager_that_forgets_its_database_is_named() -> None:
    assert found(Forgetful) == [("synchro.W030", Forgetful)]
    assert found(Forgetful, **options(Forgetful, NATURAL_KEY=("name",))) == []
    assert found(Forgetful, **options(Forgetful, IDENTITY="pk")) == []
    assert found(Forgetful, SYNCHRO_REMOTE=None) == []
    assert found(Pair) == []


@pytest.mark.django_db
def test_natural_key_that_cannot_be_made_of_the_columns_of_a_gone_row_is_named(monkeypatch: Any) -> None:
    """With signals the method is asked while the row is there."""

    def by_a_query(self: Pair) -> Any:
        return (Food.objects.get(pk=self.first_id).name,)

    def by_its_own_id_there(self: Pair) -> Any:
        self.refresh_from_db()
        return (self.note,)

    assert found(Pair, SYNCHRO_CAPTURE="triggers") == []
    for method in (by_a_query, by_its_own_id_there):
        monkeypatch.setattr(Pair, "natural_key", method)
        assert found(Pair, SYNCHRO_CAPTURE="triggers") == [("synchro.W034", Pair)]
        assert found(Pair, SYNCHRO_CAPTURE="signals") == []
    monkeypatch.setattr(Pair, "natural_key", lambda self: [self.first.name.strip().lower(), int(self.note)])
    assert found(Pair, SYNCHRO_CAPTURE="triggers") == []


def test_natural_key_without_its_content_type_is_named(monkeypatch: Any) -> None:
    forget_cached()
    assert found(Tagging) == [("synchro.W031", Tagging)]
    assert found(Tagging, **options(Tagging, NATURAL_KEY=("tag", "object_id"))) == [("synchro.W031", Tagging)]
    whole = ("tag", "object_id", "content_type")
    assert found(Tagging, **options(Tagging, NATURAL_KEY=whole)) == [("synchro.W032", Tagging)]
    for names in (whole, ()):  # with none it raises
        monkeypatch.setattr(Tagging, "natural_key_fields", names)
        forget_cached()
        assert found(Tagging) == []
    forget_cached()


def test_natural_key_that_is_not_unique_is_named() -> None:
    assert found(Tag) == [("synchro.W032", Tag)]
    assert found(City) == [("synchro.W032", City)]
    assert found(Company, **options(Company, NATURAL_KEY=("name",))) == [("synchro.W032", Company)]


def test_columns_that_look_like_keys_are_named_in_one_warning() -> None:
    assert found(Discount, Offer) == []
    assert found(Discount, Offer, **options(Discount, KEYS={})) == [("synchro.W033", None)]
    assert found(Discount, Offer, **options(Discount, KEYS={"offer_id": None})) == []
    assert found(Discount, Offer, SYNCHRO_IDENTITY="pk", **options(Discount, KEYS={})) == []
    # Permissions keep their names and not their keys, whatever the setting says.
    assert found(Discount, Offer, Group, SYNCHRO_IDENTITY="pk", **options(Discount, KEYS={})) == []
    assert found(Discount, Permission, SYNCHRO_IDENTITY="pk", **options(Discount, KEYS={})) == []


def test_histories_are_recognized(monkeypatch: Any) -> None:
    """As django-simple-history makes them."""
    assert found(History, Food) == []
    monkeypatch.setattr(History, "instance_type", Food, raising=False)
    assert found(History, Food) == [("synchro.W033", None)]
    assert found(History, Food, **options(History, KEYS={"id": "guests.Food"})) == []
