"""PostgreSQL: rows as COPY spells them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.backends.abilities import RawRows
from synchro.backends.postgresql_rows import SPELLING, PostgreSQLRows
from synchro.backends.rows import INCOMING, PairsTable, Row, quoted

#: How COPY spells it.
NULL = b"\\N"


class PostgreSQLRawRows(PostgreSQLRows, RawRows):
    supports_raw_rows = True

    def put_pairs(self, place: PairsTable, pairs: Mapping[int, int]) -> None:
        # An upsert from arrays takes longer than both of these.
        first, more = place.columns[:1], place.fixed
        self.delete(place.name, first, [(number,) for number in pairs], place.where)
        end = b"".join(b"\t%d" % value for value in more.values()) + b"\n"
        lines = [b"%d\t%d%b" % (one, other, end) for one, other in pairs.items()]
        self.insert_raw(place.name, (*place.columns, *more), lines)

    def reads_raw_for(self, there: BaseDatabaseWrapper) -> bool:
        if self.connection.vendor != there.vendor:
            return False
        one, other = _spelling(self.connection), _spelling(there)
        # Other styles name a time zone by letters that mean several.
        return one == other and one["DateStyle"].startswith("ISO")

    def read_raw(self, table: str, columns: Sequence[str], keys: Sequence[Row]) -> list[bytes]:
        names = ", ".join(quoted(self.connection, column) for column in columns)
        condition, values = self.key_condition(columns[:1], keys)
        sql = f"COPY (SELECT {names} FROM {quoted(self.connection, table)} WHERE {condition}) TO STDOUT"
        # COPY binds no values on the server, and Django's cursor for debugging takes none.
        whole = self.connection.Database.ClientCursor(self.connection.connection).mogrify(sql, values)  # type: ignore[attr-defined]
        with (
            self._own_settings(),
            self.connection.cursor() as cursor,
            self.connection.wrap_database_errors,
            cursor.copy(whole) as copy,
        ):
            return list(map(bytes, copy))  # one line for each row

    def raw_keys(self, rows: Sequence[bytes]) -> list[str]:
        # No tab stands in a value; the line ends where there is no other column.
        return [(row[: row.find(b"\t")] if b"\t" in row else row[:-1]).decode() for row in rows]

    def with_raw_keys(self, rows: Sequence[bytes], keys: Sequence[int]) -> list[bytes]:
        # Where there is no other column, the last character, which ends the line, comes after the key.
        return [b"%d%b" % (key, row[row.find(b"\t") :]) for key, row in zip(keys, rows, strict=True)]

    def raw_numbers(self, rows: Sequence[bytes], count: int) -> list[list[int | None]]:
        columns = zip(*(row[:-1].split(b"\t", count) for row in rows), strict=False)
        return [[None if text == NULL else int(text) for text in column] for column in islice(columns, count)]

    def with_raw_numbers(self, rows: Sequence[bytes], columns: Sequence[Sequence[int | None]]) -> list[bytes]:
        count = len(columns)
        spelled = [[NULL if number is None else b"%d" % number for number in column] for column in columns]
        return [
            b"\t".join((*numbers, *row[:-1].split(b"\t", count)[count:])) + b"\n"
            for row, *numbers in zip(rows, *spelled, strict=True)
        ]

    def insert_raw(self, table: str, columns: Sequence[str], rows: Sequence[bytes]) -> None:
        quote = self.connection.ops.quote_name
        sql = f"COPY {quote(table)} ({', '.join(map(quote, columns))}) FROM STDIN"
        with (
            self.connection.cursor() as cursor,
            self.connection.wrap_database_errors,
            cursor.copy(sql) as copy,
        ):
            for start in range(0, len(rows), 1000):
                copy.write(b"".join(rows[start : start + 1000]))

    def change_raw(
        self,
        table: str,
        columns: Sequence[str],
        rows: Sequence[bytes],
    ) -> list[int]:
        with self._incoming(table, columns):
            self.insert_raw(INCOMING, columns, rows)
            return self._change_from_incoming(table, columns)


def _spelling(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """How this session spells values in its open transaction, or in the one that `read_raw` would open."""
    status = connection.connection.info.parameter_status
    styles = {name: status(name) for name in SPELLING} if connection.in_atomic_block else SPELLING
    return {**styles, "client_encoding": status("client_encoding")}
