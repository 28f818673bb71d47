"""
Blame: which row of a group REMOTE refuses, by which column, and why.

Servers word their errors differently and put values into them, so the message is made by looking at REMOTE's table,
and names no value.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError, connections
from django.db.models import JSONField, Model
from django.utils.translation import gettext as _

from synchro.engines import Unfit
from synchro.exceptions import Refused, SynchroError
from synchro.keys import AnyField, Key, column_field, key_fields, to_text
from synchro.registry import Table
from synchro.replay.columns import Codec
from synchro.replay.link import Link, Side


def blame(link: Link, model: type[Model], rows: Mapping[Key, Sequence[Any]], error: Exception) -> Exception:
    """
    The error to raise in place of `error`, which REMOTE gave when `rows` of `model` (by LOCAL's keys, in the order
    of the table's fields) were written.

    Lost connections, and what nobody but the developers of synchro can mend, are given back as they are.
    """
    if isinstance(error, SynchroError) or _is_about_the_server(error):
        return error
    if isinstance(error, DatabaseError | ValueError | OverflowError):
        table = _Table(link.remote, model)
        for key, row in rows.items():
            for fields, cause in table.faults(row):
                return Refused(_message(model, key, fields, cause))
    cause = type(error).__name__ if isinstance(error, DatabaseError) else f"{type(error).__name__}: {error}"
    if len(rows) == 1:
        (key,) = rows
        return Refused(
            _("REMOTE refuses %(model)s %(key)s (%(cause)s). The batch was rolled back.")
            % {"model": model._meta.label, "key": to_text(model, key), "cause": cause}
        )
    if isinstance(error, DatabaseError | ValueError | OverflowError):
        return Refused(
            _("REMOTE refuses a row of %(model)s (%(cause)s). The batch was rolled back.")
            % {"model": model._meta.label, "cause": cause}
        )
    return error


def _is_about_the_server(error: Exception) -> bool:
    if isinstance(error, OperationalError):  # MySQL gives some refusals of rows this class
        return not (error.args and error.args[0] in (1264, 1265, 1364, 1366, 1406, 3819, 4025))
    return isinstance(error, InterfaceError)


def _message(model: type[Model], key: Key, fields: Sequence[str], cause: str) -> str:
    return _(
        "REMOTE refuses %(model)s %(key)s, column %(fields)s: %(cause)s. The batch was rolled back; mend the row on "
        "either side and synchronize again."
    ) % {"model": model._meta.label, "key": to_text(model, key), "fields": ", ".join(fields), "cause": cause}


class _Table:
    """REMOTE's table as it is there, which need not be what the model says."""

    def __init__(self, side: Side, model: type[Model]) -> None:
        self._side, self._model = side, model
        self._fields = Table(model).fields
        connection = connections[side.alias]
        with connection.cursor() as cursor:
            described = connection.introspection.get_table_description(cursor, model._meta.db_table)
            self._constraints = connection.introspection.get_constraints(cursor, model._meta.db_table)
        self._columns = {column.name: column for column in described}

    def faults(self, row: Sequence[Any]) -> Iterable[tuple[list[str], str]]:
        """Columns of the row that REMOTE cannot take, each with the reason."""
        for field, value in zip(self._fields, row, strict=True):
            column = self._columns.get(field.column)
            if column is None:
                yield [field.name], _("REMOTE has no such column")
            elif value is None and not column.null_ok and not field.primary_key:
                yield [field.name], _("it must not be NULL")
            elif isinstance(value, str) and self._is_too_long(value, column):
                yield [field.name], _("the value is too long")
            elif isinstance(value, str) and "\x00" in value:
                yield [field.name], _("the value has a NUL character")
            elif value is not None and (cause := self._is_unfit(field, value)):
                yield [field.name], cause
        yield from self._constraint_faults(dict(zip((f.column for f in self._fields), row, strict=True)))

    def _is_unfit(self, field: AnyField, value: Any) -> str | None:
        connection = self._side.connection
        try:
            (encoded,) = Codec([field], connection).encode([value])
        except Unfit as error:
            return str(error)
        except (ValueError, OverflowError, ArithmeticError):
            return _("REMOTE cannot hold the value")
        if (
            isinstance(column_field(field), JSONField)
            and isinstance(value, str)
            and not _is_plain_json(value)
        ):
            return _("the value has a character that REMOTE's JSON cannot hold")
        if isinstance(encoded, int) and not isinstance(encoded, bool):
            kind = column_field(field).get_internal_type()
            kind = "BigIntegerField" if kind == "DurationField" else kind
            try:
                low, high = connection.ops.integer_field_range(kind)
            except KeyError:
                return None
            highest = self._side.engine.highest_integer
            low, high = max(low or -(2**63), -(2**63)), min(high or highest, highest)
            if not low <= encoded <= high:
                return _("the value is out of range")
        return None

    def _is_too_long(self, value: str, column: Any) -> bool:
        size = column.display_size or column.internal_size
        return size is not None and 0 < size < len(value)

    def _constraint_faults(self, row: Mapping[str, Any]) -> Iterable[tuple[list[str], str]]:
        by_column = {field.column: field for field in self._fields}
        own = [field.column for field in key_fields(self._model)]
        for constraint in self._constraints.values():
            columns = [column for column in constraint["columns"] or () if column in row]
            if not columns or any(row[column] is None for column in columns):
                continue
            names = [by_column[column].name for column in columns]
            if constraint["unique"] and self._is_taken(own, columns, row, by_column):
                yield names, _("another row of REMOTE has this value, which must be unique")

    def _is_taken(
        self,
        own: Sequence[str],
        columns: Sequence[str],
        row: Mapping[str, Any],
        by_column: Mapping[str, AnyField],
    ) -> bool:
        fields = [by_column[column] for column in columns]
        values = Codec(fields, self._side.connection).encode([row[column] for column in columns])
        mine = Codec([by_column[column] for column in own], self._side.connection).encode(
            [row[c] for c in own]
        )
        table = self._model._meta.db_table
        found = self._side.engine.select(self._side.connection, table, own, columns, [values])
        return any(list(other) != list(mine) for other in found)


def _is_plain_json(value: str) -> bool:
    """Whether the text has neither NUL nor half of a character in it, which PostgreSQL and others refuse."""
    try:
        text = json.dumps(json.loads(value), ensure_ascii=False)
        text.encode()
    except ValueError:
        return False
    return "\\u0000" not in text
