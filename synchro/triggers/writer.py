"""Writes the SQL of triggers: what the engines have in common."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field

from synchro.models import ADDITION, DELETION
from synchro.triggers.base import LOG, Target, quoted
from synchro.triggers.kinds import Kind, kind_of, needs_zone


class Writer(ABC):
    """Expressions over the columns of `target`. A row is named as SQL names it: NEW, OLD, or an alias."""

    def __init__(self, connection: BaseDatabaseWrapper, target: Target) -> None:
        self.connection = connection
        self.target = target

    @abstractmethod
    def text(self, row: str, field: Field[Any, Any]) -> str:
        """The one spelling of a value, as `synchro.keys.value_to_text` has it."""

    @abstractmethod
    def json_text(self, text: str) -> str:
        """`text` as a string of JSON, spelled as Python spells it."""

    def concatenated(self, *parts: str) -> str:
        return " || ".join(parts)

    def name(self, row: str, field: Field[Any, Any]) -> str:
        return f"{row}.{quoted(self.connection, field)}"

    def json(self, row: str, field: Field[Any, Any], zone: bool = False) -> str:
        """The value in JSON; with `zone`, moments are spelled so that `to_python` makes them aware."""
        text = self.text(row, field)
        if kind_of(field, self.connection) is Kind.INTEGER:
            return text
        if zone and needs_zone(field, self.connection):
            text = self.concatenated(text, "'+00:00'")
        return self.json_text(text)

    def key(self, row: str) -> str:
        if len(self.target.key) == 1:
            return self.text(row, self.target.key[0])
        return self.json_list([self.json(row, field) for field in self.target.key])

    def natural(self, row: str) -> str:
        if not self.target.natural:
            return "NULL"
        values = {
            field.attname: f"COALESCE({self.json(row, field, zone=True)}, 'null')"
            for field in self.target.natural
        }
        return (
            self.json_object(values) if self.target.is_natural_named else self.json_list([*values.values()])
        )

    def json_list(self, parts: Sequence[str]) -> str:
        between = [part for value in parts for part in ("','", value)]
        return self.concatenated("'['", *between[1:], "']'")

    def json_object(self, parts: Mapping[str, str]) -> str:
        pairs = [part for name, value in parts.items() for part in (f"',{json.dumps(name)}:'", value)]
        return self.concatenated("'{'", pairs[0].replace(",", "", 1), *pairs[1:], "'}'")


class RowWriter(Writer):
    """Of triggers for each row."""

    #: The database's clock, in UTC.
    now: ClassVar[str]

    @abstractmethod
    def differs(self, field: Field[Any, Any]) -> str:
        """A condition: the column's old value is not, byte for byte, its new one."""

    def any_differs(self, fields: Sequence[Field[Any, Any]]) -> str:
        return "(" + (" OR ".join(map(self.differs, fields)) or "0") + ")"

    def insert(self, key: str, action: int, **more: str) -> str:
        quote = self.connection.ops.quote_name
        names = ", ".join(map(quote, ("content_type_id", "object_id", "date", "action", *more)))
        values = ", ".join((str(self.target.content_type), key, self.now, str(action), *more.values()))
        return f"INSERT INTO {quote(LOG)} ({names})\n        VALUES ({values})"

    def deleted(self) -> str:
        more = {"natural_key": self.natural("OLD")} if self.target.natural else {}
        return self.insert(self.key("OLD"), DELETION, **more)

    def added(self) -> str:
        return self.insert(self.key("NEW"), ADDITION)


#: Where the parts of a UUID begin in 32 digits, and how long they are.
UUID_PARTS = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
