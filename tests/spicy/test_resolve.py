"""From an id to its row, and back."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError

from django_spicy_id import (
    AmbiguousSpicyIdError,
    MalformedSpicyIdError,
    SpicyIdError,
    UnknownSpicyIdError,
    resolve,
    resolving,
)
from tests.spicy.models import Device, Event, Invoice, Place, Restaurant, Tag, User


@pytest.mark.once
@pytest.mark.parametrize(
    ("text", "model", "key"),
    [
        ("usr_8M0kX", User, 123456789),
        ("usr_AzL8n0Y58m7", User, 2**63 - 1),
        ("inv-0000000a", Invoice, 10),
        ("tag_2", Tag, 1),
        ("dev_1", Device, 1),
        ("evt_1", Event, 1),
        ("plc_11111111116", Place, 5),
    ],
)
def test_an_id_tells_its_model_and_key(text: str, model: type, key: int) -> None:
    assert resolve(text) == (model, key)
    assert resolve(text).model is model
    assert resolve(text).key == key
    assert resolve(text).field is model._meta.get_field("id")


@pytest.mark.once
@pytest.mark.parametrize("text", ["", "acct_5", "usr-5", "5", "USR_5", " usr_5", "x" * 100_000])
def test_an_id_of_no_model_is_unknown(text: str) -> None:
    with pytest.raises(UnknownSpicyIdError, match="no model has ids that begin like") as caught:
        resolve(text)
    assert len(str(caught.value)) < 200


@pytest.mark.once
@pytest.mark.parametrize("text", ["usr_", "usr_05", "usr_5\n", "usr_zzzzzzzzzzz", "usr_\u0665", "inv-a"])
def test_a_malformed_id_is_told_with_its_reason(text: str) -> None:
    with pytest.raises(MalformedSpicyIdError, match=r"as an id of spicy\.(User|Invoice), "):
        resolve(text)


@pytest.mark.once
@pytest.mark.parametrize("value", [None, 5, b"usr_5"])
def test_only_a_string_is_resolved(value: object) -> None:
    with pytest.raises(SpicyIdError, match="an id is a string"):
        resolve(value)  # type: ignore[arg-type]


@pytest.mark.once
def test_an_id_of_two_models_is_ambiguous(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = [User._meta.get_field("id"), User._meta.get_field("id").clone()]
    fields[1].model = Event
    monkeypatch.setattr(resolving, "spicy_fields", lambda registry: iter(fields))
    with pytest.raises(AmbiguousSpicyIdError, match=r"spicy\.User and spicy\.Event"):
        resolve("usr_5")


@pytest.mark.django_db(databases=["default", "remote"])
def test_whether_the_row_exists_is_asked_of_one_database() -> None:
    User.objects.using("remote").create(id=123456789, name="Ada")
    found = resolve("usr_8M0kX")
    assert not found.exists()
    assert not found.exists("default")
    assert found.exists("remote")


def run(*arguments: str, **options: str) -> list[str]:
    output = StringIO()
    call_command("spicy_id", *arguments, stdout=output, **options)
    return output.getvalue().splitlines()


REPORT = ["id: usr_8M0kX", "model: spicy.User", "table: spicy_user", "key: 123456789"]


@pytest.mark.django_db(databases=["default", "remote"])
def test_the_command_tells_all_of_an_id() -> None:
    assert run("usr_8M0kX") == [*REPORT, "exists: no"]
    User.objects.create(id=123456789, name="Ada")
    assert run("usr_8M0kX") == [*REPORT, "exists: yes"]
    assert run("usr_8M0kX", database="remote") == [*REPORT, "exists: no"]


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["User", "spicy.User", "SPICY.USER", "UserProxy", "spicy.userproxy"])
def test_the_command_tells_the_id_of_a_key(name: str) -> None:
    assert run(name, "123456789") == [*REPORT, "exists: no"]


@pytest.mark.django_db
def test_the_command_goes_from_a_child_to_the_table_that_has_the_key() -> None:
    bistro = Restaurant.objects.create(name="Bistro")
    key = str(Place._meta.pk.get_prep_value(bistro.pk))
    assert run("spicy.Restaurant", key)[0:3] == [
        f"id: {bistro.pk}",
        "model: spicy.Place",
        "table: spicy_place",
    ]
    assert run(bistro.pk)[-1] == "exists: yes"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["acct_5"], "no model has ids that begin like 'acct_5'"),
        (["usr_05"], "it is padded"),
        (["NoModel", "5"], "there is no model 'NoModel'"),
        (["Team", "5"], "'Team' can be any of knots.Team, odd.Team, people.Team"),
        (["Menu", "5"], "spicy.Menu.pk is neither a spicy id"),
        (["spicy.Invoice", "usr_5"], "'usr_5' is not an integer key"),
        (["spicy.Invoice", "\u0665"], "is not an integer key"),
        (["spicy.Invoice", "2147483648"], "it is not in the range from 0 to 2147483647"),
        (["spicy.Invoice", "9" * 5000], "is not an integer key"),
        (["usr_5", "--database", "elsewhere"], "there is no database 'elsewhere'"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        run(*arguments)


@pytest.mark.django_db
def test_the_command_says_when_the_table_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> bool:
        raise DatabaseError("no such table")

    monkeypatch.setattr(resolving.ResolvedId, "exists", fail)
    with pytest.raises(CommandError, match="spicy_user cannot be read: no such table"):
        run("usr_5")
