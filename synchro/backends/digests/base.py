"""
The interface of an engine's digests.

A row becomes one text, in which each value is spelled alike on all engines. Its digest is the first 60 bits of SHA-256,
which every engine has. Two rows with the same digest are equal. Two rows with different digests may still be equal,
where an engine spells one value in several ways; whoever asks compares these rows by their values.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.keys import INTEGERS, TEXTS, AnyField, column_field

#: How many hexadecimal digits of a hash are taken: as many as a signed number of 64 bits holds.
DIGITS = 15
#: How many columns one number tells the NULLs of.
MASKED = 50


class Kind(Enum):
    """What kind of values a column holds."""

    INTEGER = auto()
    BOOLEAN = auto()
    TEXT = auto()
    UUID = auto()
    DECIMAL = auto()
    FLOAT = auto()
    DATE = auto()
    TIME = auto()
    DATETIME = auto()
    DURATION = auto()
    BINARY = auto()
    ADDRESS = auto()
    JSON = auto()


_KINDS = {
    **dict.fromkeys(INTEGERS, Kind.INTEGER),
    **dict.fromkeys(TEXTS, Kind.TEXT),
    "BooleanField": Kind.BOOLEAN,
    "UUIDField": Kind.UUID,
    "DecimalField": Kind.DECIMAL,
    "FloatField": Kind.FLOAT,
    "DateField": Kind.DATE,
    "TimeField": Kind.TIME,
    "DateTimeField": Kind.DATETIME,
    "DurationField": Kind.DURATION,
    "BinaryField": Kind.BINARY,
    "GenericIPAddressField": Kind.ADDRESS,
    "JSONField": Kind.JSON,
}


def kind_of(field: AnyField) -> Kind | None:
    """Return the kind of the values of a field whose column is of one of Django's own types; None for another type."""
    return _KINDS.get(column_field(field).get_internal_type())


@dataclass(frozen=True)
class ColumnType:
    """The type of a column as the server names it."""

    name: str
    #: How many digits of a second it keeps.
    precision: int | None = None
    #: The character set of its texts.
    charset: str | None = None
    #: Whether its collation takes only texts of the same bytes for equal.
    is_exact: bool = True


@dataclass(frozen=True)
class Column:
    """A column that a digest is made of."""

    #: SQL of its value, in which percent signs are doubled.
    sql: str
    #: None for a column that the server does not know.
    type: ColumnType | None = None
    #: None where its values are spelled alike nowhere.
    kind: Kind | None = None
    #: Of a decimal.
    digits: int | None = None
    places: int | None = None
    #: Whether the SQL is that of a text which is the same on all engines, with no comma in it.
    is_spelled: bool = False


class Digests(ABC):
    """SQL of digests, for one connection."""

    #: About how many rows one statement is to read, so that it ends within seconds.
    rows_at_once = 2**20
    #: A column of numbers by which statements are divided where writers wait for each one; None where nobody waits.
    row_number: str | None = None
    #: SQL that makes text of a whole number, and a number of its text.
    as_text: str
    as_number: str
    #: SQL that is true or false, as the number 1 or 0.
    as_bit = "({})"

    def __init__(self, connection: BaseDatabaseWrapper, stranger: str) -> None:
        self.connection = connection
        #: SQL of a text in place of a value that is spelled in no common way. It differs between two databases that are
        #: compared, so that such a value is equal to nothing.
        self.stranger = f"'?{stranger}'"

    @contextmanager
    def session(self) -> Iterator[None]:
        """Inside, the server spells values as `row` expects it."""
        yield

    @abstractmethod
    def types(self, table: str) -> Mapping[str, ColumnType]:
        """Return the types of the table's columns, by their names in lower case."""

    @abstractmethod
    def spelled(self, column: Column) -> Sequence[str] | None:
        """
        Return SQL of texts, or of numbers, that together spell the value as every engine spells it; all are NULL where
        the value is.

        No value's spelling can be taken for that of another value, whatever follows a comma after it. None where the
        engine has no such SQL for the column.
        """

    @abstractmethod
    def joined(self, parts: Sequence[str]) -> str:
        """Return SQL of one text with commas between the `parts`, without those that are NULL."""

    @abstractmethod
    def hashed(self, text: str) -> str:
        """Return SQL of a number, not negative, of the first bits of SHA-256 of a text in UTF-8."""

    @abstractmethod
    def combined(self, number: str) -> str:
        """Return SQL of the bitwise exclusive or of the numbers of several rows."""

    @abstractmethod
    def part_of_range(self, number: str, first: int, step: int, last: int) -> str:
        """Return SQL that says in which part of the range from `first` to `last`, each `step` numbers, `number` is."""

    def part_of_all(self, number: str, parts: int) -> str:
        """Return SQL that spreads numbers evenly over `parts` parts."""
        return f"ABS({number} %% {parts})"

    def row(self, columns: Sequence[Column]) -> str:
        """Return SQL of the digest of a row, or of a number that no digest is where the server cannot compute it."""
        return self.hashed(self.text(columns))

    def text(self, columns: Sequence[Column]) -> str:
        """Return SQL of the text of a row."""
        parts: list[str] = []
        for column in columns:
            spelled = (column.sql,) if column.is_spelled else self.spelled(column)
            parts += spelled if spelled is not None else [self._strange(column.sql)]
        masks = [self._nulls(columns[at : at + MASKED]) for at in range(0, len(columns), MASKED)]
        return self.joined([*parts, *masks])

    def _strange(self, sql: str) -> str:
        return f"CASE WHEN {sql} IS NOT NULL THEN {self.stranger} END"

    def _nulls(self, columns: Sequence[Column]) -> str:
        """Return SQL of a number that says which of the columns are NULL."""
        return " + ".join(
            f"{1 << place} * {self.as_bit.format(f'{column.sql} IS NULL')}"
            for place, column in enumerate(columns)
        )

    def own_row(
        self,
        columns: Sequence[Column],
        there: Sequence[Column],
        number: str | None,
        text: str,
        other: BaseDatabaseWrapper,
    ) -> str | None:
        """
        Return SQL of a digest that only servers of this kind have.

        None where it is not the same in the database `other`, in which the columns are as they are in `there`.

        `number` and `text` are SQL of the row's key; the number need not be among the columns.
        """
        return None


def zone_of(connection: BaseDatabaseWrapper) -> str | None:
    """
    Return the time zone in which moments are spelled alike on all engines.

    None where the database keeps them in another one.
    """
    if not settings.USE_TZ:
        return connection.timezone_name
    if connection.features.supports_timezones or connection.timezone_name == "UTC":
        return "UTC"
    return None


def literal(text: Any) -> str:
    """Return a text of ours as SQL, for a statement that binds values."""
    return "'" + str(text).replace("'", "''").replace("%", "%%") + "'"
