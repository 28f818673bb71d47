"""
Rows as lines of PostgreSQL's COPY, spelled by the server that has them: no values are made of them on the way.

Each engine that can spell its rows so has a class here; `line_reader` says whether one can for a given REMOTE.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.backends.base import quoted
from synchro.keys import INTEGERS, TEXTS, AnyField, column_field

#: How many rows are read before they are written, or how many bytes.
PART, PART_BYTES = 200, 2**17
#: Settings of a transaction in which rows are spelled so that every other server of the kind understands them.
SPELLING = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "row_security": "off",
}


class LineReader(ABC):
    def __init__(self, connection: BaseDatabaseWrapper, fields: Sequence[AnyField]) -> None:
        self.connection, self.fields = connection, fields

    @abstractmethod
    def can_read_for(self, remote: BaseDatabaseWrapper) -> bool:
        """Return whether `remote`, a PostgreSQL database, reads the lines as the values that are meant."""

    @abstractmethod
    def read(self, table: str, condition: str, values: Sequence[Any]) -> Iterator[list[bytes]]:
        """
        Yield the rows that the condition picks, in the order of the first column, a few at a time, each a line.

        The connection can do nothing else until all are read.
        """


class PostgreSQLLines(LineReader):
    """COPY as it comes."""

    def can_read_for(self, remote: BaseDatabaseWrapper) -> bool:
        one, other = (each.connection.info.parameter_status for each in (self.connection, remote))
        return bool(one("client_encoding") == other("client_encoding"))

    def read(self, table: str, condition: str, values: Sequence[Any]) -> Iterator[list[bytes]]:
        names = ", ".join(quoted(self.connection, field.column) for field in self.fields)
        order = quoted(self.connection, self.fields[0].column)
        sql = f"SELECT {names} FROM {quoted(self.connection, table)} WHERE {condition} ORDER BY {order}"
        settings_of_it = ", ".join(
            f"set_config('{name}', '{value}', true)" for name, value in SPELLING.items()
        )
        with transaction.atomic(using=self.connection.alias), self.connection.cursor() as cursor:
            cursor.execute(f"SELECT {settings_of_it}")
            # COPY binds no values on the server, and Django's cursor for debugging takes none.
            driver: Any = self.connection
            whole = driver.Database.ClientCursor(driver.connection).mogrify(sql, values)
            with self.connection.wrap_database_errors, cursor.copy(f"COPY ({whole}) TO STDOUT") as copy:
                yield from _parts(map(bytes, copy))


#: How MySQL spells what PostgreSQL reads. All other types are left to what makes values of them: of some, PostgreSQL
#: takes texts that stand for no value of Django's field.
NUMBERS = INTEGERS | {"BooleanField", "DecimalField"}
#: PostgreSQL takes 24:00:00 for a time, and Python does not. A duration is days, and what is left of one.
SPELLED = {
    "FloatField": "({0} * 1e0)",
    "DateField": "CAST({0} AS CHAR)",
    "TimeField": "CASE WHEN {0} BETWEEN '00:00:00' AND '23:59:59.999999' THEN CAST({0} AS CHAR) "
    "WHEN {0} IS NOT NULL THEN 'none' END",
    "DurationField": "CONCAT(({0} - MOD(MOD({0}, 86400000000) + 86400000000, 86400000000)) DIV 86400000000, ' days ', "
    "MOD(MOD({0}, 86400000000) + 86400000000, 86400000000), ' microseconds')",
    "UUIDField": "{0}",
    "GenericIPAddressField": "{0}",
}
#: What a line spells otherwise: a text's backslashes, tabs and ends of lines.
ESCAPED = ((b"\\", b"\\\\"), (b"\t", b"\\t"), (b"\n", b"\\n"), (b"\r", b"\\r"))
NULL = b"\\N"


class MySQLLines(LineReader):
    """Rows as the server spells them, read without a buffer: the server waits until they are taken."""

    def can_read_for(self, remote: BaseDatabaseWrapper) -> bool:
        return all(self._spelled(field) is not None for field in self.fields)

    def _spelled(self, field: AnyField) -> str | None:
        kind = column_field(field).get_internal_type()
        if _is_text(field):
            return "CONVERT({} USING utf8mb4)"
        if kind in NUMBERS:
            return "{}"
        if kind == "BinaryField":
            return "CONCAT(_utf8mb4 X'5C5C78', HEX({}))"
        if kind == "DateTimeField":
            # Stored in local time, some moments do not exist, and some are two.
            is_utc = settings.USE_TZ and self.connection.timezone_name == "UTC"
            return "CONCAT(CAST({} AS CHAR), '+00')" if is_utc else None
        return SPELLED.get(kind)

    def read(self, table: str, condition: str, values: Sequence[Any]) -> Iterator[list[bytes]]:
        columns = []
        for field in self.fields:
            sql = self._spelled(field)
            assert sql is not None
            # As bytes, which the driver leaves as they are.
            columns.append(f"CAST({sql.format(quoted(self.connection, field.column))} AS BINARY)")
        order = quoted(self.connection, self.fields[0].column)
        name = quoted(self.connection, table)
        sql = f"SELECT {', '.join(columns)} FROM {name} WHERE {condition} ORDER BY {name}.{order}"
        are_texts = [_is_text(field) for field in self.fields]
        with self._unbuffered() as cursor:
            cursor.execute(sql, values)
            while rows := cursor.fetchmany(PART):
                yield _as_lines(rows, are_texts)

    @contextmanager
    def _unbuffered(self) -> Iterator[Any]:
        self.connection.ensure_connection()
        driver: Any = self.connection.connection
        with self.connection.wrap_database_errors:
            cursor = driver.cursor(self.connection.Database.cursors.SSCursor)  # type: ignore[attr-defined]
            try:
                yield cursor
            finally:
                cursor.close()  # which takes what is left of the rows


def _parts(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Yield lines a few at a time: not too many, and not too many bytes."""
    part: list[bytes] = []
    size = 0
    for line in lines:
        part.append(line)
        size += len(line)
        if size > PART_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _is_text(field: AnyField) -> bool:
    kind = column_field(field).get_internal_type()
    return kind in TEXTS or kind == "JSONField"


