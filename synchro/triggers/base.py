"""
Capture by triggers: what a trigger set is, and what each engine's module has to offer.

A `Target` is one table as its triggers see it; `Triggers.compile` makes it into `Trigger` values whose version
is a hash of their SQL, so "is it outdated?" is a comparison with what `Triggers.installed` finds in the
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

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from django.apps import apps
from django.conf import settings
from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.exceptions import NotReady
from synchro.triggers.values import (
    HINT,
    LOG,
    MADE_BY,
    PREFIX,
    Cascade,
    Detail,
    Installed,
    Shape,
    Target,
    Trigger,
    Unique,
    header,
    quoted,
    read_header,
    stem_for,
    stem_of,
    version_of,
)

__all__ = [
    "CASCADE",
    "HINT",
    "LOG",
    "MADE_BY",
    "OPEN",
    "ORPHANED",
    "POWERLESS",
    "PREFIX",
    "SWITCH",
    "SWITCHED_OFF",
    "UNIQUE",
    "Cascade",
    "Detail",
    "Installed",
    "Shape",
    "Target",
    "Trigger",
    "Triggers",
    "Uncapturable",
    "Unique",
    "header",
    "quoted",
    "read_header",
    "stem_for",
    "stem_of",
    "version_of",
]

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
#: How names of triggers end that log what a deletion does to other tables (MySQL, MariaDB).
CASCADE = "_cascade"
#: How names of triggers end that log the rows which are in the way of a new one, on SQLite. They name columns.
UNIQUE = "_unique"


class Uncapturable(NotReady):
    """A table whose key has no text that is the same on every engine, or that lacks what a trigger needs."""


#: What `Triggers.compile` has written in this process.
_written: dict[Hashable, tuple[Trigger, ...]] = {}
MOST_WRITTEN = 10_000


class Triggers(ABC):
    """What differs between the engines, bound to a connection as `synchro.backends.base.Backend` is."""

    #: Whether a new version takes the place of the old one, of the same name, when it is created.
    replaces: bool = False
    #: Whether triggers cannot be exchanged while another transaction has used their table.
    rewriting_waits: bool = False
    #: What writes to a table without its triggers, as a sentence for people.
    blind_spot: str = ""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection

    # -- looking ---------------------------------------------------------------------------------------------

    @abstractmethod
    def shapes(self, tables: Iterable[str]) -> dict[str, Shape]:
        """What there is to know of each of these tables that exists, by as many statements as of one."""

    @abstractmethod
    def installed(self) -> list[Installed]:
        """All triggers of ours in this database."""

    def stems(self) -> set[str]:
        """Return what `Target.stem` is of the tables that have triggers of ours, without a look into these."""
        return {stem_of(one.stem) or one.stem for one in self.installed()}

    def missing_changes(self) -> list[str]:
        """Return the tables that have triggers of a version which does not see the changes of every session."""
        return []

    @abstractmethod
    def shown(self, table: str) -> str:
        """The name of `table` as `Installed.table` has it."""

    def on(self, table: str) -> list[Installed]:
        """
        The triggers of ours on `table`, whatever it was called when they were made, and their functions.
        """
        name, installed = self.shown(table), self.installed()
        stems = {stem_of(one.stem) for one in installed if one.table == name}
        return [one for one in installed if one.table == name or (not one.table and one.stem in stems)]

    def mentions(self, table: str, column: str | None = None) -> frozenset[str]:
        """Names of our triggers that log what the database does by itself, and name `table`, or this column of it."""
        return frozenset()

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Inside, the log itself can be altered. Nobody else's changes are missed."""
        yield

    def has_cascades(self) -> bool:
        """
        Whether deletions done by the database itself fire no trigger, so that the parent's has to see them.
        """
        return False

    def unseen(self, tables: Iterable[str]) -> Iterable[str]:
        """What keeps changes of these tables out of the log although all triggers are there, each as a sentence."""
        return ()

    def blind_spots(self) -> Iterator[str]:
        """Yield what writes to tables of this database without their triggers, each as a sentence."""
        if self.blind_spot:
            yield self.blind_spot

    def is_switched_off(self) -> bool:
        """Whether a switch that a program has left on keeps everybody's changes out of the log."""
        return False

    def switch_on(self) -> None:
        """Take that switch away."""
        return

    def lacking_rights(self, tables: Iterable[str]) -> str:
        """
        Return what this account must be allowed before it makes triggers of these tables, as a sentence.

        Triggers run with its rights: without them every write to the tables would fail.
        """
        return ""

    def is_ready(self) -> bool:
        """Whether this database has the tables of synchro that triggers need."""
        return len(self.shapes((LOG, SWITCH))) == 2

    # -- saying ----------------------------------------------------------------------------------------------

    def compile(self, target: Target) -> tuple[Trigger, ...]:
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
            return tuple(self.write(target))  # of a migration, whose models are not to be kept
        # A process that synchronizes again and again writes them once; all that they depend on is in the key.
        place = tuple(
            str(self.connection.settings_dict.get(name)) for name in ("ENGINE", "HOST", "PORT", "NAME")
        )
        key = (type(self), place, self.connection.timezone_name, settings.USE_TZ, target)
        if key not in _written:
            if len(_written) >= MOST_WRITTEN:
                _written.clear()
            _written[key] = tuple(self.write(target))
        return _written[key]

    @abstractmethod
    def write(self, target: Target) -> Iterator[Trigger]:
        """The triggers of `target`, which is a table."""

    @abstractmethod
    def drop_sql(self, found: Installed) -> str:
        """The statement that removes it; it succeeds where it is gone already."""

    # -- doing -----------------------------------------------------------------------------------------------

    @abstractmethod
    def exchange(
        self,
        create: Sequence[Trigger],
        drop: Sequence[Installed],
        seconds: int,
    ) -> None:
        """
        All or nothing: create these and drop those, waiting no longer than `seconds` for a lock.

        At no moment is a change by somebody else missed.
        """

    def explained(self, error: DatabaseError) -> Exception:
        """`error`, or a `NotReady` that tells what to do about it."""
        return error

    def script(self, statements: Sequence[str]) -> str:
        """The statements as the engine's own command-line client takes them."""
        return "BEGIN;\n" + "".join(f"{statement};\n" for statement in statements) + "COMMIT;\n"

    def hold(self) -> None:
        """Until the end of the open transaction no other process installs or removes triggers in this database."""
        return

    @contextmanager
    def held(self, tables: Iterable[str], seconds: int) -> Iterator[bool]:
        """Inside, nobody else writes to these tables; gives whether this is so."""
        yield False

    @contextmanager
    def alone(self, seconds: int) -> Iterator[None]:
        """Inside, no other process installs or removes triggers in this database."""
        yield
