"""
Which columns an entry names, and how keys are spelled: the same on every engine, and as capture by signals
does.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, models, transaction

from synchro.keys import from_text, key_of, to_text
from synchro.models import ADDITION, CHANGE, DELETION
from tests.capture import models as capture
from tests.capture.models import Article, ByText, ByThree, ByUUID, Moments, Place, Restaurant, Tag, Unique
from tests.triggers.clients import client, engine
from tests.triggers.conftest import brief, entries, install

pytestmark = pytest.mark.usefixtures("triggers")

UTC = dt.UTC
TOKEN = uuid.UUID("0f9C8e3a-1111-4222-8333-abcdefABCDEF")

VALUES: dict[str, list[Any]] = {
    "title": ["a", "A", "a ", "á", "\U0001f600", "", "x" * 200],
    "body": ["a", "A", "a ", "á", "a\n", "long " * 5000],
    "number": [0, 1, -(2**31)],
    "price": [Decimal("0.00"), Decimal("0.01"), Decimal("-9999999999.99")],
    "ratio": [0.0, 0.1, 1e300, -1.5],
    "public": [True, False],
    "day": [dt.date(1, 1, 1) if connection.vendor != "mysql" else dt.date(1000, 1, 1), dt.date(2026, 2, 28)],
    "moment": [dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), dt.datetime(2026, 1, 2, 3, 4, 5, 1, tzinfo=UTC)],
    "hour": [dt.time(0, 0), dt.time(0, 0, 0, 1)],
    "lasts": [dt.timedelta(0), dt.timedelta(microseconds=1), dt.timedelta(days=-400)],
    "data": [{"a": 1}, {"a": "1"}, {"a": [1, None]}, {"A": 1}, "text", []],
    "blob": [b"", b"\0", b"a", b"A", b"\xff" * 3000],
    "token": [TOKEN, uuid.UUID(int=0)],
    "address": ["127.0.0.1", "::1"],
}


@pytest.mark.parametrize("name", VALUES)
def test_every_change_of_a_value_is_seen(name: str) -> None:
    article = Article.objects.create()
    entries()
    values = [*VALUES[name], None, VALUES[name][0]] if Article._meta.get_field(name).null else VALUES[name]
    for value in values:
        Article.objects.filter(pk=article.pk).update(**{name: value})
        assert brief() == [(str(article.pk), CHANGE, name)], value
        Article.objects.filter(pk=article.pk).update(**{name: value})
        assert brief() == [], value


def test_an_update_names_the_columns_that_changed_and_no_others() -> None:
    parent, article = Article.objects.create(), Article.objects.create(title="a", views=1)
    entries()
    Article.objects.filter(pk=article.pk).update(
        title="b", number=3, price=None, parent=parent, data=[1], views=5
    )
    assert brief() == [(str(article.pk), CHANGE, "title,number,data,parent")]
    article.refresh_from_db()
    article.save()
    Article.objects.filter(pk=article.pk).update(views=6)
    assert brief() == []


def test_nan_is_equal_to_itself() -> None:
    if connection.vendor != "postgresql":
        return  # the others cannot store it, which is tested by their own refusal
    Article.objects.create(ratio=float("nan"))
    entries()
    Article.objects.update(ratio=float("nan"))
    assert brief() == []
    Article.objects.update(ratio=0.0)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE capture_article SET ratio = '-0'::float8")
    assert [fields for _, _, fields in brief()] == ["ratio", "ratio"]


@pytest.mark.skipif(connection.vendor != "mysql", reason="a type that MySQL and MariaDB have")
def test_a_change_that_the_text_of_a_number_does_not_show_is_seen() -> None:
    """Both write six digits of a FLOAT, and MySQL keeps -0 apart from 0, but compares them as the same."""
    Article.objects.create(pk=1)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE capture_article MODIFY ratio FLOAT NULL")
        entries()
        try:
            for value in ("1234567", "1234568", "0", *(["-0e0"] if engine() == "mysql" else [])):
                cursor.execute(f"UPDATE capture_article SET ratio = {value}")
                assert brief() == [("1", CHANGE, "ratio")], value
        finally:
            cursor.execute("ALTER TABLE capture_article MODIFY ratio DOUBLE PRECISION NULL")


@pytest.mark.skipif(connection.vendor != "mysql", reason="the others have one character set in each database")
def test_character_sets_of_column_and_session_do_not_matter() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE capture_bytext MODIFY code VARCHAR(255) CHARACTER SET latin1 NOT NULL")
        cursor.execute("ALTER TABLE capture_bytext MODIFY name VARCHAR(50) CHARACTER SET latin1 NOT NULL")
    try:
        install()
        client(
            "SET NAMES latin1; INSERT INTO capture_bytext VALUES (_latin1 x'e9', ''); "
            "SET NAMES utf8mb4; UPDATE capture_bytext SET name = 'e'; UPDATE capture_bytext SET name = 'é'; "
            "UPDATE capture_bytext SET name = 'É'; UPDATE capture_bytext SET name = 'É '"
        )
    finally:
        with connection.cursor() as cursor:
            cursor.execute(
                "ALTER TABLE capture_bytext MODIFY code VARCHAR(255) CHARACTER SET utf8mb4 NOT NULL"
            )
            cursor.execute(
                "ALTER TABLE capture_bytext MODIFY name VARCHAR(50) CHARACTER SET utf8mb4 NOT NULL"
            )
        install()
    assert brief() == [("é", ADDITION, ""), *[("é", CHANGE, "name")] * 4]


KEYS: dict[str, tuple[Any, ...]] = {
    "ByUUID": (TOKEN, uuid.UUID(int=1)),
    "ByText": (
        "a",
        " ",
        "é\U0001f600",
        'it\'s "%s" \\ `x` $1 ;--',
        "tab\tline\n\x01\x1f\x7f",
        "x" * 255,
        "\u20ac" * 255,
    ),
    "ByDate": (dt.date(2026, 2, 28), dt.date(1000, 1, 1)),
    "ByMoment": (
        dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        dt.datetime(2026, 7, 2, 23, 4, 5, 120, tzinfo=dt.timezone(dt.timedelta(hours=-5))),
    ),
    "ByTime": (dt.time(1, 2, 3), dt.time(23, 59, 59, 999999)),
    "ByDuration": (dt.timedelta(days=3, microseconds=7), dt.timedelta(seconds=-1)),
    "ByDecimal": (Decimal("1.5"), Decimal("-0.125"), Decimal("123456789.001"), Decimal("0")),
    "ByAddress": ("127.0.0.1", "2001:db8::1"),
    "ByBytes": (b"\0\xff", b"a'b"),
}


@pytest.mark.parametrize("name", KEYS)
def test_a_key_is_spelled_as_signals_spell_it(name: str) -> None:
    model: Any = getattr(capture, name, None)
    if model is None:
        return  # the engine allows no such key
    for value in KEYS[name]:
        row = model.objects.create(pk=value)
        text = to_text(model, key_of(model(pk=value)))
        assert [(one.object_id, one.action) for one in entries()] == [(text, ADDITION)]
        assert model.objects.get(pk=from_text(model, text)) == row
        model.objects.filter(pk=value).update(name="changed")
        model.objects.filter(pk=value).delete()
        assert [(one.object_id, one.action, one.fields) for one in entries()] == [
            (text, CHANGE, ("name",)),
            (text, DELETION, None),
        ]


def test_a_key_that_is_a_foreign_key_is_spelled_like_its_target() -> None:
    parent = ByUUID.objects.create(id=TOKEN)
    capture.ByParent.objects.create(parent=parent)
    assert [(one.model, one.object_id) for one in entries()] == [
        ("byuuid", str(TOKEN)),
        ("byparent", str(TOKEN)),
    ]


@pytest.mark.parametrize(
    "code", ["a", 'q"uote', "back\\slash / 'x'", "\b\f\n\r\t\x01\x1f\x7fé\U0001f600 \u2028"]
)
def test_a_composite_key_is_spelled_as_json(code: str) -> None:
    row = ByThree.objects.create(tenant=7, code=code, token=TOKEN)
    text = to_text(ByThree, key_of(row))
    assert json.loads(text) == [7, code, str(TOKEN)]
    ByThree.objects.update(name="x")
    ByThree.objects.all().delete()
    assert [(one.object_id, one.action) for one in entries()] == [(text, 1), (text, 2), (text, 3)]


def test_an_update_of_the_key_is_a_deletion_and_an_addition() -> None:
    ByText.objects.create(code="a", name="x")
    entries()
    ByText.objects.update(code="A")
    assert brief() == [("A", ADDITION, ""), ("a", DELETION, "")]
    ByText.objects.update(code="B", name="y")
    assert brief() == [("A", DELETION, ""), ("B", ADDITION, "")]
    ByThree.objects.create(tenant=1, code="a", token=TOKEN)
    ByThree.objects.create(tenant=2, code="a", token=TOKEN)
    entries()
    ByThree.objects.filter(tenant=2).update(tenant=3)
    assert [(json.loads(key)[0], action) for key, action, _ in brief()] == [(2, DELETION), (3, ADDITION)]


def test_an_integer_key_moved_by_one_statement() -> None:
    Tag.objects.bulk_create([Tag(id=10, slug="a"), Tag(id=20, slug="b")])
    entries()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE capture_tag SET id = id + 5")
    found = entries()
    assert sorted((one.object_id, one.action) for one in found) == [
        ("10", 3),
        ("15", 1),
        ("20", 3),
        ("25", 1),
    ]
    assert {one.natural_key for one in found if one.action == DELETION} == {'["a",null]', '["b",null]'}


def test_a_deletion_carries_the_old_values_of_the_natural_key() -> None:
    tag = Tag.objects.create(slug='it\'s "x" \\', since=dt.date(2026, 1, 2))
    tag.slug = "changed later"
    Tag.objects.all().delete()
    assert [one.natural_key and json.loads(one.natural_key) for one in entries()] == [
        None,
        ['it\'s "x" \\', "2026-01-02"],
    ]


def test_the_values_of_a_natural_key_are_read_back_by_their_fields() -> None:
    tag = Tag.objects.create(slug="a")
    row = Moments.objects.create(
        day=dt.date(2026, 3, 1),
        moment=dt.datetime(2026, 3, 1, 12, 30, 1, 20, tzinfo=UTC),
        price=Decimal("12.50"),
        token=TOKEN,
        tag=tag,
        public=True,
    )
    key = (row.day, row.moment, row.price, row.token, row.tag_id, row.public)
    Moments.objects.all().delete()
    (entry,) = [one for one in entries(Moments) if one.action == DELETION]
    assert entry.natural_key is not None
    fields = [Moments._meta.get_field(name) for name in Moments.objects.fields]
    read = tuple(
        field.to_python(value) for field, value in zip(fields, json.loads(entry.natural_key), strict=True)
    )
    assert read == key


def test_each_table_of_inherited_models_logs_its_own_columns() -> None:
    row = Restaurant.objects.create(name="a", stars=1)
    key = str(row.pk)
    assert [(one.model, one.object_id, one.action) for one in entries()] == [
        ("place", key, 1),
        ("restaurant", key, 1),
    ]
    row.name = "b"
    row.save()
    assert [(one.model, one.fields) for one in entries()] == [("place", ("name",))]
    Restaurant.objects.update(stars=2)
    assert [(one.model, one.fields) for one in entries()] == [("restaurant", ("stars",))]
    row.delete()
    assert [(one.model, one.action) for one in entries()] == [("restaurant", 3), ("place", 3)]
    assert Place.objects.count() == 0


@pytest.mark.parametrize("name", capture.ODD_NAMES)
def test_tables_and_columns_with_odd_names(name: str) -> None:
    model: type[models.Model] = getattr(capture, name)
    quote = connection.ops.quote_name
    table, code, other = map(quote, (model._meta.db_table, "its 'code' */", "Other\\ $synchro$"))
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({code}, {other}) VALUES ('a', 'b')", None)
        cursor.execute(f"UPDATE {table} SET {other} = 'c'", None)
        cursor.execute(f"DELETE FROM {table}", None)
    found = entries()
    assert [(one.model, one.action, one.fields) for one in found] == [
        (name.lower(), ADDITION, None),
        (name.lower(), CHANGE, ("other",)),
        (name.lower(), DELETION, None),
    ]


def test_a_change_that_is_refused_or_rolled_back_leaves_no_entry() -> None:
    Unique.objects.create(code="a")
    entries()
    with pytest.raises(IntegrityError), transaction.atomic():
        Unique.objects.bulk_create([Unique(code="b"), Unique(code="a")])
    with pytest.raises(IntegrityError):
        Unique.objects.create(code="a")
    assert brief() == []
