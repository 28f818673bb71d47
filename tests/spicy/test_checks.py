"""The system checks."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps.registry import Apps
from django.core import checks
from django.db import models

from django_spicy_id import SpicyAutoField, SpicyBigAutoField, SpicySmallAutoField
from django_spicy_id.checks import check_preamble

pytestmark = pytest.mark.once


def declare(registry: Apps, name: str, field: Any, base: type = models.Model, **options: Any) -> Any:
    meta = type("Meta", (), {"apps": registry, "app_label": "spicy", **options})
    attributes = {"Meta": meta, "__module__": __name__}
    if field is not None:
        attributes["id"] = field
    return type(name, (base,), attributes)


def said(registry: Apps) -> list[tuple[str, str]]:
    """Return ids and texts of all that is said about the models of a registry."""
    return [
        (message.id, message.msg)
        for model in registry.get_models()
        for field in model._meta.local_fields
        if hasattr(field, "prefix")
        for message in check_preamble(field)
    ]


@pytest.fixture
def registry() -> Apps:
    """A registry with the app of this suite and none of its models."""
    return Apps(["tests.spicy"])


def key(prefix: str, sep: str = "_", field_class: type = SpicyBigAutoField, **options: Any) -> Any:
    return field_class(primary_key=True, prefix=prefix, sep=sep, **options)


@pytest.mark.django_db(databases=["default", "remote"])  # other checks ask the databases what they can do
def test_nothing_is_said_of_the_models_of_this_suite() -> None:
    assert [message for message in checks.run_checks() if message.id.startswith("spicy_id")] == []


def test_a_shared_prefix_and_separator_is_a_warning_said_once(registry: Apps) -> None:
    declare(registry, "User", key("usr"))
    declare(registry, "Usher", key("usr", encoding="hex", field_class=SpicyAutoField))
    ((code, text),) = said(registry)
    assert code == "spicy_id.W001"
    assert "spicy.Usher.id and spicy.User.id share the prefix 'usr' and the separator '_'" in text


def test_the_warning_comes_from_the_check_of_the_model(registry: Apps) -> None:
    declare(registry, "User", key("usr"))
    usher = declare(registry, "Usher", key("usr"))
    assert [message.id for message in usher._meta.get_field("id").check()] == ["spicy_id.W001"]
    assert isinstance(usher._meta.get_field("id").check()[0], checks.Warning)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (key("us", ""), key("usr", "")),
        (key("us", ""), key("usr", "_" * 0, encoding="hex")),
        (key("a", "b_"), key("ab", "_")),
        (key("us", "er"), key("user", "x")),
        (key("us", "", pad=True), key("us91234", "", field_class=SpicyAutoField, pad=True, encoding="b58")),
        (key("us", "", encoding="hex"), key("us", "e")),
    ],
)
def test_a_prefix_that_can_be_mistaken_for_another_is_an_error(registry: Apps, one: Any, other: Any) -> None:
    first = declare(registry, "First", one)
    declare(registry, "Second", other)
    found = said(registry)
    assert [code for code, _ in found] == ["spicy_id.E001"]
    example = found[0][1].rsplit(": ", 1)[1].split("'")[1]
    for model in (first, registry.get_model("spicy", "second")):
        model._meta.get_field("id").validate_string(example)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (key("us"), key("usr")),
        (key("usr", "_"), key("usr", "-")),
        (key("us", "", encoding="hex"), key("usr", "")),  # r is no hexadecimal digit
        (key("us", "", pad=True), key("usr", "", pad=True)),  # 11 digits after us, or after usr
        (key("us", "", field_class=SpicySmallAutoField), key("usr123", "")),  # longer than any of us
        (key("us", "", encoding="hex", pad=True), key("us", "f", encoding="hex", pad=True)),
        (key("us", ""), key("us", "0")),  # no id of us begins with 0 but us0
    ],
)
def test_prefixes_that_only_look_alike_are_no_error(registry: Apps, one: Any, other: Any) -> None:
    declare(registry, "First", one)
    declare(registry, "Second", other)
    assert said(registry) == []


def test_an_overlap_beyond_the_range_of_the_column_is_no_error(registry: Apps) -> None:
    # 8WV is the largest: with three digits after s, the first is at most 8, and Z is beyond it.
    declare(registry, "First", key("s", "", field_class=SpicySmallAutoField))
    declare(registry, "Second", key("sZ", "", field_class=SpicySmallAutoField, pad=True))
    assert said(registry) == []


def test_heirs_of_one_field_are_not_in_its_way(registry: Apps) -> None:
    parent = declare(registry, "Place", key("plc"))
    declare(registry, "Restaurant", None, base=parent)
    declare(registry, "PlaceProxy", None, base=parent, proxy=True)
    assert said(registry) == []


def test_two_models_of_an_abstract_base_share_its_prefix(registry: Apps) -> None:
    base = declare(registry, "Base", key("evt"), abstract=True)
    declare(registry, "Started", None, base=base)
    declare(registry, "Stopped", None, base=base)
    assert [code for code, _ in said(registry)] == ["spicy_id.W001"]


def test_a_second_model_of_the_same_table_is_not_in_its_way(registry: Apps) -> None:
    declare(registry, "Reader", key("usr"), db_table="users", managed=False)
    declare(registry, "User", key("usr"), db_table="users")
    assert said(registry) == []
