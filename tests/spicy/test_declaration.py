"""How a field is declared, and what migrations see of it."""

from __future__ import annotations

import copy
import pickle
from typing import Any
from unittest import mock

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.state import ModelState, ProjectState
from django.db.migrations.writer import MigrationWriter

import django_spicy_id
from django_spicy_id import SpicyAutoField, SpicyBigAutoField, SpicySmallAutoField
from tests.spicy.models import Device, User

pytestmark = pytest.mark.once

FIELD_CLASSES = [SpicyBigAutoField, SpicyAutoField, SpicySmallAutoField]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prefix": 5}, "prefix must be a string"),
        ({"prefix": None}, "prefix must be a string"),
        ({"prefix": ""}, "prefix: only ascii numbers and letters allowed, must start with a letter"),
        ({"prefix": "us-r"}, "prefix: only ascii numbers and letters allowed"),
        ({"prefix": "usér"}, "prefix: only ascii numbers and letters allowed"),
        ({"prefix": "usr\n"}, "prefix: only ascii numbers and letters allowed"),
        ({"prefix": "\u0661usr"}, "prefix: only ascii numbers and letters allowed"),
        ({"prefix": "1usr"}, "must start with a letter"),
        ({"prefix": "usr", "sep": None}, "sep must be a string"),
        ({"prefix": "usr", "sep": 5}, "sep must be a string"),
        ({"prefix": "usr", "sep": "→"}, "sep must be ascii"),
        ({"prefix": "usr", "encoding": "b64"}, "unknown encoding .*: it is one of b62, b58, hex, b32"),
        ({"prefix": "usr", "encoding": None}, "unknown encoding .*: it is one of b62, b58, hex, b32"),
        ({"prefix": "usr", "encoding": []}, "unknown encoding .*: it is one of b62, b58, hex, b32"),
        ({"prefix": "usr", "pad": 17}, "pad is True, False, or how many digits an id has at least, up to"),
        ({"prefix": "usr", "pad": -1}, "pad is True, False, or how many digits"),
        ({"prefix": "usr", "randomize": "clock"}, "randomize is True, False or 'time', not 'clock'"),
        ({"prefix": "usr", "randomize": True, "default": 5}, "cannot provide both `randomize` and `default`"),
        (
            {"prefix": "usr", "randomize": True, "default": None},
            "cannot provide both `randomize` and `default`",
        ),
        (
            {"prefix": "usr", "randomize": True, "db_default": 5},
            "cannot provide both `randomize` and `db_default`",
        ),
    ],
)
@pytest.mark.parametrize("field_class", FIELD_CLASSES)
def test_a_wrong_declaration_is_improperly_configured(
    field_class: type, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=message):
        field_class(primary_key=True, **options)


def test_a_prefix_is_required() -> None:
    with pytest.raises(TypeError, match="prefix"):
        SpicyBigAutoField(primary_key=True)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("field_class", "plain_class"),
    [
        (SpicyBigAutoField, models.BigAutoField),
        (SpicyAutoField, models.AutoField),
        (SpicySmallAutoField, models.SmallAutoField),
    ],
)
def test_each_is_the_field_of_django_that_it_is_named_after(field_class: type, plain_class: type) -> None:
    assert plain_class in field_class.__mro__
    assert isinstance(field_class(primary_key=True, prefix="usr"), models.AutoField)


def test_positional_arguments_are_taken_in_the_documented_order() -> None:
    field = SpicyBigAutoField("usr", "-", "hex", True, True, primary_key=True)
    assert (field.prefix, field.sep, field.encoding, field.randomize, field.pad) == (
        "usr",
        "-",
        "hex",
        True,
        True,
    )


def test_the_constants_are_those_that_migrations_hold() -> None:
    assert (
        django_spicy_id.ENCODING_BASE_62,
        django_spicy_id.ENCODING_BASE_58,
        django_spicy_id.ENCODING_HEX,
    ) == ("b62", "b58", "hex")


def test_all_public_names_can_be_imported_with_a_star() -> None:
    names: dict[str, Any] = {}
    exec("from django_spicy_id import *", names)
    assert names["SpicyBigAutoField"] is SpicyBigAutoField
    assert set(django_spicy_id.__all__) <= set(names)


