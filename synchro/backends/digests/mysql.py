"""Digests by MySQL and MariaDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from synchro.backends.digests.base import DIGITS, Column, ColumnType, Digests, Kind, zone_of

WHOLE = {"tinyint", "smallint", "mediumint", "int", "bigint"}
TEXT = {"varchar", "char", "tinytext", "text", "mediumtext", "longtext"}
#: By kind of value: the types of columns that it may stand in.
TYPES = {
    Kind.INTEGER: WHOLE,
    Kind.BOOLEAN: WHOLE,
    Kind.TEXT: TEXT,
    Kind.UUID: {"char", "varchar", "uuid"},
    Kind.DECIMAL: {"decimal"},
    Kind.FLOAT: {"double"},
    Kind.DATE: {"date"},
    Kind.TIME: {"time"},
    Kind.DATETIME: {"datetime"},
    Kind.DURATION: {"bigint"},
    Kind.BINARY: {"tinyblob", "blob", "mediumblob", "longblob", "varbinary"},
    Kind.ADDRESS: TEXT,
    Kind.JSON: {"json", "longtext"},
}
UTF8 = {"utf8mb4", "utf8mb3", "utf8", "ascii"}


class MySQLDigests(Digests):
    # Texts that the server makes of numbers have the collation of the connection.
    as_text = "CAST({} AS CHAR)"
    as_number = "CAST({} AS SIGNED)"

    def types(self, table: str) -> Mapping[str, ColumnType]:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT LOWER(column_name), LOWER(data_type), datetime_precision, character_set_name "
                "FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = %s",
                [table],
            )
            return {name: ColumnType(*more) for name, *more in cursor.fetchall()}

    def spelled(self, column: Column) -> Sequence[str] | None:
        sql, kind, type_ = column.sql, column.kind, column.type
        if kind is None or type_ is None or type_.name not in TYPES[kind]:
            return None
        match kind:
            case Kind.TEXT | Kind.ADDRESS:
                text = self._in_utf8(sql, type_)
                return f"LENGTH({text})", text
            case Kind.UUID if type_.name == "uuid":
                return (f"REPLACE({sql}, '-', '')",)
            case Kind.UUID:
                return (f"IF({sql} IS NULL OR CHAR_LENGTH({sql}) = 32, {sql}, {self.stranger})",)
            case Kind.FLOAT:
                return (f"{sql} * 1e0",)  # a column alone is cut to 22 characters
            case Kind.DATETIME if zone_of(self.connection) is None:
                return None
            case Kind.DATETIME | Kind.TIME if type_.precision != 0:
                return (f"TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM {sql}))",)
            case Kind.BINARY:
                return (f"LOWER(HEX({sql}))",)
            case Kind.JSON if type_.name == "json":
                return (f"CAST({sql} AS CHAR CHARACTER SET utf8mb4)",)
            case Kind.JSON:
                return (f"IF({sql} IS NULL OR JSON_VALID({sql}), {sql}, {self.stranger})",)
        return (sql,)

    def _in_utf8(self, sql: str, type_: ColumnType) -> str:
        return sql if type_.charset in UTF8 else f"CONVERT({sql} USING utf8mb4)"

    def joined(self, parts: Sequence[str]) -> str:
        return f"CONCAT_WS(',', {', '.join(parts)})"

    def hashed(self, text: str) -> str:
        digest = f"CONV(LEFT(SHA2({text}, 256), {DIGITS}), 16, 10)"
        # The server has no text that is longer than max_allowed_packet. Such a row is to be equal to nothing.
        return f"CAST(COALESCE({digest}, FLOOR(RAND() * 1e17)) AS UNSIGNED)"

    def combined(self, number: str) -> str:
        return f"BIT_XOR({number})"

    def part_of_range(self, number: str, first: int, step: int, last: int) -> str:
        if last - first < 2**63 and last < 2**63:
            return f"({number} - ({first})) DIV {step}"
        return f"(CAST({number} AS DECIMAL(20, 0)) - ({first})) DIV {step}"
