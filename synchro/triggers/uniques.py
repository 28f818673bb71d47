"""
What a table of SQLite declares unique: REPLACE takes away the rows that are in its way, and fires no trigger for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from synchro.triggers.base import Unique

#: Rows of a unique index: table, index, number of the column (-2 for an expression), name, collation, SQL.
QUERY = """
    SELECT m.name, l.name, x.cid, x.name, x.coll, i.sql
    FROM sqlite_master AS m, pragma_index_list(m.name) AS l, pragma_index_xinfo(l.name) AS x
    LEFT JOIN sqlite_master AS i ON i.type = 'index' AND i.name = l.name
    WHERE m.type = 'table' AND l."unique" = 1 AND l.origin <> 'pk' AND x.key = 1
    UNION ALL
    SELECT m.name, '', x.cid, x.name, 'BINARY', NULL
    FROM sqlite_master AS m, pragma_table_xinfo(m.name) AS x WHERE m.type = 'table' AND x.pk > 0
"""
EXPRESSION = -2

_QUOTES = {"'": "'", '"': '"', "`": "`", "[": "]"}
_CONDITION = re.compile(r"\s*WHERE\s+(.*)", re.IGNORECASE | re.DOTALL)
_DIRECTION = re.compile(r"\s+(ASC|DESC)\s*$", re.IGNORECASE)
_COLLATION = re.compile(r"\s+COLLATE\s+\S+\s*$", re.IGNORECASE)


def uniques_of(cursor: Any) -> dict[str, tuple[Unique, ...]]:
    """What each table, by its name in lower case, declares unique, its primary key included."""
    cursor.execute(QUERY)
    indexes: dict[tuple[str, str], list[tuple[int, str | None, str, str | None]]] = {}
    for table, index, *column in cursor.fetchall():
        indexes.setdefault((table.lower(), index), []).append(tuple(column))
    found: dict[str, tuple[Unique, ...]] = {}
    for (table, _index), columns in sorted(indexes.items()):
        found[table] = (*found.get(table, ()), _unique(columns))
    return found


def _unique(columns: list[tuple[int, str | None, str, str | None]]) -> Unique:
    sql = columns[0][3]
    expressions, condition = parts_of(sql) if sql else ([], "")
    terms, names = [], []
    for place, (number, name, collation, _sql) in enumerate(columns):
        if name is None or number == EXPRESSION:
            terms.append((_plain(expressions[place]), collation))
        else:
            terms.append((_quoted(name), collation))
            names.append(name.lower())
    is_hidden = len(names) < len(terms) or bool(condition)
    return Unique(tuple(terms), () if is_hidden else tuple(names), condition)


def parts_of(sql: str) -> tuple[list[str], str]:
    """The terms of a statement that makes an index, and its condition, empty where it has none."""
    parts, depth, start, end = [], 0, 0, len(sql)
    for place, character in _outside_quotes(sql):
        if character == "(":
            depth += 1
            if depth == 1:
                start = place + 1
        elif character == ")":
            depth -= 1
        if depth == (1 if character == "," else 0) and character in ",)":
            parts.append(sql[start:place].strip())
            start = place + 1
            if depth == 0:
                end = place + 1
                break
    condition = _CONDITION.match(sql[end:])
    return parts, condition[1].strip() if condition is not None else ""


def _outside_quotes(sql: str) -> Iterator[tuple[int, str]]:
    closing = ""
    for place, character in enumerate(sql):
        if closing:
            closing = "" if character == closing else closing
        elif character in _QUOTES:
            closing = _QUOTES[character]
        else:
            yield place, character


def _plain(term: str) -> str:
    return _COLLATION.sub("", _DIRECTION.sub("", term))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
