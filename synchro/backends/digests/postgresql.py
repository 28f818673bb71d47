"""Digests by PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.backends.digests.base import DIGITS, Column, ColumnType, Digests, Kind, literal, zone_of

#: By kind of value: the types of columns that it may stand in.
TYPES = {
    Kind.INTEGER: {"int2", "int4", "int8"},
    Kind.BOOLEAN: {"bool"},
    Kind.TEXT: {"varchar", "text"},
    Kind.UUID: {"uuid"},
    Kind.DECIMAL: {"numeric"},
    Kind.FLOAT: {"float8"},
    Kind.DATE: {"date"},
    Kind.TIME: {"time"},
    Kind.DATETIME: {"timestamptz"},
    Kind.DURATION: {"interval"},
    Kind.BINARY: {"bytea"},
    Kind.ADDRESS: {"inet"},
    Kind.JSON: {"jsonb"},
}
#: SQL of the bytes of a value, by type: all of them, where the server's own hash of the type leaves some out (the sign
#: of a number, the halves of a long one) so that equal values have equal hashes.
BYTES = {
    "int8": "int8send({})",
    "numeric": "numeric_send({})",
    "float4": "float4send({})",
    "float8": "float8send({})",
    "time": "time_send({})",
    "timestamp": "timestamp_send({})",
    "timestamptz": "timestamptz_send({})",
    "interval": "interval_send({})",
    "inet": "inet_send({})",
    "jsonb": "jsonb_send({})",
    "bool": "{}::int4",
    **dict.fromkeys(("int2", "int4", "date", "uuid", "bytea"), "{}"),
}
BYTES_OF_TEXT = "textsend({}::text)"


class PostgreSQLDigests(Digests):
    as_text = "({})::text"
    as_number = "({})::bigint"
    as_bit = "({})::int::bigint"

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        stranger: str,
        session: Callable[[], AbstractContextManager[None]],
        duration: str,
    ) -> None:
        super().__init__(connection, stranger)
        #: What has the server spell values as the replayer needs them, and SQL of a span of time in microseconds.
        self._session, self._duration = session, duration

    @contextmanager
    def session(self) -> Iterator[None]:
        with self._session():
            yield

    def types(self, table: str) -> Mapping[str, ColumnType]:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT lower(attname), typname, COALESCE(collisdeterministic, true) FROM pg_attribute "
                "JOIN pg_type ON pg_type.oid = atttypid LEFT JOIN pg_collation ON pg_collation.oid = attcollation "
                "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
                [self.connection.ops.quote_name(table)],
            )
            return {name: ColumnType(kind, is_exact=exact) for name, kind, exact in cursor.fetchall()}

    def spelled(self, column: Column) -> Sequence[str] | None:
        sql, kind = column.sql, column.kind
        if kind is None or column.type is None or column.type.name not in TYPES[kind]:
            return None
        match kind:
            case Kind.TEXT:
                return self._length(sql), sql
            case Kind.BOOLEAN:
                return (f"{sql}::int",)
            case Kind.UUID:
                return (f"encode(uuid_send({sql}), 'hex')",)
            case Kind.DATETIME:
                zone = zone_of(self.connection)
                return None if zone is None else (f"({sql} AT TIME ZONE {literal(zone)})",)
            case Kind.DURATION:
                reading = self._duration.format(sql)
                return (f"CASE WHEN {sql} IS NOT NULL THEN ({reading}) END",)
            case Kind.BINARY:
                return (f"encode({sql}, 'hex')",)
            case Kind.ADDRESS:
                whole = f"masklen({sql}) = CASE family({sql}) WHEN 4 THEN 32 ELSE 128 END"
                text = f"CASE WHEN {whole} THEN host({sql}) WHEN {sql} IS NOT NULL THEN {self.stranger} END"
                return f"octet_length({text})", text
        return (sql,)

    def _length(self, sql: str) -> str:
        """Return SQL of the number of bytes in UTF-8."""
        if self.connection.connection.info.parameter_status("server_encoding") == "UTF8":
            return f"octet_length({sql})"
        return f"octet_length(convert_to({sql}, 'UTF8'))"

    def joined(self, parts: Sequence[str]) -> str:
        # A function takes a hundred arguments at most.
        texts = [f"concat_ws(',', {', '.join(parts[at : at + 90])})" for at in range(0, len(parts), 90)]
        return texts[0] if len(texts) == 1 else f"concat_ws(',', {', '.join(texts)})"

    def hashed(self, text: str) -> str:
        return f"('x' || left(encode(sha256(convert_to({text}, 'UTF8')), 'hex'), {DIGITS}))::bit({4 * DIGITS})::bigint"

    def combined(self, number: str) -> str:
        return f"bit_xor({number})"

    def part_of_range(self, number: str, first: int, step: int, last: int) -> str:
        if last - first < 2**63 and first >= -(2**62):
            return f"(({number})::bigint - ({first})::bigint) / {step}"
        return f"div(({number})::numeric - ({first})::numeric, {step})::bigint"

    def own_row(
        self,
        columns: Sequence[Column],
        there: Sequence[Column],
        number: str | None,
        text: str,
        other: BaseDatabaseWrapper,
    ) -> str | None:
        if other.vendor != self.connection.vendor:
            return None
        if [_type(column) for column in columns] != [_type(column) for column in there]:
            return None
        if not columns:
            return None
        values = ", ".join(_bytes(column) for column in columns)
        seed = number or f"hashtextextended({text}, 0)"
        # With the seed, each value's hash depends on the row. Otherwise two rows that exchange values would not show.
        return f"hash_record_extended(ROW({values}), {seed})"


def _type(column: Column) -> ColumnType | None:
    return None if column.is_spelled else column.type


def _bytes(column: Column) -> str:
    if (
        not column.is_spelled
        and column.type is not None
        and column.type.name in ("text", "varchar")
        and column.type.is_exact
    ):
        return column.sql
    name = column.type.name if column.type is not None and not column.is_spelled else ""
    return BYTES.get(name, BYTES_OF_TEXT).format(column.sql)
