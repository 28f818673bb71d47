"""PostgreSQL's answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synchro.backends.inspection.base import Column, Inspection

_INTEGERS = {"smallint": 15, "integer": 31, "bigint": 63}
#: What an encoding of the server holds; of others, what does not fit is known only when it is written.
_LAST_CHARACTERS = {"UTF8": None, "LATIN1": 0xFF, "SQL_ASCII": None}
#: By the table's own OID, and with what a domain stands for.
_COLUMNS = """
    SELECT c.relname, a.attname, LOWER(format_type(COALESCE(NULLIF(t.typbasetype, 0), t.oid), NULL)),
        NOT (a.attnotnull OR t.typnotnull), a.atthasdef OR a.attidentity <> '' OR a.attgenerated <> '',
        information_schema._pg_char_max_length(t.oid, a.atttypmod),
        information_schema._pg_numeric_precision(t.oid, a.atttypmod),
        information_schema._pg_numeric_scale(t.oid, a.atttypmod),
        information_schema._pg_datetime_precision(t.oid, a.atttypmod),
        o.collname, COALESCE(NOT o.collisdeterministic, FALSE)
    FROM pg_attribute AS a
    JOIN pg_class AS c ON c.oid = a.attrelid
    JOIN pg_type AS t ON t.oid = a.atttypid
    LEFT JOIN pg_collation AS o ON o.oid = a.attcollation
    WHERE a.attnum > 0 AND NOT a.attisdropped
        AND c.oid IN (SELECT to_regclass(name) FROM unnest(%s::text[]) AS name)
"""


class PostgreSQLInspection(Inspection):
    """Asks PostgreSQL."""

    def columns(self, tables: Sequence[str]) -> Mapping[str, Mapping[str, Column]]:
        quote = self.connection.ops.quote_name
        encoding = str(self.row("SHOW server_encoding")[0])
        found: dict[str, dict[str, Column]] = {}
        for table, name, *described in self.rows(_COLUMNS, [[quote(table) for table in tables]]):
            found.setdefault(table, {})[name] = _column(encoding, *described)
        return found

    def size(self, tables: Sequence[str]) -> int | None:
        quote = self.connection.ops.quote_name
        sql = "SELECT COALESCE(SUM(pg_total_relation_size(to_regclass(name))), 0) FROM unnest(%s::text[]) AS name"
        return int(self.row(sql, [[quote(table) for table in tables]])[0])

    def folder(self) -> str | None:
        # The view leaves out what this account may not see.
        found = self.rows("SELECT setting FROM pg_settings WHERE name = 'data_directory'")
        return found[0][0] if found else None

    def last_key(self, table: str, column: str) -> int:
        sequence = self._sequence(table, column)
        if sequence is None:
            return 0
        (last,) = self.row(f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}")
        return int(last)

    def hand_out_above(self, table: str, column: str, highest: int) -> None:
        sequence = self._sequence(table, column)
        if sequence is not None and highest > self.last_key(table, column):
            self.row("SELECT setval(%s, %s)", [sequence, highest])

    def _sequence(self, table: str, column: str) -> str | None:
        (found,) = self.row(
            "SELECT pg_get_serial_sequence(%s, %s)", [self.connection.ops.quote_name(table), column]
        )
        return str(found) if found is not None else None

    def larger(self, column: str, octets: int) -> str:
        return f"OCTET_LENGTH({column}::text) > {int(octets)}"

    def finer(self, column: str, digits: int) -> str:
        return f"EXTRACT(MICROSECONDS FROM {column})::bigint % {10 ** (6 - digits)} <> 0"

    def beyond(self, column: str, character: int) -> str:
        return f"{column}::text ~ '[^\\u0001-\\U{character:08X}]'"

    def is_infinite(self, column: str) -> str | None:
        return f"{column}::text IN ('NaN', 'Infinity', '-Infinity')"

    def is_double(self, column: str) -> str | None:
        # A number that is too large for single precision is no error here.
        return (
            f"CASE WHEN ABS({column}::numeric) > 3.4e38 THEN TRUE "
            f"ELSE {column}::real::double precision <> {column} END"
        )

    def is_no_moment(self, column: str, kind: str) -> str | None:
        if kind not in ("DateField", "DateTimeField"):
            return None
        return f"(NOT isfinite({column}) OR EXTRACT(YEAR FROM {column}) NOT BETWEEN 1 AND 9999)"


def _column(
    encoding: str,
    kind: str,
    is_nullable: bool,
    is_filled: bool,
    length: int | None,
    precision: int | None,
    scale: int | None,
    fraction: int | None,
    collation: str | None,
    is_loose: bool,
) -> Column:
    bits = _INTEGERS.get(kind)
    limits: dict[str, Any] = {"lowest": -(2**bits), "highest": 2**bits - 1} if bits else {}
    if kind == "numeric" and precision is not None and scale is not None:
        limits |= {"whole": precision - scale, "places": scale}
    is_text = collation is not None or kind in {"json", "jsonb"}
    return Column(
        kind=kind,
        is_nullable=is_nullable,
        is_filled=is_filled,
        length=length,
        fraction=None if kind in {"date", "interval"} else fraction,
        is_single=kind == "real",
        refuses_nul=is_text,
        last_character=_LAST_CHARACTERS.get(encoding) if is_text else None,
        collation=collation,
        is_loose=is_loose or kind == "citext",
        **limits,
    )
