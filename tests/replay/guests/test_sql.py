"""Which rows a statement is about, by its words."""

from __future__ import annotations

from typing import Any

import pytest

from synchro.replay.guests.sql import aim_of

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("sql", "given", "rest", "parameters"),
    [
        ('UPDATE "a" SET "b" = %s WHERE "a"."id" = %s', (1, 2), '"a" WHERE "a"."id" = %s', [2]),
        ("update a set b = b + 1", None, "a ", None),
        ("UPDATE a SET b = %s", [1], "a ", []),
        ("UPDATE `a` SET `b` = (SELECT 1 FROM c WHERE d = %s)", (1,), "`a` ", []),
        ("UPDATE a SET b = '; WHERE', c = %s /* WHERE */ WHERE d IN (%s)", (1, 2), "a WHERE d IN (%s)", [2]),
        ("UPDATE `a` SET b = %s WHERE c = %s ORDER BY d", (1, 2), "`a` WHERE c = %s ", [2]),
        ("UPDATE a SET b = %s WHERE c = %s RETURNING id", (1, 2), "a WHERE c = %s ", [2]),
        ("UPDATE a SET b = '100%%' WHERE c = %s", (2,), "a WHERE c = %s", [2]),
        ("UPDATE a SET b = 1 WHERE c LIKE %s ESCAPE '\\'", ("x%",), "a WHERE c LIKE %s ESCAPE '\\'", ["x%"]),
        ("UPDATE a SET b = %(b)s WHERE c = %(c)s", {"b": 1, "c": 2}, "a WHERE c = %(c)s", {"b": 1, "c": 2}),
        ("UPDATE a SET b = %s WHERE c = %s ; ", (1, 2), "a WHERE c = %s ", [2]),
        ("UPDATE a SET b = '%s' WHERE c = 1", (), "a WHERE c = 1", []),
        ('UPDATE a SET b = rand() WHERE "random" = 1', (), 'a WHERE "random" = 1', []),
        ('DELETE FROM "a"', None, '"a" ', None),
        ('DELETE FROM "a" WHERE "id" IN (%s, %s)', (1, 2), '"a"  WHERE "id" IN (%s, %s)', [1, 2]),
        (
            "DELETE `a` FROM `a` INNER JOIN `b` ON (`a`.`b` = `b`.`id`) WHERE `b`.`c` = %s",
            (1,),
            "`a` INNER JOIN `b` ON (`a`.`b` = `b`.`id`) WHERE `b`.`c` = %s",
            [1],
        ),
    ],
)
def test_rows_of_a_statement_are_found_by_its_own_condition(
    sql: str, given: Any, rest: str, parameters: Any
) -> None:
    aim = aim_of(sql, given)

    assert aim is not None
    assert aim.name == "a"
    assert (" ".join(aim.rest.split()), aim.parameters(given)) == (" ".join(rest.split()), parameters)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO a (b) VALUES (1)",
        "REPLACE INTO a (b) VALUES (1)",
        "UPDATE a AS x SET b = 1",
        "UPDATE a, c SET a.b = 1",
        "UPDATE a JOIN c ON a.c = c.id SET a.b = 1",
        "UPDATE a SET b = c.b FROM c WHERE a.c = c.id",
        "UPDATE a SET b = 1 WHERE c = 1 ORDER BY d LIMIT 1",
        "UPDATE a SET b = 1 LIMIT 1",
        "UPDATE a SET b = 1; UPDATE a SET c = 1",
        "UPDATE a SET b = 'it\\'s' WHERE c = 1",
        "UPDATE a SET b = $$ WHERE $$ WHERE c = 1",
        "UPDATE other.a SET b = 1",
        "UPDATE a SET b = 1 WHERE CURRENT OF c",
        "DELETE FROM a USING c WHERE a.c = c.id",
        "DELETE a, c FROM a JOIN c",
        "WITH x AS (SELECT 1) DELETE FROM a",
        "TRUNCATE a",
    ],
)
def test_nothing_is_said_of_a_statement_whose_rows_its_condition_does_not_tell(sql: str) -> None:
    assert aim_of(sql, None) is None


@pytest.mark.parametrize(
    ("sql", "given"),
    [
        ("UPDATE a SET b = '%s' WHERE c = %s", (1, 2)),  # some drivers replace it within a text too
        ("UPDATE a SET b = %s /* %s */ WHERE c = 1", (1, 2)),
        ("UPDATE a SET b = ? WHERE c = ?", (1, 2)),
        ("UPDATE a SET b = %b WHERE c = %t", (1, 2)),
    ],
)
def test_nothing_is_said_where_it_is_not_known_which_parameters_the_condition_takes(
    sql: str, given: Any
) -> None:
    assert aim_of(sql, given) is None


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE a SET b = 1 WHERE random() < 0.5",
        'DELETE FROM "a" WHERE "id" IN (SELECT U0."id" FROM "a" U0 ORDER BY RAND() ASC LIMIT 3)',
        "DELETE `a` FROM `a` INNER JOIN `b` WHERE rand () < 0.5",
        "UPDATE a SET b = 1 WHERE (@x := @x + 1) < 3",
    ],
)
def test_nothing_is_said_of_a_condition_that_holds_for_other_rows_when_it_is_asked_again(sql: str) -> None:
    assert aim_of(sql, ()) is None
