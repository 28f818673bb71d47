"""Texts to keys in SQL: what a table of another package keeps as text is an id, and not the digits of a key."""

from __future__ import annotations

from typing import Any, Final

from django.db import NotSupportedError
from django.db.models import CharField, ForeignKey, TextField
from django.db.models.functions import Cast
from django.db.models.lookups import Regex
from django.db.models.sql.compiler import SQLCompiler

from django_spicy_id.base import SpicyField
from django_spicy_id.integers import SpicyInteger

#: Of an engine: the place of a character, from 1, in a text, however alike its other characters are.
PLACE: Final = {
    "sqlite": "INSTR('{alphabet}', {character})",
    "postgresql": "STRPOS('{alphabet}', {character})::bigint",
    "mysql": "LOCATE(CAST({character} AS BINARY), CAST('{alphabet}' AS BINARY))",
}
LENGTH: Final = {"mysql": "CHAR_LENGTH"}


def spicy_target(field: Any) -> SpicyField | None:
    """Return the spicy field that `field` is, or that it refers to; None if there is none."""
    while isinstance(field, ForeignKey):
        field = field.target_field
    return field if isinstance(field, SpicyField) else None


class IdCast(Cast):
    """
    Django's, but a text that becomes a spicy key is taken for an id, and one that is none becomes NULL.

    All else is cast as ever.
    """

    def as_sqlite(self, compiler: SQLCompiler, connection: Any, **context: Any) -> Any:
        return self._key(compiler, connection) or super().as_sqlite(compiler, connection, **context)

    def as_mysql(self, compiler: SQLCompiler, connection: Any, **context: Any) -> Any:
        return self._key(compiler, connection) or super().as_mysql(compiler, connection, **context)

    def as_postgresql(self, compiler: SQLCompiler, connection: Any, **context: Any) -> Any:
        return self._key(compiler, connection) or super().as_postgresql(compiler, connection, **context)

    def _key(self, compiler: SQLCompiler, connection: Any) -> Any:
        """Return the SQL of the key and its parameters; None if this is an ordinary cast."""
        field = spicy_target(self.output_field)
        source: Any = self.get_source_expressions()[0]
        if field is None:
            return None
        if spicy_target(source.output_field):
            return compiler.compile(source)
        if not isinstance(source.output_field, CharField | TextField):
            return None
        if not isinstance(field, SpicyInteger):
            raise NotSupportedError(
                f"the database cannot read ids of {field.model._meta.label}.{field.name} that are kept as text, since "
                "they have more than 64 bits: keep references to it in a foreign key"
            )
        return _key_of_text(field, source, compiler, connection)


def _key_of_text(field: SpicyInteger, source: Any, compiler: SQLCompiler, connection: Any) -> Any:
    """The sum of the digits, counted from the last one, of what the regular expression of the field admits."""
    text, parameters = compiler.compile(source)
    matches, more = compiler.compile(Regex(source, rf"^{field.codec.pattern}$"))
    codec = field.codec
    length = f"{LENGTH.get(connection.vendor, 'LENGTH')}({text})"
    terms = []
    for place in range(codec.width):
        character = f"SUBSTR({text}, {length} - {place}, 1)"
        digit = PLACE[connection.vendor].format(alphabet=codec.alphabet, character=character)
        value = f"({digit} - 1) * {len(codec.alphabet) ** place}"
        terms.append(f"CASE WHEN {length} > {len(codec.preamble) + place} THEN {value} ELSE 0 END")
    sum_of_digits = " + ".join(terms)
    # Three times a digit: its length in the condition, its length and itself in the value.
    return (
        f"CASE WHEN {matches} THEN {sum_of_digits} END",
        (*more, *(parameter for _ in range(3 * codec.width) for parameter in parameters)),
    )
