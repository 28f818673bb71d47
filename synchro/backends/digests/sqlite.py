"""Digests by SQLite, which takes its hashes from Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from decimal import Context, Decimal
from hashlib import sha256
from math import isfinite

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.backends.digests.base import DIGITS, Column, ColumnType, Digests, Kind, zone_of

HASH, COMBINED = "synchro_digest", "synchro_digests"
FLOAT, DECIMAL = "synchro_float", "synchro_decimal"
#: Of how many digits a number is the one that was written; SQLite keeps decimals as floats.
EXACT_DIGITS = 15
FIFTEEN_DIGITS, WIDE = Context(prec=EXACT_DIGITS), Context(prec=400)


class SQLiteDigests(Digests):
    # Without a write-ahead log, a writer waits until a statement that reads has ended.
    rows_at_once = 2**16
    as_text = "CAST({} AS TEXT)"
    as_number = "CAST({} AS INTEGER)"

    def __init__(self, connection: BaseDatabaseWrapper, stranger: str) -> None:
        super().__init__(connection, stranger)
        self.row_number: str | None = None

    @contextmanager
    def session(self) -> Iterator[None]:
        self.connection.ensure_connection()
        driver = self.connection.connection
        driver.create_function(HASH, 1, _digest, deterministic=True)
        driver.create_function(FLOAT, 1, _shortest, deterministic=True)
        driver.create_function(DECIMAL, 2, _decimal, deterministic=True)
        driver.create_aggregate(COMBINED, 1, _Combined)
        yield

    def types(self, table: str) -> Mapping[str, ColumnType]:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT lower(name), lower(type) FROM pragma_table_info(%s)",
                [table],
            )
            found = {name: ColumnType(kind) for name, kind in cursor.fetchall()}
            with suppress(DatabaseError):  # a view, or a table WITHOUT ROWID
                cursor.execute(f"SELECT rowid FROM {self.connection.ops.quote_name(table)} LIMIT 0")
                self.row_number = "rowid"
        return found

    def spelled(self, column: Column) -> Sequence[str] | None:
        sql = column.sql
        # The sign makes an expression of a column, which the driver does not convert and no affinity touches.
        match column.kind:
            case Kind.INTEGER | Kind.DURATION:
                return (self._typed(sql, "'integer'", f"+{sql}"),)
            case Kind.BOOLEAN:
                return (self._where(sql, f"typeof({sql}) = 'integer' AND {sql} IN (0, 1)", f"+{sql}"),)
            case Kind.TEXT | Kind.ADDRESS:
                text = self._typed(sql, "'text'", f"+{sql}")
                return f"length(CAST({text} AS BLOB))", text
            case Kind.UUID:
                return (self._where(sql, f"typeof({sql}) = 'text' AND length({sql}) = 32", f"+{sql}"),)
            case Kind.DECIMAL if column.places is not None and (column.digits or 99) <= EXACT_DIGITS:
                text = f"printf('%%.{column.places}f', {sql})"
                condition = f"typeof({sql}) IN ('integer', 'real') AND CAST({text} AS REAL) = {sql}"
                return (self._where(sql, condition, text),)
            case Kind.DECIMAL if column.places is not None:
                text = f"COALESCE({DECIMAL}({sql}, {column.places}), {self.stranger})"
                return (self._typed(sql, "'integer', 'real'", text),)
            case Kind.FLOAT:
                return (self._typed(sql, "'real', 'integer'", f"COALESCE({FLOAT}({sql}), {self.stranger})"),)
            case Kind.DATE:
                return (self._where(sql, f"typeof({sql}) = 'text' AND length({sql}) = 10", f"+{sql}"),)
            case Kind.TIME:
                return (self._with_fraction(sql, len("10:00:00")),)
            case Kind.DATETIME if zone_of(self.connection) is not None:
                return (self._with_fraction(sql, len("2020-01-01 10:00:00")),)
            case Kind.BINARY:
                return (self._typed(sql, "'blob'", f"lower(hex({sql}))"),)
            case Kind.JSON:
                return (self._where(sql, f"typeof({sql}) = 'text' AND json_valid({sql})", f"+{sql}"),)
        return None

    def _typed(self, sql: str, types: str, text: str) -> str:
        return self._where(sql, f"typeof({sql}) IN ({types})", text)

    def _where(self, sql: str, condition: str, text: str) -> str:
        return f"CASE WHEN {condition} THEN {text} WHEN {sql} IS NOT NULL THEN {self.stranger} END"

    def _with_fraction(self, sql: str, length: int) -> str:
        return (
            f"CASE WHEN {sql} IS NULL THEN NULL WHEN typeof({sql}) <> 'text' THEN {self.stranger} "
            f"WHEN length({sql}) = {length} THEN +{sql} "
            f"WHEN length({sql}) = {length + 7} THEN rtrim(rtrim({sql}, '0'), '.') ELSE {self.stranger} END"
        )

    def joined(self, parts: Sequence[str]) -> str:
        *others, last = parts
        return " || ".join([*(f"COALESCE({part} || ',', '')" for part in others), f"({last})"])

    def hashed(self, text: str) -> str:
        # As bytes, since the driver refuses a text that is not in UTF-8.
        return f"{HASH}(CAST({text} AS BLOB))"

    def combined(self, number: str) -> str:
        return f"{COMBINED}({number})"

    def part_of_range(self, number: str, first: int, step: int, last: int) -> str:
        return f"CAST(({number} - ({first})) / {step} AS INTEGER)"


class _Combined:
    """The exclusive or of numbers."""

    def __init__(self) -> None:
        self._value = 0

    def step(self, number: int | None) -> None:
        self._value ^= number or 0

    def finalize(self) -> int:
        return self._value


def _digest(text: bytes | None) -> int | None:
    return None if text is None else int(sha256(text).hexdigest()[:DIGITS], 16)


def _decimal(number: float, places: int) -> str | None:
    """Return a decimal as a run reads it, with all its places; None for what is no decimal."""
    found = FIFTEEN_DIGITS.create_decimal_from_float(number)
    if not found.is_finite():
        return None
    return format(found.quantize(Decimal(1).scaleb(-places), context=WIDE), "f")


def _shortest(number: float | None) -> str | None:
    """Return the fewest digits that stand for a number, as servers write them; None for one that is not finite."""
    if number is None or not isfinite(number):
        return None
    return repr(float(number)).removesuffix(".0")
