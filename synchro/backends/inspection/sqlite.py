"""SQLite's answers. A column takes any value, whatever its type says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from synchro.backends.inspection.base import HEXADECIMAL, JSON_NUL, Column, Inspection

_COLLATION = re.compile(r"\bCOLLATE\s+\"?(\w+)", re.IGNORECASE)
#: Collations of SQLite that take texts for equal which are spelled otherwise.
_LOOSE = frozenset(("NOCASE", "RTRIM"))
#: The types of values that a column of each kind of field holds.
_TYPES = {
    "text": ("CharField", "TextField", "SlugField", "EmailField", "URLField", "FileField", "FilePathField",
             "GenericIPAddressField", "IPAddressField", "UUIDField", "JSONField", "DateField", "DateTimeField",
             "TimeField"),
    "integer": ("AutoField", "BigAutoField", "SmallAutoField", "IntegerField", "BigIntegerField", "SmallIntegerField",
                "PositiveIntegerField", "PositiveBigIntegerField", "PositiveSmallIntegerField", "BooleanField",
                "DurationField"),
    "real', 'integer": ("FloatField",),
    # As text where a number of the file would have fewer digits.
    "real', 'integer', 'text": ("DecimalField",),
    "blob": ("BinaryField",),
}  # fmt: skip
_TYPE_OF = {kind: types for types, kinds in _TYPES.items() for kind in kinds}


class SQLiteInspection(Inspection):
    """Asks SQLite."""

    def columns(self, tables: Sequence[str]) -> Mapping[str, Mapping[str, Column]]:
        found: dict[str, dict[str, Column]] = {}
        for table in tables:
            described = self.rows(
                "SELECT name, LOWER(type), \"notnull\", dflt_value IS NOT NULL OR hidden > 1, pk "
                "FROM pragma_table_xinfo(%s)", [table]
            )  # fmt: skip
            collations = self._collations(table)
            for name, kind, is_required, is_filled, key in described:
                collation = collations.get(name.lower(), "BINARY")
                found.setdefault(table, {})[name] = Column(
                    kind=kind,
                    is_nullable=not is_required,
                    is_filled=bool(is_filled) or (kind == "integer" and bool(key)),
                    lowest=-(2**63) if "int" in kind else None,
                    highest=2**63 - 1 if "int" in kind else None,
                    collation=collation,
                    is_loose=collation in _LOOSE,
                )
        return found

    def _collations(self, table: str) -> dict[str, str]:
        """Return the collations of columns that are in a unique index, by their names in lower case."""
        sql = (
            "SELECT LOWER(x.name), x.coll FROM pragma_index_list(%s) AS l, pragma_index_xinfo(l.name) AS x "
            'WHERE l."unique" = 1 AND x.key = 1 AND x.name IS NOT NULL'
        )
        return {name: collation.upper() for name, collation in self.rows(sql, [table])}

    def size(self, tables: Sequence[str]) -> int | None:
        # The whole file: not every SQLite counts the pages of a table.
        (count,), (size,) = self.row("PRAGMA page_count"), self.row("PRAGMA page_size")
        return int(count) * int(size)

    def folder(self) -> str | None:
        if self.connection.is_in_memory_db():  # type: ignore[attr-defined]
            return None
        return str(Path(str(self.connection.settings_dict["NAME"])).absolute().parent)

    def last_key(self, table: str, column: str) -> int:
        if not self._has_sequences():
            return 0
        found = self.rows("SELECT seq FROM sqlite_sequence WHERE name = %s", [table])
        return int(found[0][0] or 0) if found else 0

    def hand_out_above(self, table: str, column: str, highest: int) -> None:
        if not self._has_sequences() or highest <= self.last_key(table, column):
            return
        with self.connection.cursor() as cursor:
            cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [table])
            cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table, highest])

    def _has_sequences(self) -> bool:
        return bool(self.rows("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'"))

    def by_collation(self, sql: str, column: Column) -> str:
        # A table that is made by a query forgets the collations.
        return f"{sql} COLLATE {column.collation}" if column.is_loose else sql

    def longer(self, column: str, length: int) -> str:
        return f"LENGTH({column}) > {int(length)}"

    def larger(self, column: str, octets: int) -> str:
        return f"LENGTH(CAST({column} AS BLOB)) > {int(octets)}"

    def outside(self, column: str, lowest: int, highest: int) -> str:
        # A text comes after every number; that it is one is another question.
        return f"TYPEOF({column}) = 'integer' AND {super().outside(column, lowest, highest)}"

    def finer(self, column: str, digits: int) -> str:
        point = f"INSTR({column}, '.')"
        return f"{point} > 0 AND RTRIM(SUBSTR({column}, {point} + 1 + {int(digits)}, 6), '0') <> ''"

    def beyond(self, column: str, character: int) -> str:
        return f"{column} REGEXP '[^\\U00000000-\\U{character:08x}]'"

    def has_nul(self, column: str) -> str | None:
        return f"INSTR(CAST({column} AS BLOB), X'00') > 0"

    def json_has_nul(self, column: str) -> str | None:
        return f"INSTR({column}, '\\u0000') > 0 AND {column} REGEXP '{JSON_NUL}'"

    def is_infinite(self, column: str) -> str | None:
        return f"ABS({column}) > 1.7976931348623157e308"

    def is_double(self, column: str) -> str | None:
        return f"ABS({column}) > 3.4e38"

    def is_no_moment(self, column: str, kind: str) -> str | None:
        return f"JULIANDAY({column}) IS NULL" if kind in ("DateField", "DateTimeField", "TimeField") else None

    def is_no(self, column: str, kind: str) -> str | None:
        types = _TYPE_OF.get(kind)
        conditions = [f"TYPEOF({column}) NOT IN ('null', '{types}')"] if types is not None else []
        match kind:
            case "BooleanField":
                conditions.append(f"{column} NOT IN (0, 1)")
            case "UUIDField":
                conditions.append(f"{column} NOT REGEXP '{HEXADECIMAL}'")
            case "JSONField":
                conditions.append(f"JSON_VALID({column}) = 0")
        return f"({' OR '.join(conditions)})" if conditions else None
