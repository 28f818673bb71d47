"""How rows are read and written on any engine, where it does not say otherwise."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.backends.abilities import reserved_keys
from synchro.backends.digests import Digests
from synchro.backends.server_cascades import ServerCascade, server_cascades_of
from synchro.keys import AnyField

if TYPE_CHECKING:
    from synchro.backends.exact import Reading
    from synchro.backends.narrow import Described


Row: TypeAlias = Sequence[Any]

Convert: TypeAlias = Callable[[Any], Any]

#: The temporary table in which some engines put rows before they update others by them.
INCOMING = "synchro_incoming"


class Unfit(ValueError):
    """A value that the database would change without a word. The text names no value."""


def chunks(rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def whole_range(keys: Sequence[Row]) -> tuple[int, int] | None:
    """The first and the last key, where the keys are all whole numbers from the one to the other."""
    values = {value for (value,) in keys} if keys and len(keys[0]) == 1 else set()
    if len(values) < 3 or set(map(type, values)) != {int}:
        return None
    first, last = min(values), max(values)
    return (first, last) if last - first + 1 == len(values) else None


def quoted(connection: BaseDatabaseWrapper, name: str) -> str:
    """A name as it stands in a statement that binds values, where a percent sign means a place for one."""
    return connection.ops.quote_name(name).replace("%", "%%")


@dataclass(frozen=True)
class PairsTable:
    """A table that holds pairs of numbers in two columns."""

    name: str
    columns: tuple[str, str]
    #: Values that, with the first column, no two rows share, and what else stands in new rows.
    where: Mapping[str, int]
    also: Mapping[str, int]

    @property
    def fixed(self) -> dict[str, int]:
        return {**self.where, **self.also}


class Rows(ABC):
    """What concerns rows and their values, bound to a connection."""

    #: Whether the foreign keys that Django makes are checked only at the end of the transaction.
    defers_foreign_keys: bool
    #: Whether it implements `abilities.ReservedKeys`: keys can be handed out before the rows are written.
    supports_reserved_keys: bool = False
    #: Whether it implements `abilities.RawRows`: rows can be read and written without making values of them.
    supports_raw_rows: bool = False
    #: What makes a SELECT keep its rows from changing until the end of the transaction.
    lock_clause: str = ""
    #: How many values one statement may bind.
    max_values: int = 30_000
    #: SQL for the number of bytes of a value.
    bytes_of: str = "OCTET_LENGTH({})"
    #: The highest number that any column of whole numbers can hold.
    highest_integer: int = 2**64 - 1

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection

    def encoder(self, field: AnyField) -> Convert | None:
        """
        What the driver takes for a value of this field of Django's own, where Django's backend would let the
        database change it without a word: that raises `Unfit`. None where the backend is right.
        """
        return None

    def reading(self, field: AnyField) -> Reading | None:
        """How to read this field of Django's own where the driver would change a value, or give none for it."""
        return None

    def reading_of_type(self, db_type: str | None) -> Reading | None:
        """The same for a field of others, by the type of its column."""
        return None

    def spelled_alike(self, there: BaseDatabaseWrapper) -> str | None:
        """
        SQL in which a column stands for {}, and which gives the same text on both sides for the same value of any type;
        None where there is none such.
        """
        return None

    def equates_texts(self, field: AnyField) -> bool:
        """Whether the column may take texts for equal that are spelled otherwise."""
        return getattr(field, "db_collation", None) is not None

    def describe(self, tables: Sequence[str]) -> Mapping[str, Mapping[str, Described]]:
        """The columns of these tables as the server describes them, where it changes what does not fit into one."""
        return {}

    def longest_statement(self) -> int:
        """How many bytes a statement may have, with its values."""
        return sys.maxsize

    def select(
        self,
        table: str,
        columns: Sequence[str],
        key: Sequence[str],
        keys: Sequence[Row],
        lock: bool = False,
        where: Mapping[str, int] | None = None,
        spelled: Mapping[str, str] | None = None,
    ) -> Iterator[tuple[Any, ...]]:
        """
        The `columns` of the rows whose `key` columns are among `keys`, and in which the columns of `where` have these
        values; with `lock`, kept from changing. Columns are read by the SQL of `spelled`, where that has one.
        """
        spelled = spelled or {}
        names = ", ".join(
            spelled.get(column, "{}").format(quoted(self.connection, column)) for column in columns
        )
        start = f"SELECT {names} FROM {quoted(self.connection, table)} WHERE {self._fixed(where)}"
        for part in chunks(keys, self.key_chunk(len(key))):
            condition, values = self.key_condition(key, part)
            with self.connection.cursor() as cursor:
                cursor.execute(start + condition + (self.lock_clause if lock else ""), values)
                yield from cursor.fetchall()

    def findable(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Those of the rows of values that a statement may look for; nothing in the database equals the others."""
        return rows

    def key_condition(self, key: Sequence[str], keys: Sequence[Row]) -> tuple[str, Sequence[Any]]:
        """SQL, and the values to bind, that picks the rows with these keys."""
        names = ", ".join(quoted(self.connection, column) for column in key)
        if ends := whole_range(keys):
            return f"{names} BETWEEN %s AND %s", ends
        if len(key) == 1:
            return f"{names} IN ({', '.join(['%s'] * len(keys))})", [value for (value,) in keys]
        one = f"({', '.join(['%s'] * len(key))})"
        return f"({names}) IN ({', '.join([one] * len(keys))})", list(chain.from_iterable(keys))

    def _fixed(self, where: Mapping[str, int] | None) -> str:
        return "".join(
            f"{quoted(self.connection, name)} = {value:d} AND " for name, value in (where or {}).items()
        )

    def key_chunk(self, width: int) -> int:
        """How many keys of `width` columns one statement names."""
        return max(1, self.max_values // width)

    def width(
        self,
        table: str,
        columns: Sequence[str],
        key: Sequence[str],
        keys: Sequence[Row],
    ) -> int:
        """How many bytes these columns of the rows with these keys have together."""
        lengths = " + ".join(
            f"COALESCE({self.bytes_of.format(quoted(self.connection, column))}, 0)" for column in columns
        )
        condition, values = self.key_condition(key, keys)
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"SELECT SUM({lengths}) FROM {quoted(self.connection, table)} WHERE {condition}", values
            )
            return int(cursor.fetchone()[0] or 0)

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Insert `rows`. A key or a unique value that is taken already raises Django's `IntegrityError`."""
        with self.connection.cursor() as cursor:
            for part in chunks(rows, max(1, self.max_values // len(columns))):
                cursor.execute(*self.insert_sql(table, columns, part))

    def put_pairs(self, place: PairsTable, pairs: Mapping[int, int]) -> None:
        """
        Have a row for each of these pairs of numbers.

        It takes the place of one with the same first number and the same values of `place.where`.
        """
        first, more = place.columns[:1], place.fixed
        self.delete(place.name, first, [(number,) for number in pairs], place.where)
        rows = [(one, other, *more.values()) for one, other in pairs.items()]
        self.insert(place.name, (*place.columns, *more), rows)

    def insert_sql(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> tuple[str, list[Any]]:
        names = ", ".join(quoted(self.connection, column) for column in columns)
        one = f"({', '.join(['%s'] * len(columns))})"
        sql = f"INSERT INTO {quoted(self.connection, table)} ({names}) VALUES {', '.join([one] * len(rows))}"
        return sql, list(chain.from_iterable(rows))

    #: Asks for what `server_cascades_of` reads.
    server_cascades_sql: str

    @abstractmethod
    def other_columns(self, table: str, known: Sequence[str]) -> list[str]:
        """The columns that the table has besides the `known` ones, but those that the database computes."""

    def is_cascading(self, table: str) -> bool:
        """Whether a foreign key, perhaps one made by hand, has the server touch other rows where one of these goes."""
        return False

    def server_cascades(self) -> list[ServerCascade]:
        """All foreign keys of the database by which the server itself touches the rows that point at others."""
        with self.connection.cursor() as cursor:
            cursor.execute(self.server_cascades_sql)
            return server_cascades_of(cursor.fetchall())

    def insert_returning(
        self, table: str, columns: Sequence[str], rows: Sequence[Row], key: str
    ) -> list[int]:
        """Insert `rows`, which lack the automatic `key`, and return the keys that they were given, in order."""
        reserving = reserved_keys(self)
        assert reserving is not None, f"{type(self).__name__} reserves no keys, so it has to return them."
        keys = reserving.reserve_keys(table, key, len(rows), above=0)
        self.insert(table, (key, *columns), [(new, *row) for new, row in zip(keys, rows, strict=True)])
        return keys

    @abstractmethod
    def update(
        self,
        table: str,
        columns: Sequence[str],
        key: Sequence[str],
        rows: Sequence[Row],
    ) -> int:
        """
        In rows that exist, set the `columns` that are not part of `key`. Each of `rows` has all `columns`. Return how
        many of `rows` exist.
        """

    def _count_present(self, table: str, key: Sequence[str]) -> int:
        """Return how many of the rows of the temporary table `INCOMING` the table has."""
        quote = self.connection.ops.quote_name
        incoming, target = quote(INCOMING), quote(table)
        same = " AND ".join(f"{target}.{quote(c)} = {incoming}.{quote(c)}" for c in key)
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"SELECT count(*) FROM {incoming} WHERE EXISTS (SELECT 1 FROM {target} WHERE {same})"
            )
            return int(cursor.fetchone()[0])

    def change(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[Row],
    ) -> list[int]:
        """
        In the rows that exist set all `columns` but the first, which is their key, a whole number. Return the keys of
        those that do not exist.
        """
        key = columns[:1]
        found = self.select(table, key, key, [row[:1] for row in rows], lock=True)
        there = {number for (number,) in found}
        missing = [row[0] for row in rows if row[0] not in there]
        if len(columns) > 1:
            old = [row for row in rows if row[0] in there] if missing else rows
            self.update(table, columns, key, old)
        return missing

    def delete(
        self,
        table: str,
        key: Sequence[str],
        keys: Sequence[Row],
        where: Mapping[str, int] | None = None,
    ) -> int:
        """Delete the rows with these keys, and with the values of `where`, and return how many there were."""
        count = 0
        start = f"DELETE FROM {quoted(self.connection, table)} WHERE {self._fixed(where)}"
        with self.connection.cursor() as cursor:
            for part in chunks(keys, self.key_chunk(len(key))):
                condition, values = self.key_condition(key, part)
                cursor.execute(start + condition, values)
                count += cursor.rowcount
        return count

    @abstractmethod
    def digests(self, stranger: str) -> Digests:
        """Return what makes hashes of rows; a value that has no common spelling is spelled by `stranger`."""

    def pass_sequence(self, table: str, column: str, highest: int) -> None:  # noqa: B027
        """After explicit keys up to `highest` were written: hand out greater ones from now on."""

    @contextmanager
    def without_foreign_key_checks(self) -> Iterator[None]:
        """Inside, a row may be written before the row that it points at, where that is not so anyway."""
        yield

    def check_uniques_at_once(self, tables: Sequence[str]) -> None:  # noqa: B027
        """In this transaction, have each statement fail by itself that breaks what these tables declare unique."""
