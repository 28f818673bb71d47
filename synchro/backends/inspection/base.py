"""The questions that every engine answers in its own SQL."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

#: Names of this machine.
OWN_HOSTS = frozenset(("", "localhost", "127.0.0.1", "::1"))


@dataclass(frozen=True)
class Column:
    """What a column can hold. None, or False, says that the database sets no limit of this kind."""

    #: The name of its type, in lower case.
    kind: str
    is_nullable: bool = True
    #: Whether the database gives it a value where an INSERT leaves it out.
    is_filled: bool = False
    #: The whole numbers that it holds.
    lowest: int | None = None
    highest: int | None = None
    #: The digits of a number before and after the point; those of a second.
    whole: int | None = None
    places: int | None = None
    fraction: int | None = None
    #: How many characters, and how many bytes.
    length: int | None = None
    octets: int | None = None
    #: Between which moments.
    since: str | None = None
    until: str | None = None
    #: The last character of Unicode that it holds.
    last_character: int | None = None
    #: Whether a number must be finite, and whether it is kept in single precision.
    is_finite: bool = False
    is_single: bool = False
    #: Whether it takes no text with the character NUL.
    refuses_nul: bool = False
    #: The collation of a text; whether it takes texts for equal that are spelled otherwise.
    collation: str | None = None
    is_loose: bool = False


class Inspection(ABC):
    """What asks one database. Methods that return SQL are given a column as SQL, and return a condition."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection

    # -- what there is -----------------------------------------------------------------------------------------

    @abstractmethod
    def columns(self, tables: Sequence[str]) -> Mapping[str, Mapping[str, Column]]:
        """Return the columns of these tables, by the names of both; a table that is not there is left out."""

    @abstractmethod
    def size(self, tables: Sequence[str]) -> int | None:
        """Return how many bytes these tables take, as the database estimates; None where it does not tell."""

    @abstractmethod
    def folder(self) -> str | None:
        """Return the folder of the database's files; None where the database does not tell."""

    @abstractmethod
    def last_key(self, table: str, column: str) -> int:
        """Return the highest key that the database has handed out for this column; 0 where there is none."""

    @abstractmethod
    def hand_out_above(self, table: str, column: str, highest: int) -> None:
        """Have the next key of this column be higher than `highest`."""

    def free(self) -> int | None:
        """Return how many bytes are free on the database's disk, where that is a disk of this machine."""
        folder = self.folder() if self.connection.settings_dict.get("HOST", "") in OWN_HOSTS else None
        if folder is None:
            return None
        try:
            found = os.statvfs(folder)
        except OSError:
            return None  # another machine's, by a tunnel, or a container's
        return found.f_bavail * found.f_frsize

    def by_collation(self, sql: str, column: Column) -> str:
        """Return the column as SQL by which equal values of it are grouped, in a table that a query has made."""
        return sql

    # -- values of LOCAL that another database does not hold ----------------------------------------------------

    def longer(self, column: str, length: int) -> str:
        return f"CHAR_LENGTH({column}) > {int(length)}"

    def larger(self, column: str, octets: int) -> str:
        return f"OCTET_LENGTH({column}) > {int(octets)}"

    def outside(self, column: str, lowest: int, highest: int) -> str:
        return f"({column} < {int(lowest)} OR {column} > {int(highest)})"

    def too_many_digits(self, column: str, whole: int) -> str:
        return f"ABS({column}) >= 1{'0' * whole}"

    def too_many_places(self, column: str, places: int) -> str:
        return f"{column} <> ROUND({column}, {int(places)})"

    def before_or_after(self, column: str, since: str, until: str) -> str:
        return f"({column} < '{since}' OR {column} > '{until}')"

    @abstractmethod
    def finer(self, column: str, digits: int) -> str:
        """SQL for: the moment has more digits of a second than `digits`."""

    @abstractmethod
    def beyond(self, column: str, character: int) -> str:
        """SQL for: the text has a character behind this one."""

    def has_nul(self, column: str) -> str | None:
        """SQL for: the text has the character NUL. None where no text of this database has."""
        return None

    def json_has_nul(self, column: str) -> str | None:
        """SQL for: a text in the JSON value has the character NUL. None where no value of this database has."""
        return None

    def is_infinite(self, column: str) -> str | None:
        """SQL for: the number is infinite, or none. None where no number of this database is."""
        return None

    def is_double(self, column: str) -> str | None:
        """SQL for: the number changes in single precision. None where the database cannot tell."""
        return None

    def is_no_moment(self, column: str, kind: str) -> str | None:
        """SQL for: the value of this kind of field is no date or time that Python has. None where none can be."""
        return None

    def is_no(self, column: str, kind: str) -> str | None:
        """SQL for: the value cannot be that of a field of this kind, whose column takes it all the same."""
        return None

    # -- asking ------------------------------------------------------------------------------------------------

    def row(self, sql: str, values: Sequence[Any] | None = None) -> tuple[Any, ...]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values)
            found: tuple[Any, ...] = cursor.fetchone()
        return found

    def rows(self, sql: str, values: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values)
            found: list[tuple[Any, ...]] = cursor.fetchall()
        return found

    def setting(self, sql: str) -> str | None:
        """Return what a statement says that not every account may ask."""
        try:
            return str(self.row(sql)[0])
        except DatabaseError:
            return None


#: The UUID of Django where a database has no type for it.
HEXADECIMAL = "^[0-9a-fA-F]{32}$"
#: In JSON, an escaped NUL after no backslash or after pairs of them.
JSON_NUL = r"(^|[^\\])(\\\\)*\\u0000"
