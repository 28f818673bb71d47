"""What is said of tables and of their triggers, and by which names and words these are known."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field

#: How the names of all our triggers and functions begin.
PREFIX = "synchro_"
LOG = "synchro_changelog"
#: How the text of a trigger, or of a function, of ours tells that it is one.
MADE_BY = "Made by django-synchro, version "
HINT = "To remove it: manage.py synchro_install_triggers --uninstall"

_STEM = re.compile(r"synchro_[a-z0-9_]*_[0-9a-f]{8}(?=[_:]|$)")
_VERSION = re.compile(rf"{MADE_BY}([0-9a-f]{{10}}), content type ([0-9]+)")


class Detail(Enum):
    """How much of the table a trigger names."""

    #: Key and columns: entries say which fields changed.
    COLUMNS = "columns"
    #: Only the key, so that a migration may do anything to the other columns: the fields are not known.
    KEY = "key"


@dataclass(frozen=True)
class Shape:
    """What a database says of a table: all that has to be asked before its triggers are written."""

    #: In lower case.
    columns: frozenset[str] = frozenset()
    #: Its name as `Installed.table` has it.
    shown: str = ""
    #: Views have no triggers that fire after a write.
    is_table: bool = True
    #: PostgreSQL: it has partitions, and it is one.
    is_partitioned: bool = False
    is_part: bool = False
    #: PostgreSQL: it is written in ways at which only triggers for each row fire.
    by_row: bool = False
    #: PostgreSQL: a subscription writes to it, in a session that fires only triggers that always fire.
    is_subscribed: bool = False
    #: PostgreSQL: this role may do what the owner of the table may, such as have a trigger always fire.
    is_owned: bool = False
    #: PostgreSQL: where the log is.
    schema: str = ""
    #: MariaDB: those that can be compared by a collation that takes every byte for what it is.
    exact: frozenset[str] = frozenset()
    #: PostgreSQL: the columns with their numbers, of which a new column gets the next.
    numbers: frozenset[tuple[str, int]] = frozenset()
    #: PostgreSQL: the number by which it knows a table with triggers for each row.
    number: int = 0
    #: PostgreSQL: generated columns that are not stored, with their expressions.
    virtual: frozenset[tuple[str, str]] = frozenset()
    #: SQLite: what the table declares unique, but for its key.
    uniques: tuple[Unique, ...] = ()


@dataclass(frozen=True)
class Unique:
    """Columns, or expressions, of which no two rows of a table have the same values."""

    #: Each in SQL of the engine, with the collation that compares its values.
    terms: tuple[tuple[str, str], ...]
    #: The columns in lower case; empty where an expression hides them.
    columns: tuple[str, ...]
    #: Which rows are meant, in SQL; empty for all.
    condition: str = ""


@dataclass(frozen=True)
class Target:
    """A table, and what its triggers have to know of it."""

    label: str
    table: str
    #: None for a table that is not watched itself, but whose deletions reach watched ones.
    content_type: int | None
    key: tuple[Field[Any, Any], ...]
    #: The synchronized columns other than the key.
    columns: tuple[Field[Any, Any], ...] = ()
    #: What the entry of a deletion holds for the natural key, and whether by the names of the columns.
    natural: tuple[Field[Any, Any], ...] = ()
    is_natural_named: bool = False
    detail: Detail = Detail.COLUMNS
    shape: Shape = Shape()
    #: What the database itself does to other rows when one of these is deleted, and when one of those is, and
    #: so on.
    cascades: tuple[Cascade, ...] = ()

    @property
    def stem(self) -> str:
        return stem_for(self.table)

    @property
    def tables(self) -> tuple[str, ...]:
        """Those whose columns its triggers name."""
        others = (end.table for cascade in self.cascades for end in (cascade.parent, cascade.child))
        return tuple(dict.fromkeys([self.table, *others]))


@dataclass(frozen=True)
class Cascade:
    """A foreign key by which the database itself deletes rows, or sets a column to NULL."""

    parent: Target
    child: Target
    #: The foreign key, and the field of the parent that it points at.
    source: Field[Any, Any]
    target: Field[Any, Any]
    deletes: bool


@dataclass(frozen=True)
class Trigger:
    """One trigger (on PostgreSQL also the function that its table's triggers share), ready to be created."""

    #: What stays the same from version to version, and the name that this version has in the database.
    stem: str
    name: str
    version: str
    sql: str


@dataclass(frozen=True)
class Installed:
    """A trigger, or a function of ours, found in the database."""

    stem: str
    name: str
    version: str
    content_type: int | None
    #: As SQL names it, quoted; empty for a function of PostgreSQL.
    table: str
    enabled: bool = True
    #: Whether it is of a version that does not see the changes of every session.
    misses_changes: bool = False
    #: Of what logs updates: the columns whose changes it sees, in lower case; None where it sees those of all.
    knows: frozenset[str] | None = None
    #: PostgreSQL: it also sees the changes of columns with a higher number.
    sees_above: int | None = None
    #: What makes it again, on engines that do not undo its removal.
    sql: str = ""
    #: The partition on which it is disabled.
    place: str = ""
    #: What else is wrong with it.
    flaw: str = ""

    def unknown(self, target: Target) -> list[str]:
        """Return the synchronized columns whose changes it does not see."""
        if self.knows is None:
            return []
        numbers = dict(target.shape.numbers)
        columns = [
            str(field.column) for field in target.columns if str(field.column).lower() not in self.knows
        ]
        above = self.sees_above
        return [name for name in columns if above is None or numbers.get(name.lower(), 0) <= above]


def version_of(parts: Iterable[str]) -> str:
    return blake2b("\0".join(parts).encode(), digest_size=5).hexdigest()


def header(target: Target, version: str) -> tuple[str, str]:
    """The two lines that each trigger begins with. `read_header` finds in them what it needs to know."""
    # A label is made of Python's names; the table's own name could end a comment.
    return (
        f"{MADE_BY}{version}, content type {target.content_type or 0}: {target.label}",
        HINT,
    )


def read_header(text: str) -> tuple[str, int | None]:
    """Version and content type that a trigger's text tells; an empty version where it tells none."""
    found = _VERSION.search(text)
    return (found[1], int(found[2]) or None) if found else ("", None)


@lru_cache(maxsize=10_000)
def stem_for(table: str) -> str:
    """
    What the names of the triggers of `table` begin with: readable, and distinct whatever the table's name.
    """
    digest = blake2b(table.encode(), digest_size=4).hexdigest()
    readable = re.sub(r"[^a-z0-9]+", "_", table.lower())[:24].strip("_")
    return f"{PREFIX}{readable}_{digest}"


def stem_of(name: str) -> str | None:
    """The stem of the name of a trigger of ours, None for anybody else's."""
    found = _STEM.match(name)
    return found[0] if found else None


def quoted(connection: BaseDatabaseWrapper, field: Field[Any, Any]) -> str:
    assert field.column is not None
    return connection.ops.quote_name(field.column)
