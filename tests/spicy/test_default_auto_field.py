"""Spicy keys for the models that declare none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps.registry import Apps
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.state import ModelState, ProjectState
from django.test import override_settings

from django_spicy_id import SpicyAutoField, SpicyBigAutoField, spicy_auto_field

pytestmark = pytest.mark.once

ByName = spicy_auto_field(prefix_from=lambda model: str(model._meta.model_name).replace("_", ""))
ByTable = spicy_auto_field({"spicy.Car": "car"}, base=SpicyAutoField, encoding="hex", pad=True)
Nowhere = spicy_auto_field(lambda model: "9")


@pytest.fixture
def registry() -> Iterator[Apps]:
    """One that has no configuration of the app, so that the setting decides."""
    return Apps()


def declare(registry: Apps, name: str, **attributes: Any) -> Any:
    meta = type("Meta", (), {"apps": registry, "app_label": "spicy"})
    return type(name, (models.Model,), {"Meta": meta, "__module__": __name__, **attributes})


@override_settings(DEFAULT_AUTO_FIELD=f"{__name__}.ByName")
def test_each_model_has_a_key_with_its_own_prefix(registry: Apps) -> None:
    car = declare(registry, "Car", wheels=models.ManyToManyField("spicy.Wheel"))
    declare(registry, "Wheel")
    assert car(id=5).id == "car_5"
    assert car.wheels.through(id=5).id == "carwheels_5"
    assert type(car._meta.pk) is SpicyBigAutoField
    assert car._meta.pk.auto_created
    assert [field.name for field in car._meta.fields] == ["id"]


@override_settings(DEFAULT_AUTO_FIELD=f"{__name__}.ByTable")
def test_prefixes_can_be_listed(registry: Apps) -> None:
    assert declare(registry, "Car")(id=5).id == "car_00000005"
    with pytest.raises(ImproperlyConfigured, match=r"spicy.Bus has no key of its own.*add 'spicy.Bus'"):
        declare(registry, "Bus")


@override_settings(DEFAULT_AUTO_FIELD=f"{__name__}.Nowhere")
def test_a_function_that_gives_no_prefix_is_named_with_its_model(registry: Apps) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"no prefix for spicy.Car.*not '9'"):
        declare(registry, "Car")


@override_settings(DEFAULT_AUTO_FIELD=f"{__name__}.ByName")
def test_migrations_hold_the_prefix_and_nothing_of_the_class(registry: Apps) -> None:
    state = ModelState.from_model(declare(registry, "Car"))
    _name, path, _args, kwargs = state.fields["id"].deconstruct()
    assert path == "django_spicy_id.fields.SpicyBigAutoField"
    assert kwargs["prefix"] == "car"
    old, new = ProjectState(), ProjectState()
    old.add_model(state)
    new.add_model(ModelState.from_model(declare(Apps(), "Car")))
    assert MigrationAutodetector(old, new)._detect_changes() == {}


@override_settings(DEFAULT_AUTO_FIELD="django_spicy_id.SpicyBigAutoField")
def test_the_field_itself_says_what_to_do(registry: Apps) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"spicy_auto_field\(prefix_from=...\)"):
        declare(registry, "Car")
