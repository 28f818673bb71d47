"""SQLite: which rows REPLACE may take away is read from what the database itself declares unique."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from synchro.models import ADDITION, CHANGE
from synchro.triggers.uniques import parts_of
from tests.capture.models import Article, Place, Tag
from tests.triggers.conftest import brief, entries, install

pytestmark = [
    pytest.mark.usefixtures("triggers"),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="the others fire triggers for such rows"),
]

#: An index, and whether a row with the same name is in the way of one that is written 'Ann', and of one with a number.
INDEXES = {
    "a column": ("(name)", True, False),
    "without letter case": ("(name COLLATE NOCASE)", True, True),
    "an expression": ("(lower(name), length(name || ')'))", True, True),
    "some rows": ("(name) WHERE name <> 'Ann, (x'", True, False),
    "other rows": ("(name) WHERE name LIKE 'B%'", False, False),
    "an expression of some rows": (
        "(upper(\"name\") DESC) WHERE (id > 0 AND name NOT IN ('x', ')'))",
        True,
        True,
    ),
}


def sql(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.fixture
def index(request: pytest.FixtureRequest) -> Iterator[None]:
    sql(f'CREATE UNIQUE INDEX "odd (name), WHERE" ON capture_place {INDEXES[request.param][0]}')
    try:
        install()
        yield
    finally:
        sql('DROP INDEX "odd (name), WHERE"')
        install()


@pytest.mark.parametrize("index", INDEXES, indirect=True)
def test_rows_in_the_way_are_logged(index: None, request: pytest.FixtureRequest) -> None:
    *_, same, other_case = INDEXES[request.node.callspec.params["index"]]
    Place.objects.create(pk=1, name="Ann")
    Place.objects.create(pk=2, name="Bob")
    for name, is_in_the_way in (("Ann", same), ("ANN", other_case)):
        entries()
        sql(f"INSERT OR REPLACE INTO capture_place (id, name) VALUES (3, '{name}')")
        assert Place.objects.filter(pk=1).exists() is not is_in_the_way
        assert brief() == ([("1", CHANGE, "")] if is_in_the_way else []) + [("3", ADDITION, "")]
        Place.objects.filter(pk__in=(1, 3)).delete()
        Place.objects.create(pk=1, name="Ann")


@pytest.mark.parametrize("index", ["a column"], indirect=True)
def test_a_row_is_not_in_its_own_way(index: None) -> None:
    place = Place.objects.create(pk=1, name="Ann")
    entries()
    place.name = "Anna"
    place.save()
    Place.objects.create(name="Bob")
    sql("REPLACE INTO capture_place (id, name) VALUES (1, 'Anna')")
    assert sorted(action for _, action, _ in brief()) == [ADDITION, ADDITION, CHANGE]


def test_a_pair_under_the_number_of_another_is_in_its_way() -> None:
    article = Article.objects.create(pk=1)
    article.tags.add(Tag.objects.create(pk=1, slug="a"))
    Tag.objects.create(pk=2, slug="b")
    entries()
    sql(
        "REPLACE INTO capture_article_tags (id, article_id, tag_id) SELECT id, article_id, 2 FROM capture_article_tags"
    )
    assert brief() == [("[1,1]", CHANGE, ""), ("[1,2]", ADDITION, "")]


def test_the_parts_of_an_index_are_found_whatever_its_names_are() -> None:
    assert parts_of(
        'CREATE UNIQUE INDEX "a(b" ON "t,(u" ("x, y" DESC, lower(z), (a + b)) where x = \'(\''
    ) == (
        ['"x, y" DESC', "lower(z)", "(a + b)"],
        "x = '('",
    )
    assert parts_of("CREATE UNIQUE INDEX i ON t (a)") == (["a"], "")
