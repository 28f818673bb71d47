"""Whatever is written in whatever order: each row that is another one afterwards has an entry that says so."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, TypeAlias

import pytest
from django.db import DatabaseError, connection, models, transaction

from synchro.backends import backend_for
from synchro.models import ADDITION, CHANGE, DELETION, ChangeLog
from tests.capture import models as capture
from tests.capture.models import Article, ByText, Tag, Unique
from tests.triggers.clients import engine

pytestmark = pytest.mark.usefixtures("triggers")

#: For whoever looks for more: SYNCHRO_TEST_ROUNDS=50.
ROUNDS = int(os.environ.get("SYNCHRO_TEST_ROUNDS", "1"))
STEPS = 60
MYSQL = engine() in ("mysql", "mariadb")

Place: TypeAlias = tuple[str, str]
Rows: TypeAlias = dict[Place, dict[str, Any]]

WATCHED: list[type[models.Model]] = [Unique, ByText, Tag, Article.tags.through]
#: Of `n` numbers and `s` texts, which may be the same.
STATEMENTS = [
    "INSERT INTO capture_unique (id, code, name) VALUES ({n}, '{n}', '{s}')",
    "INSERT INTO capture_unique (id, code, name) VALUES ({n}, '{n}', '{s}'), ({n}, '{n}', '{s}') "
    + ("ON DUPLICATE KEY UPDATE name = '{s}'" if MYSQL else "ON CONFLICT (code) DO UPDATE SET name = '{s}'"),
    "UPDATE capture_unique SET name = '{s}' WHERE id < {n}",
    "UPDATE capture_unique SET id = id + 1 WHERE id > {n}",
    "UPDATE capture_unique SET id = id - 100, code = name WHERE id > {n}",
    "UPDATE capture_unique SET name = code WHERE id > {n}",
    "DELETE FROM capture_unique WHERE id > {n}",
    "INSERT INTO capture_bytext (code, name) VALUES ('{s}', '{s}')",
    "UPDATE capture_bytext SET code = UPPER(code) WHERE name <> '{s}'",
    "UPDATE capture_bytext SET name = '{s}', code = name",
    "DELETE FROM capture_bytext WHERE code < '{s}'",
    "INSERT INTO capture_tag (id, slug) VALUES ({n}, '{n}')",
    "UPDATE capture_tag SET slug = name FROM capture_unique AS u WHERE u.id = capture_tag.id"
    if not MYSQL
    else "UPDATE capture_tag AS t JOIN capture_unique AS u ON u.id = t.id SET t.slug = u.name, u.name = t.slug",
    "DELETE FROM capture_article_tags WHERE tag_id = {n}",
    "INSERT INTO capture_article_tags (article_id, tag_id) SELECT 1, id FROM capture_tag WHERE id < {n}",
    "UPDATE capture_article_tags SET tag_id = {n} WHERE tag_id = {n}",
    *(["REPLACE INTO capture_unique (id, code, name) VALUES ({n}, '{n}', '{s}')"] if MYSQL else []),
    *(["UPDATE capture_unique SET rowid = rowid + 7 WHERE id > {n}"] if engine() == "sqlite" else []),
    *(["TRUNCATE capture_bytext"] if engine() == "postgresql" else []),
]
if hasattr(models, "DB_CASCADE"):
    WATCHED += [capture.Shelf, capture.Folder]
    STATEMENTS += [
        "INSERT INTO capture_shelf (id, name) VALUES ({n}, '{s}')",
        "INSERT INTO capture_folder (id, shelf_id, inside_id, name) VALUES ({n}, {n}, NULL, '{s}')",
        "INSERT INTO capture_folder (id, shelf_id, inside_id, name) VALUES ({n}, NULL, {n}, '{s}')",
        "UPDATE capture_folder SET inside_id = {n} WHERE id = {n}",
        "UPDATE capture_folder SET shelf_id = {n}, name = '{s}' WHERE id > {n}",
        "DELETE FROM capture_shelf WHERE id = {n}",
        "DELETE FROM capture_folder WHERE id > {n}",
    ]


TEXTS = ["a", "A", "a ", "b", "é", ""]


def filled(statement: str, chance: random.Random) -> str:
    """With a number or a text of chance in each place."""
    return re.sub(
        r"{(.)}",
        lambda found: str(chance.randrange(1, 9) if found[1] == "n" else chance.choice(TEXTS)),
        statement,
    )


def rows() -> Rows:
    return dict(_rows())


def _rows() -> Iterator[tuple[Place, dict[str, Any]]]:
    for model in WATCHED:
        for row in model._base_manager.values():
            name = str(model._meta.model_name)
            if model._meta.auto_created:
                yield (name, f"[{row['article_id']},{row['tag_id']}]"), {}
            else:
                yield (name, str(row.pop(model._meta.pk.name))), row


def entries_by_place() -> dict[Place, list[ChangeLog]]:
    found: dict[Place, list[ChangeLog]] = {}
    for one in ChangeLog.objects.order_by("id"):
        found.setdefault((one.content_type.model, one.object_id), []).append(one)
    return found


def write(chance: random.Random, count: int) -> list[str]:
    """Run so many statements in one transaction, of which some are refused or taken back, and give them."""
    done = []
    with suppress(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        for _ in range(count):
            sql = filled(chance.choice(STATEMENTS), chance)
            done.append(sql)
            with suppress(DatabaseError), transaction.atomic():
                cursor.execute(sql)
                if chance.random() < 0.1:
                    transaction.set_rollback(True)
    return done


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_each_difference_has_its_entry(seed: int) -> None:
    chance = random.Random(f"{engine()} {seed}")
    with backend_for(connection).capture_off():
        Article.objects.create(pk=1)
    changes = 0
    for _ in range(STEPS):
        before = rows()
        ChangeLog.objects.all().delete()
        count = chance.choice([1, 1, 3])
        done = write(chance, count)
        after, found = rows(), entries_by_place()
        for place in before.keys() | after.keys():
            old, new, entries = before.get(place), after.get(place), found.get(place, [])
            if old == new:
                continue
            changes += 1
            actions = {one.action for one in entries}
            if old is None or new is None:
                assert (ADDITION if old is None else DELETION) in actions, (place, done)
            elif count == 1 and actions == {CHANGE}:
                named = {name for one in entries for name in one.fields or ()}
                differing = {name.removesuffix("_id") for name in old if old[name] != new[name]}
                assert named == differing, (place, done)
            else:
                assert actions, (place, done)
    assert changes > STEPS / 4
