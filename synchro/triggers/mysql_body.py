"""MySQL and MariaDB: what the triggers of a table do, in SQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field

from synchro.models import CHANGE
from synchro.triggers.base import Detail
from synchro.triggers.kinds import Kind, kind_of, scale
from synchro.triggers.writer import UUID_PARTS, RowWriter

#: What `synchro.backends.mysql` sets for its session.
#:
#: Sessions share opened tables together with their triggers. MySQL computes ``@variable IS NULL`` once for such a
#: trigger, and keeps the answer for the sessions that come after. A comparison with `<=>` is computed each time.
SWITCH = "@synchro_capture_off"
#: A variable of the trigger that runs after an update: the names of the fields that changed.
CHANGED = "synchro_changed"
#: Types of which two values that are equal are the same.
PLAIN = (
    "bigint",
    "int",
    "smallint",
    "tinyint",
    "mediumint",
    "bool",
    "datetime",
    "date",
    "time",
    "numeric",
    "uuid",
)
FLOATING = ("double", "float", "real")


def real_name(table: str) -> str:
    """The name that Django, which does not escape quotes, makes of `table` in SQL."""
    if len(table) > 1 and table.startswith("`") and table.endswith("`"):
        table = table[1:-1]
    return table.replace("``", "`")


def stored_name(connection: BaseDatabaseWrapper, table: str) -> str:
    """The name that the server has for `table`."""
    name = real_name(table)
    # With 1 it knows all names in lower case only; with 2 it keeps them as they were given.
    return name.lower() if connection.mysql_server_data["lower_case_table_names"] == 1 else name  # type: ignore[attr-defined]


def escaped(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


class Writer(RowWriter):
    """Writes the triggers of a table."""

    now = "UTC_TIMESTAMP(6)"

    # -- values ----------------------------------------------------------------------------------------------

    def text(self, row: str, field: Field[Any, Any]) -> str:
        """The one spelling of a value, as `synchro.keys.value_to_text` has it."""
        value = self.name(row, field)
        match kind_of(field, self.connection):
            case Kind.TEXT | Kind.ADDRESS:
                return value
            case Kind.INTEGER | Kind.BOOLEAN | Kind.DURATION:
                return value  # the server spells a number by itself, faster than a cast
            case Kind.UUID_TEXT:
                return (
                    f"LOWER(CONCAT_WS('-', {', '.join(f'SUBSTR({value}, {a}, {b})' for a, b in UUID_PARTS)}))"
                )
            case Kind.DECIMAL:
                return f"CAST(CAST({value} AS DECIMAL(65, {scale(field)})) AS CHAR)"
            case Kind.DATE:
                return f"DATE_FORMAT({value}, '%Y-%m-%d')"
            case Kind.TIME:
                return f"TIME_FORMAT({value}, '%H:%i:%s.%f')"
            case Kind.DATETIME:
                return f"DATE_FORMAT({value}, '%Y-%m-%dT%H:%i:%s.%f')"
            case Kind.BINARY:
                return f"LOWER(HEX({value}))"
        return f"CAST({value} AS CHAR)"

    def json_text(self, text: str) -> str:
        return json_quote(f"CONVERT({text} USING utf8mb4)")

    def concatenated(self, *parts: str) -> str:
        return f"CONCAT({', '.join(parts)})"

    def differs(self, field: Field[Any, Any]) -> str:
        return f"NOT ({self.is_same(field)})"

    def is_same(self, field: Field[Any, Any]) -> str:
        """A condition: the column's old value is, byte for byte, its new one."""
        old, new = self.name("OLD", field), self.name("NEW", field)
        kind = field.db_type(self.connection) or ""
        if kind.startswith(PLAIN):
            return f"{old} <=> {new}"
        if kind.startswith(FLOATING):
            # The text of a FLOAT leaves digits out; the comparison takes -0 for 0.
            return f"{old} <=> {new} AND CAST({old} AS CHAR) <=> CAST({new} AS CHAR)"
        # Case, accents and trailing blanks count, whatever the column's collation.
        if field.column in self.target.shape.exact:
            return f"{old} <=> {new} COLLATE utf8mb4_nopad_bin"
        return f"CAST({old} AS BINARY) <=> CAST({new} AS BINARY)"

    def fields(self) -> str:
        """The names of the changed fields, between commas; empty where none changed."""
        parts = (f"IF({self.is_same(field)}, NULL, '{field.name}')" for field in self.target.columns)
        return "CONCAT_WS(',', " + ",\n            ".join(parts) + ")"

    # -- entries ---------------------------------------------------------------------------------------------

    def insert(self, key: str, action: int, **more: str) -> str:
        return f"{super().insert(key, action, **more)};\n"

    def triggers(self) -> Iterator[tuple[str, str]]:
        """Event and body of each."""
        if self.target.cascades:
            from synchro.triggers.cascades import cascade_statements

            statements = cascade_statements(self.connection, self.target)
            yield "BEFORE DELETE", self.unless_off("".join(f"    {one};\n" for one in statements))
        if self.target.content_type is None:
            return
        yield "AFTER INSERT", self.unless_off(f"    {self.added()}")
        yield "AFTER UPDATE", self.update()
        yield "AFTER DELETE", self.unless_off(f"    {self.deleted()}")

    def unless_off(self, statements: str) -> str:
        return f"    IF NOT ({SWITCH} <=> 1) THEN\n{statements}    END IF;\n"

    def update(self) -> str:
        """
        Each statement of a trigger costs as much as a comparison of values. So a change takes three: the names of the
        changed fields are the default of a variable (none where capture is off), one IF asks for all, and the entry.
        """
        moved = f"        {self.deleted()}        {self.added()}"
        if self.target.detail is Detail.KEY:
            change = self.insert(self.key("NEW"), CHANGE)
            key = self.any_differs(self.target.key)
            return self.unless_off(f"    IF {key} THEN\n{moved}    ELSE\n        {change}    END IF;\n")
        if not self.target.columns:
            return self.unless_off(f"    IF {self.any_differs(self.target.key)} THEN\n{moved}    END IF;\n")
        change = self.insert(self.key("NEW"), CHANGE, fields=CHANGED)
        same = " AND ".join(f"({self.is_same(field)})" for field in self.target.key)
        return (
            f"    DECLARE {CHANGED} {self.variable_type()} CHARACTER SET utf8mb4 DEFAULT IF({SWITCH} <=> 1, '',\n"
            f"        {self.fields()});\n"
            f"    IF {CHANGED} <> '' AND {same} THEN\n        {change}"
            f"    ELSEIF NOT ({SWITCH} <=> 1 OR ({same})) THEN\n{moved}    END IF;\n"
        )

    def variable_type(self) -> str:
        """Of what has room for the names of all fields."""
        length = sum(len(field.name) + 1 for field in self.target.columns)
        return "LONGTEXT" if length > 4000 else f"VARCHAR({length})"


def json_quote(text: str) -> str:
    """
    SQL for `text` as JSON spells it: with small hexadecimal digits, where MariaDB's JSON_QUOTE has capitals.

    Control characters are rare, so only text that has one takes the long way.
    """
    escaped = f"REPLACE(REPLACE({text}, 0x5C, 0x5C5C), 0x22, 0x5C22)"
    for code in range(1, 32):
        spelled = json.dumps(chr(code))[1:-1].encode().hex().upper()
        escaped = f"REPLACE({escaped}, 0x{code:02X}, 0x{spelled})"
    long_way = f"CONCAT(0x22, CONVERT({escaped} USING utf8mb4), 0x22)"
    return f"IF({text} REGEXP '[[:cntrl:]]', {long_way}, JSON_QUOTE({text}))"