def _as_lines(rows: Sequence[Sequence[bytes | None]], are_texts: Sequence[bool]) -> list[bytes]:
    """Return rows of values as lines. Most often no value has anything that a line spells otherwise."""
    if not any(None in row for row in rows):
        lines = [b"\t".join(row) + b"\n" for row in rows]  # type: ignore[arg-type]
        whole, count = b"".join(lines), len(lines)
        if (
            b"\\" not in whole
            and b"\r" not in whole
            and whole.count(b"\n") == count
            and whole.count(b"\t") == count * (len(are_texts) - 1)
        ):
            return lines
    return [
        b"\t".join(
            NULL if value is None else _escaped(value) if is_text else value
            for value, is_text in zip(row, are_texts, strict=True)
        )
        + b"\n"
        for row in rows
    ]


def _escaped(text: bytes) -> bytes:
    for one, other in ESCAPED:
        if one in text:
            text = text.replace(one, other)
    return text


READERS: dict[str, type[LineReader]] = {"postgresql": PostgreSQLLines, "mysql": MySQLLines}


def line_reader(
    local: BaseDatabaseWrapper, remote: BaseDatabaseWrapper, fields: Sequence[AnyField]
) -> LineReader | None:
    """Return what reads these columns of plain fields as lines that `remote` takes; None where that is not possible."""
    found = READERS.get(local.vendor)
    if found is None or remote.vendor != "postgresql":
        return None
    reader = found(local, fields)
    return reader if reader.can_read_for(remote) else None


def numbers_of_lines(lines: Sequence[bytes], count: int) -> list[list[int | None]]:
    """Return the first `count` columns, which hold whole numbers."""
    columns = zip(*(line[:-1].split(b"\t", count)[:count] for line in lines), strict=True)
    return [[None if text == b"\\N" else int(text) for text in column] for column in columns]


def with_numbers(lines: Sequence[bytes], columns: Sequence[Sequence[int | None]]) -> list[bytes]:
    """Return the lines with other numbers in their first columns."""
    count = len(columns)
    spelled = [[b"\\N" if number is None else b"%d" % number for number in column] for column in columns]
    return [
        b"\t".join((*numbers, *line[:-1].split(b"\t", count)[count:])) + b"\n"
        for line, *numbers in zip(lines, *spelled, strict=True)
    ]


def write_lines(
    connection: BaseDatabaseWrapper, table: str, columns: Sequence[str], parts: Iterator[Sequence[bytes]]
) -> int:
    """Write lines into a table of PostgreSQL, as they come; return how many there were."""
    quote, count = connection.ops.quote_name, 0
    sql = f"COPY {quote(table)} ({', '.join(map(quote, columns))}) FROM STDIN"
    with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(sql) as copy:
        for lines in parts:
            count += len(lines)
            copy.write(b"".join(lines))
    return count
