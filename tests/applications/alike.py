"""
Whether two databases hold the same rows where each numbers its own: whatever the keys, the same points at the same.

A row is what it holds besides keys, and the rows that it points at, some steps deep. So rows are told apart by what is
in them, and tables are compared as the rows that they have, each as often as it is there.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tests.applications.compare import Column, Contents
from tests.applications.databases import Database, Postgresql, Row

#: How many steps away a row may be that tells two others apart.
STEPS = 6


@dataclass(frozen=True)
class Pointers:
    """Which columns are keys: of their own rows, and of others, by table and column."""

    #: The primary key of each table, and whether the database hands it out.
    own: Mapping[str, tuple[str, bool]]
    others: Mapping[Column, str]
    #: Generic foreign keys: the column of the content type, by that of the key.
    generic: Mapping[Column, str]
    #: Keys of rows that have no identity.
    ignored: Collection[Column] = ()


def unlike(
    local: Database, remote: Postgresql, without: Collection[str], pointers: Pointers, tables: Collection[str]
) -> list[str]:
    """In words, for each of the tables: how many rows only one side has."""
    ours, theirs = (_colours(Contents(one, remote, without).tables, pointers) for one in (local, remote))
    lines = []
    for table in sorted(tables):
        one, other = ours[table], theirs[table]
        for row in (one - other).elements():
            lines.append(f"{table}: only LOCAL has a row like {row[1]}")
        for row in (other - one).elements():
            lines.append(f"{table}: only REMOTE has a row like {row[1]}")
    return lines


def _colours(tables: Mapping[str, list[Row]], pointers: Pointers) -> dict[str, Counter[tuple[str, str]]]:
    """Of each table: its rows, each as a hash of all that can be seen from it, and what is in it."""
    plain = {table: [_plain(table, row, pointers) for row in rows] for table, rows in tables.items()}
    colours = {table: [_hash(values) for values in rows] for table, rows in plain.items()}
    for _step in range(STEPS):
        places = {
            (table, str(row[pointers.own[table][0]])): colours[table][number]
            for table, rows in tables.items()
            for number, row in enumerate(rows)
            if table in pointers.own and pointers.own[table][0] in row
        }
        colours = {
            table: [
                _hash([plain[table][number], *_seen(table, row, pointers, places)])
                for number, row in enumerate(rows)
            ]
            for table, rows in tables.items()
        }
    return {table: Counter(zip(colours[table], map(str, plain[table]), strict=True)) for table in tables}


def _plain(table: str, row: Row, pointers: Pointers) -> list[tuple[str, Any]]:
    return [
        (name, row[name])
        for name in sorted(row)
        if pointers.own.get(table) != (name, True)
        and (table, name) not in {*pointers.others, *pointers.generic, *pointers.ignored}
    ]


def _seen(
    table: str, row: Row, pointers: Pointers, places: Mapping[tuple[str, str], str]
) -> list[tuple[str, str | None]]:
    found = []
    for name, value in sorted(row.items()):
        if (table, name) in pointers.generic:
            target = str(row[pointers.generic[table, name]]).replace(".", "_")
        elif (table, name) in pointers.others:
            target = pointers.others[table, name]
        else:
            continue
        found.append((name, None if value is None else places.get((target, str(value)), "nowhere")))
    return found


def _hash(values: object) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()
