"""
What some engines can do and others cannot.

Each ability is a protocol, and a flag of `Rows` that says whether an engine has it. The functions at the end give a
backend as one that has the ability, or None.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from django.db.backends.base.base import BaseDatabaseWrapper

if TYPE_CHECKING:
    from synchro.backends.rows import Row, Rows


class RawRows(Protocol):
    """
    Reads and writes rows in a form of the engine's own, of which no values are made.

    A raw row is what `read_raw` gives. Its first column is the key, a whole number.
    """

    @abstractmethod
    def reads_raw_for(self, remote: BaseDatabaseWrapper) -> bool:
        """Return whether raw rows of this database can be written to `remote`, a database of any engine."""

    @abstractmethod
    def read_raw(self, table: str, columns: Sequence[str], keys: Sequence[Row]) -> Sequence[Any]:
        """Return the raw rows with these keys. The first of the `columns` is the key."""

    @abstractmethod
    def raw_keys(self, rows: Sequence[Any]) -> Sequence[str]:
        """Return the keys of raw rows, as the server spells them."""

    @abstractmethod
    def with_raw_keys(self, rows: Sequence[Any], keys: Sequence[int]) -> Sequence[Any]:
        """Return the raw rows with other keys."""

    @abstractmethod
    def raw_numbers(self, rows: Sequence[Any], count: int) -> Sequence[Sequence[int | None]]:
        """Return the first `count` columns of raw rows, which hold whole numbers."""

    @abstractmethod
    def with_raw_numbers(self, rows: Sequence[Any], columns: Sequence[Sequence[int | None]]) -> Sequence[Any]:
        """Return the raw rows with other numbers in their first columns."""

    @abstractmethod
    def insert_raw(self, table: str, columns: Sequence[str], rows: Sequence[Any]) -> None:
        """Do as `Rows.insert` does, with raw rows."""

    @abstractmethod
    def change_raw(self, table: str, columns: Sequence[str], rows: Sequence[Any]) -> list[int]:
        """Do as `Rows.change` does, with raw rows."""


class ReservedKeys(Protocol):
    """Hands out automatic keys before the rows are written."""

    @abstractmethod
    def reserve_keys(self, table: str, column: str, count: int, above: int) -> list[int]:
        """Return `count` new values of an automatic key, greater than `above`, which nobody else will be given."""


def raw_rows(backend: Rows) -> RawRows | None:
    """Return `backend` as one that reads and writes raw rows, or None where it cannot."""
    return cast("RawRows", backend) if backend.supports_raw_rows else None


def reserved_keys(backend: Rows) -> ReservedKeys | None:
    """Return `backend` as one that hands out keys beforehand, or None where it cannot."""
    return cast("ReservedKeys", backend) if backend.supports_reserved_keys else None