OPTIONS = [
    {"prefix": "usr"},
    {"prefix": "usr", "sep": "", "encoding": "b58", "pad": True},
    {"prefix": "usr", "sep": "-", "encoding": "hex", "randomize": True},
    {"prefix": "usr", "default": 5},
    {"prefix": "usr", "encoding": "b32", "pad": 2},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("field_class", FIELD_CLASSES)
def test_a_deconstructed_field_is_declared_again_alike(field_class: type, options: dict[str, Any]) -> None:
    field = field_class(primary_key=True, **options)
    name, path, args, kwargs = field.deconstruct()
    assert path == f"django_spicy_id.fields.{field_class.__name__}"
    assert field_class(*args, **kwargs).deconstruct() == (name, path, args, kwargs)
    assert field.clone().codec.encode(123456789) == field.codec.encode(123456789)
    assert field.clone().randomize == field.randomize


def test_the_default_of_randomize_is_hidden_from_migrations() -> None:
    kwargs = Device._meta.get_field("id").deconstruct()[3]
    assert "default" not in kwargs
    assert kwargs["randomize"] is True


@pytest.mark.parametrize("options", OPTIONS)
def test_a_migration_can_be_written_and_read(options: dict[str, Any]) -> None:
    field = SpicyBigAutoField(primary_key=True, **options)
    text, imports = MigrationWriter.serialize(field)
    names: dict[str, Any] = {}
    exec("\n".join(imports), names)
    assert eval(text, names).deconstruct() == field.deconstruct()


def state_of(*fields: models.Field[Any, Any]) -> ProjectState:
    state = ProjectState()
    state.add_model(ModelState("shelf", "Box", [(f"field_{i}", field) for i, field in enumerate(fields)]))
    return state


@pytest.mark.parametrize("options", OPTIONS)
def test_a_field_that_did_not_change_makes_no_migration(options: dict[str, Any]) -> None:
    old = state_of(SpicyBigAutoField(primary_key=True, **options))
    new = state_of(SpicyBigAutoField(primary_key=True, **options))
    assert MigrationAutodetector(old, new)._detect_changes() == {}


def test_a_migration_of_1_0_stands_for_the_field_as_declared_today() -> None:
    # What that version wrote down: each option, and nothing of the default.
    old = state_of(
        SpicyBigAutoField(
            encoding="b62",
            pad=False,
            prefix="usr",
            primary_key=True,
            randomize=True,
            sep="_",
            serialize=False,
        )
    )
    new = state_of(SpicyBigAutoField(primary_key=True, prefix="usr", randomize=True, serialize=False))
    assert MigrationAutodetector(old, new)._detect_changes() == {}


@pytest.mark.parametrize("field_class", FIELD_CLASSES)
def test_it_must_be_the_primary_key_as_django_says_of_automatic_fields(field_class: type) -> None:
    with mock.patch("django_spicy_id.base.check_preamble", return_value=[]):
        field = field_class(prefix="usr", unique=True)
        field.set_attributes_from_name("code")
        field.model = User
        assert [message.id for message in field.check()] == ["fields.E100"]


def test_a_field_that_is_not_the_primary_key_is_deconstructed_as_declared() -> None:
    field = SpicyBigAutoField(prefix="usr", unique=True, randomize=True)
    assert not field.clone().primary_key
    assert field.clone().unique


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda field: pickle.loads(pickle.dumps(field))]
)
@pytest.mark.parametrize(
    "field",
    [
        SpicyBigAutoField(primary_key=True, prefix="usr", encoding="b58", randomize=True),
        User._meta.get_field("id"),
    ],
)
def test_a_field_can_be_copied(field: SpicyBigAutoField, copied: Any) -> None:
    again = copied(field)
    assert again.codec.encode(5) == field.codec.encode(5)
    assert again.deconstruct()[1:] == field.deconstruct()[1:]


def test_the_integer_is_at_hand_for_other_packages() -> None:
    field = User._meta.get_field("id")
    assert field.get_prep_value("usr_8M0kX") == 123456789
    assert field.get_prep_value(123456789) == 123456789
    assert field.get_prep_value(None) is None
    assert (field.randomize, Device._meta.get_field("id").randomize) == (False, True)


def test_importing_the_package_imports_neither_rest_framework_nor_django_filter() -> None:
    import subprocess
    import sys

    code = (
        "import sys, django_spicy_id; "
        "sys.exit(any(name in sys.modules for name in ('rest_framework', 'django_filters')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
