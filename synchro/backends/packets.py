"""Packets: how many rows fit into one statement that MySQL and MariaDB take (`max_allowed_packet`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.translation import gettext as _

from synchro.backends.rows import Row, Unfit

#: What a statement has besides its rows: names of columns, at most a thousand of sixty-four characters, and more.
REST = 128 * 1024
#: Of a value that is neither a text nor bytes, and of what stands around each value.
NUMBER, AROUND = 40, 12


def fitting(
    connection: BaseDatabaseWrapper, rows: Sequence[Row], most_rows: int, packet: int
) -> Iterator[Sequence[Row]]:
    """
    The rows in parts that statements can hold, in their order.

    Raises `Unfit` for a row that no statement can.
    """
    room = max(1, packet - REST)
    start = size = 0
    for place, row in enumerate(rows):
        length = sum(map(_most_bytes, row))
        if place > start and (size + length > room or place - start == most_rows):
            yield rows[start:place]
            start, size = place, 0
        if length > room and _bytes(connection, row) > room:
            raise Unfit(_("REMOTE takes no statements of more than %(bytes)d bytes") % {"bytes": packet})
        size += length
    if start < len(rows):
        yield rows[start:]


def _most_bytes(value: Any) -> int:
    """How long a value can be in a statement, where each of its bytes may need a backslash."""
    if isinstance(value, str):
        return 2 * (len(value) if value.isascii() else len(value.encode())) + AROUND
    if isinstance(value, bytes | bytearray | memoryview):
        return 2 * len(value) + AROUND
    return NUMBER + AROUND


def _bytes(connection: BaseDatabaseWrapper, row: Row) -> int:
    """How long a row really is, as the driver spells it."""
    driver: Any = connection.connection
    return sum(len(driver.literal(value)) + 2 for value in row)
