"""
Capture by triggers: what a trigger set is, and what each engine's module has to offer.

A `Target` is one table as its triggers see it; `Backend.compile` makes it into `Trigger` values whose version
is a hash of their SQL, so "is it outdated?" is a comparison with what `Backend.installed` finds in the
database.

What the triggers write is what `synchro.keys` and `synchro.models` say of an entry:

- ``object_id``: the key in the text of `synchro.keys.to_text`; of an automatic many-to-many table, the pair.
- ``action``: an update of the key is a DELETION of the old and an ADDITION of the new one, so every change of
  a row of an automatic many-to-many table is one of these two.
- ``fields``: of a CHANGE, the names of the fields whose columns changed, and no entry where no synchronized
  column did; NULL where that is not known (while a migration is at work). Of an ADDITION, NULL: all of them.
- ``natural_key``: of a DELETION, a JSON list of the values that the natural key's *columns* had (of a foreign
  key, the raw value): numbers as numbers, NULL as null, everything else as a string that the field's
  ``to_python`` reads. Where the model's own methods make the natural key, an object of JSON with the columns of
  the row by their attributes' names, from which `synchro.natural_rows` makes the object; NULL otherwise.
- ``date``: the database's clock, in UTC.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field

from synchro.exceptions import NotReady

#: How the names of all our triggers and functions begin.
PREFIX = "synchro_"
LOG = "synchro_changelog"
#: SQLite's alone to use; it is in every database, and without it synchro's migrations are not complete.
SWITCH = "synchro_captureswitch"
#: What is wrong with a function that anybody may make a trigger with, and so write to the log.
OPEN = "open to every role"
#: What is wrong with a trigger that runs with the rights of an account which may not do what it does.
POWERLESS = "of an account that may not write to the log, so that every write to the table fails"
#: What is wrong with a trigger that runs with the rights of nobody.
ORPHANED = "of an account that does not exist any more, so that every write to the table fails"
#: What to say where a switch that is on for one statement has been left on for everybody.
SWITCHED_OFF = (
    "Capture is switched off in the database {!r}, for everybody: a program that does not enforce foreign keys has "
    "left a row in synchro_captureswitch. What is changed meanwhile is not in the log. Run 'manage.py "
    "synchro_install_triggers', and compare both databases."
)
#: How the text of a trigger, or of a function, of ours tells that it is one.
MADE_BY = "Made by django-synchro, version "
#: How names of triggers end that log what a deletion does to other tables (MySQL, MariaDB).
CASCADE = "_cascade"
#: How names of triggers end that log the rows which are in the way of a new one, on SQLite. They name columns.
UNIQUE = "_unique"
HINT = "To remove it: manage.py synchro_install_triggers --uninstall"

_STEM = re.compile(r"synchro_[a-z0-9_]*_[0-9a-f]{8}(?=[_:]|$)")
_VERSION = re.compile(rf"{MADE_BY}([0-9a-f]{{10}}), content type ([0-9]+)")


class Uncapturable(NotReady):
    """A table whose key has no text that is the same on every engine, or that lacks what a trigger needs."""


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


#: What `Backend.compile` has written in this process.
_written: dict[Hashable, tuple[Trigger, ...]] = {}
MOST_WRITTEN = 10_000


class Backend(ABC):
    """What differs between the engines. Everything takes Django's connection."""

    #: Whether a new version takes the place of the old one, of the same name, when it is created.
    replaces: bool = False
    #: Whether triggers cannot be exchanged while another transaction has used their table.
    rewriting_waits: bool = False
    #: What writes to a table without its triggers, as a sentence for people.
    blind_spot: str = ""

    # -- looking ---------------------------------------------------------------------------------------------

    @abstractmethod
    def shapes(self, connection: BaseDatabaseWrapper, tables: Iterable[str]) -> dict[str, Shape]:
        """What there is to know of each of these tables that exists, by as many statements as of one."""

    @abstractmethod
    def installed(self, connection: BaseDatabaseWrapper) -> list[Installed]:
        """All triggers of ours in this database."""

    def stems(self, connection: BaseDatabaseWrapper) -> set[str]:
        """Return what `Target.stem` is of the tables that have triggers of ours, without a look into these."""
        return {stem_of(one.stem) or one.stem for one in self.installed(connection)}

    def missing_changes(self, connection: BaseDatabaseWrapper) -> list[str]:
        """Return the tables that have triggers of a version which does not see the changes of every session."""
        return []

    @abstractmethod
    def shown(self, connection: BaseDatabaseWrapper, table: str) -> str:
        """The name of `table` as `Installed.table` has it."""

    def on(self, connection: BaseDatabaseWrapper, table: str) -> list[Installed]:
        """
        The triggers of ours on `table`, whatever it was called when they were made, and their functions.
        """
        name, installed = self.shown(connection, table), self.installed(connection)
        stems = {stem_of(one.stem) for one in installed if one.table == name}
        return [one for one in installed if one.table == name or (not one.table and one.stem in stems)]

    def mentions(
        self, connection: BaseDatabaseWrapper, table: str, column: str | None = None
    ) -> frozenset[str]:
        """Names of our triggers that log what the database does by itself, and name `table`, or this column of it."""
        return frozenset()

    @contextmanager
    def suspended(self, connection: BaseDatabaseWrapper) -> Iterator[None]:
        """Inside, the log itself can be altered. Nobody else's changes are missed."""
        yield

    def has_cascades(self) -> bool:
        """
        Whether deletions done by the database itself fire no trigger, so that the parent's has to see them.
        """
        return False

    def unseen(self, connection: BaseDatabaseWrapper, tables: Iterable[str]) -> Iterable[str]:
        """What keeps changes of these tables out of the log although all triggers are there, each as a sentence."""
        return ()

    def is_switched_off(self, connection: BaseDatabaseWrapper) -> bool:
        """Whether a switch that a program has left on keeps everybody's changes out of the log."""
        return False

    def switch_on(self, connection: BaseDatabaseWrapper) -> None:
        """Take that switch away."""
        return

    def lacking_rights(self, connection: BaseDatabaseWrapper, tables: Iterable[str]) -> str:
        """
        Return what this account must be allowed before it makes triggers of these tables, as a sentence.

        Triggers run with its rights: without them every write to the tables would fail.
        """
        return ""

    def is_ready(self, connection: BaseDatabaseWrapper) -> bool:
        """Whether this database has the tables of synchro that triggers need."""
        return len(self.shapes(connection, (LOG, SWITCH))) == 2

    # -- saying ----------------------------------------------------------------------------------------------

    def compile(self, connection: BaseDatabaseWrapper, target: Target) -> tuple[Trigger, ...]:
        """
        The triggers of `target`, in the order in which they are created. The database is not asked.

        Raises `Uncapturable`.
        """
        if not target.shape.is_table:
            raise Uncapturable(
                f"{target.label} is a view, or something else that is no table: it fires no triggers. Watch the "
                "models of the tables behind it, or use SYNCHRO_CAPTURE = 'signals'."
            )
        if target.key[0].model._meta.apps is not apps:
            return tuple(self.write(connection, target))  # of a migration, whose models are not to be kept
        # A process that synchronizes again and again writes them once; all that they depend on is in the key.
        place = tuple(str(connection.settings_dict.get(name)) for name in ("ENGINE", "HOST", "PORT", "NAME"))
        key = (type(self), place, connection.timezone_name, settings.USE_TZ, target)
        if key not in _written:
            if len(_written) >= MOST_WRITTEN:
                _written.clear()
            _written[key] = tuple(self.write(connection, target))
        return _written[key]

    @abstractmethod
    def write(self, connection: BaseDatabaseWrapper, target: Target) -> Iterator[Trigger]:
        """The triggers of `target`, which is a table."""

    @abstractmethod
    def drop_sql(self, found: Installed) -> str:
        """The statement that removes it; it succeeds where it is gone already."""

    # -- doing -----------------------------------------------------------------------------------------------

    @abstractmethod
    def exchange(
        self,
        connection: BaseDatabaseWrapper,
        create: Sequence[Trigger],
        drop: Sequence[Installed],
        seconds: int,
    ) -> None:
        """
        All or nothing: create these and drop those, waiting no longer than `seconds` for a lock.

        At no moment is a change by somebody else missed.
        """

    def explained(self, error: DatabaseError, connection: BaseDatabaseWrapper) -> Exception:
        """`error`, or a `NotReady` that tells what to do about it."""
        return error

    def script(self, statements: Sequence[str]) -> str:
        """The statements as the engine's own command-line client takes them."""
        return "BEGIN;\n" + "".join(f"{statement};\n" for statement in statements) + "COMMIT;\n"

    def hold(self, connection: BaseDatabaseWrapper) -> None:
        """Until the end of the open transaction no other process installs or removes triggers in this database."""
        return

    @contextmanager
    def held(self, connection: BaseDatabaseWrapper, tables: Iterable[str], seconds: int) -> Iterator[bool]:
        """Inside, nobody else writes to these tables; gives whether this is so."""
        yield False

    @contextmanager
    def alone(self, connection: BaseDatabaseWrapper, seconds: int) -> Iterator[None]:
        """Inside, no other process installs or removes triggers in this database."""
        yield


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
