"""The answers of MySQL and MariaDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synchro.backends.inspection.base import HEXADECIMAL, Column, Inspection

_BITS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
_LAST_CHARACTERS = {
    "utf8mb4": None,
    "utf8mb3": 0xFFFF,
    "utf8": 0xFFFF,
    "ucs2": 0xFFFF,
    "latin1": 0xFF,
    "ascii": 0x7F,
}
_COLUMNS = """
    SELECT table_name, column_name, LOWER(data_type), LOWER(column_type), is_nullable,
        column_default IS NOT NULL OR extra LIKE '%%auto_increment%%' OR extra LIKE '%%GENERATED%%',
        character_maximum_length, character_octet_length, numeric_precision, numeric_scale, datetime_precision,
        character_set_name, collation_name
    FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name IN ({})
"""


class MySQLInspection(Inspection):
    """Asks MySQL and MariaDB."""

    def columns(self, tables: Sequence[str]) -> Mapping[str, Mapping[str, Column]]:
        # Some servers keep all names of tables in lower case.
        names = {name.lower(): name for name in tables}
        found: dict[str, dict[str, Column]] = {}
        for table, name, *described in self.rows(_COLUMNS.format(_places(tables)), [*tables]):
            found.setdefault(names.get(table.lower(), table), {})[name] = _column(*described)
        return found

    def size(self, tables: Sequence[str]) -> int | None:
        sql = (
            "SELECT COALESCE(SUM(data_length + index_length), 0) FROM information_schema.tables "
            f"WHERE table_schema = DATABASE() AND table_name IN ({_places(tables)})"
        )
        return int(self.row(sql, [*tables])[0])

    def folder(self) -> str | None:
        return self.setting("SELECT @@datadir")

    def last_key(self, table: str, column: str) -> int:
        # What information_schema says may be a day old. This is said by the table itself.
        (_name, statement) = self.row(f"SHOW CREATE TABLE {self.connection.ops.quote_name(table)}")[:2]
        options = str(statement).rpartition(")")[2]
        _before, _found, rest = options.partition("AUTO_INCREMENT=")
        return int(rest.split()[0]) - 1 if rest else 0

    def hand_out_above(self, table: str, column: str, highest: int) -> None:
        # The statement waits for whoever has the table open, so it is made only where it changes something.
        if highest > self.last_key(table, column):
            with self.connection.cursor() as cursor:
                cursor.execute(
                    f"ALTER TABLE {self.connection.ops.quote_name(table)} AUTO_INCREMENT = {int(highest) + 1}", None
                )  # fmt: skip

    def finer(self, column: str, digits: int) -> str:
        return f"MICROSECOND({column}) % {10 ** (6 - digits)} <> 0"

    def beyond(self, column: str, character: int) -> str:
        charset = {0x7F: "ascii", 0xFF: "latin1"}.get(character, "utf8mb3")
        lossy = f"CONVERT(CONVERT({column} USING {charset}) USING utf8mb4)"
        return f"CAST({lossy} AS BINARY) <> CAST(CONVERT({column} USING utf8mb4) AS BINARY)"

    def has_nul(self, column: str) -> str | None:
        # As bytes, since to many collations the character counts as nothing, which is everywhere.
        return f"LOCATE(X'00', CAST({column} AS BINARY)) > 0"

    def json_has_nul(self, column: str) -> str | None:
        # Twice two backslashes: one for the text, and one for the expression.
        return f"CAST({column} AS CHAR) REGEXP '(^|[^{_BACKSLASH}])({_BACKSLASH * 2})*{_BACKSLASH}u0000'"

    def is_double(self, column: str) -> str | None:
        # A number that is stored as FLOAT has about seven digits.
        return f"ABS({column}) > 3.4e38"

    def is_no_moment(self, column: str, kind: str) -> str | None:
        match kind:
            case "DateField" | "DateTimeField":
                return f"(YEAR({column}) = 0 OR MONTH({column}) = 0 OR DAYOFMONTH({column}) = 0)"
            case "TimeField":
                return f"ABS(TIME_TO_SEC({column})) >= 86400 OR TIME_TO_SEC({column}) < 0"
        return None

    def is_no(self, column: str, kind: str) -> str | None:
        match kind:
            case "BooleanField":
                return f"{column} NOT IN (0, 1)"
            case "UUIDField":
                return f"REPLACE({column}, '-', '') NOT REGEXP '{HEXADECIMAL}'"
            case "GenericIPAddressField" | "IPAddressField":
                return f"INET6_ATON({column}) IS NULL"
            case "JSONField":
                return f"JSON_VALID({column}) = 0"
        return None


#: One backslash of a regular expression, escaped for it and for the text that it stands in.
_BACKSLASH = "\\" * 4


def _places(tables: Sequence[str]) -> str:
    return ", ".join(["%s"] * len(tables))


def _column(
    kind: str,
    full_type: str,
    is_nullable: str,
    is_filled: int,
    length: int | None,
    octets: int | None,
    precision: int | None,
    scale: int | None,
    fraction: int | None,
    charset: str | None,
    collation: str | None,
) -> Column:
    limits: dict[str, Any] = {}
    if kind in _BITS:
        bits, is_unsigned = _BITS[kind], "unsigned" in full_type
        limits["lowest"] = 0 if is_unsigned else -(2 ** (bits - 1))
        limits["highest"] = (2**bits if is_unsigned else 2 ** (bits - 1)) - 1
    elif kind == "decimal" and precision is not None and scale is not None:
        limits |= {"whole": precision - scale, "places": scale}
    elif kind == "timestamp":
        limits |= {"since": "1970-01-01 00:00:01", "until": "2038-01-19 03:14:07"}
    if charset is not None:
        # A VARCHAR ends by characters, a TEXT by bytes.
        is_by_bytes = kind.endswith("text")
        limits |= {"octets": octets} if is_by_bytes else {"length": length}
    return Column(
        kind=kind,
        is_nullable=is_nullable == "YES",
        is_filled=bool(is_filled),
        fraction=fraction,
        is_finite=kind in {"float", "double", "decimal"},
        is_single=kind == "float",
        last_character=_LAST_CHARACTERS.get(charset) if charset is not None else None,
        collation=collation,
        is_loose=collation is not None and not collation.endswith("_bin") and collation != "binary",
        **limits,
    )
