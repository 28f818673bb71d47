"""
REMOTE's table: which column of a row REMOTE refuses, and why.

Servers word their errors differently and put values into them. So the message comes from a look at REMOTE's table, and
names no value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from django.db import DatabaseError, connections
from django.db.models import JSONField, Model
from django.utils.translation import gettext as _

from synchro.backends import Unfit
from synchro.exceptions import Culprit, Refused, SynchroError, WrongDatabase
from synchro.keys import AnyField, Key, column_field, key_fields, to_text
from synchro.registry import Table
from synchro.replay.columns import Codec, narrow_columns
from synchro.replay.guests.guard import Guest, guest_of
from synchro.replay.plan import Prerequisites
from synchro.replay.rows import select
from synchro.replay.session import Database, Session
from synchro.replay.unreadable import is_about_the_server

#: How many keys one message names.
MOST_NAMED = 10

#: How servers name a column: column 'at', column `db`.`table`.`at`, column "at", column at.
NAMED_COLUMN = re.compile(r"column (?:(?:[`'\"]?[^`'\".]+[`'\"]?\.)*[`'\"]([^`'\"]+)[`'\"]|(\w+))")


def is_about_a_row(session: Session, error: Exception) -> bool:
    """Return whether the error comes from what was written; code of others may raise anything."""
    is_own = isinstance(error, Prerequisites | SynchroError) and not isinstance(error, WrongDatabase)
    return not is_own and not is_about_the_server(session.remote.backend, error)


def refused_together(model: type[Model], keys: Collection[Key], error: Exception) -> Refused:
    """Return the error for rows, by LOCAL's keys, of which REMOTE takes each one but not all together."""
    names = [to_text(model, key) for key in keys]
    more = _(" and %(count)d more") % {"count": len(names) - MOST_NAMED} if len(names) > MOST_NAMED else ""
    return Refused(
        _(
            "REMOTE refuses these rows of %(model)s together: %(keys)s (%(cause)s). The batch was rolled back. Compare "
            "their unique values, and what they point at, with REMOTE's rows; correct what does not fit, and "
            "synchronize again."
        )
        % {
            "model": model._meta.label,
            "keys": ", ".join(names[:MOST_NAMED]) + more,
            "cause": type(error).__name__,
        },
        [Culprit(model, key, type(error).__name__) for key in keys],
    )


def caused_by(found: Exception, error: Exception) -> BaseException | None:
    """
    Return what to raise `found` from, which takes the place of `error`.

    An error that is raised from itself would lose its own cause, which tells whether it is transient.
    """
    return error.__cause__ if found is error else error


def diagnose_row(
    table: RemoteTable, model: type[Model], key: Key, row: Sequence[Any], error: Exception
) -> Refused:
    """Return the error that says why REMOTE refuses a row with this `error`."""
    if isinstance(error, WrongDatabase) and not error.culprits:
        return Refused(str(error), [Culprit(model, key, error.cause)])
    if isinstance(error, Refused):
        return error
    if isinstance(error, DatabaseError | ValueError | TypeError | ArithmeticError | RecursionError):
        for fields, cause in table.faults(row):
            return refused_for(model, key, fields, cause)
    if isinstance(error, DatabaseError) and (name := table.column_named_by(error)):
        return refused_for(
            model,
            key,
            [name],
            _("REMOTE cannot hold the value (%(error)s)") % {"error": type(error).__name__},
        )
    return _unexplained(model, key, error, table.constraint_named_by(error) or type(error).__name__)


def refused_for(model: type[Model], key: Key, fields: Sequence[str], cause: str) -> Refused:
    """Return the error that names an object, its fields, and why REMOTE refuses it."""
    names = {
        "model": model._meta.label,
        "key": to_text(model, key),
        "fields": ", ".join(fields),
        "cause": cause,
    }
    return Refused(
        _(
            "REMOTE refuses %(model)s %(key)s, column %(fields)s: %(cause)s. The batch was rolled back. Correct this "
            "row on LOCAL (its value, or what it points at), or the row of REMOTE that is in its way, and synchronize "
            "again."
        )
        % names,
        [Culprit(model, key, _("column %(fields)s: %(cause)s") % names)],
    )


def row_is_missing(model: type[Model], keys: Sequence[Key]) -> Refused:
    """Return the error that names rows which the batch changes and which REMOTE does not have (any more)."""
    if not keys:
        return Refused(
            _(
                "REMOTE did not change all rows of %(model)s that it was to change. The batch was rolled back. "
                "Synchronize again; if this happens again, find out what deletes or keeps them there, such as a "
                "trigger."
            )
            % {"model": model._meta.label}
        )
    cause = _("REMOTE does not have the row that was to be changed")
    return Refused(
        _(
            "%(model)s %(keys)s: %(cause)s. It was deleted while the batch was being written, as by a receiver or a "
            "trigger of REMOTE. The batch was rolled back; synchronize again, and if this happens again, find out what "
            "deletes it."
        )
        % {
            "model": model._meta.label,
            "keys": ", ".join(to_text(model, key) for key in keys[:10]),
            "cause": cause,
        },
        [Culprit(model, key, cause) for key in keys],
    )


def _unexplained(model: type[Model], key: Key, error: Exception, cause: str) -> Refused:
    text = _("REMOTE refuses %(model)s %(key)s (%(cause)s). The batch was rolled back.")
    names = {"model": model._meta.label, "key": to_text(model, key), "cause": _in_words(error)}
    guest = guest_of(error)
    advice = _("Correct this row on LOCAL, or what refuses it on REMOTE, and synchronize again.")
    return Refused(
        f"{text % names} {advice if guest is None else _about(guest)}", [Culprit(model, key, cause)]
    )


def is_of_guest(error: Exception) -> bool:
    """Return whether code of others raised it, where the object that it ran for is known."""
    guest = guest_of(error)
    return guest is not None and guest.key is not None and not isinstance(error, SynchroError | MemoryError)


def of_guest(error: Exception) -> Refused:
    """Return the error to raise in place of one of code of others, where several objects were worked on."""
    guest = guest_of(error)
    assert guest is not None
    text = _("REMOTE refuses %(model)s %(key)s (%(cause)s). The batch was rolled back.")
    return Refused(f"{text % {**guest.names(), 'cause': _in_words(error)}} {_about(guest)}")


def _about(guest: Guest) -> str:
    """Return which code an error came from, and what to do about it."""
    text = _("It came from %(code)s. %(advice)s") % guest.names()
    for table, alias in guest.reads[:1]:
        read = _("That had read %(table)s from the database “%(alias)s”, not from REMOTE.")
        text += " " + read % {"table": table, "alias": alias}
    return text


def _in_words(error: Exception) -> str:
    """Return the error in words; of a server's only its class, since its text may hold values."""
    name = type(error).__name__
    return name if isinstance(error, DatabaseError) else f"{name}: {error}"


class RemoteTable:
    """REMOTE's table as it is, which need not be as the model says."""

    def __init__(self, database: Database, model: type[Model]) -> None:
        self._database, self._model = database, model
        self._fields = Table(model).fields
        connection = connections[database.alias]
        with connection.cursor() as cursor:
            described = connection.introspection.get_table_description(cursor, model._meta.db_table)
            self._constraints = connection.introspection.get_constraints(cursor, model._meta.db_table)
        self._columns = {column.name: column for column in described}

    def faults(self, row: Sequence[Any]) -> Iterable[tuple[list[str], str]]:
        """Yield the fields of the row that REMOTE cannot take, each with the reason."""
        yield from self._value_faults(row)
        yield from self._constraint_faults(dict(zip((f.column for f in self._fields), row, strict=True)))

    def constraint_named_by(self, error: Exception) -> str | None:
        """Return the constraint that the server's error names."""
        text = str(error)
        return next((name for name in sorted(self._constraints, key=len, reverse=True) if name in text), None)

    def column_named_by(self, error: Exception) -> str | None:
        """Return the name of the field whose column the server's error names."""
        by_column = {field.column: field.name for field in self._fields}
        found = (name for several in NAMED_COLUMN.findall(str(error)) for name in several if name)
        return next((by_column[name] for name in found if name in by_column), None)

    def suspects(self, rows: Mapping[Key, Sequence[Any]]) -> set[Key]:
        """Return the rows that REMOTE probably cannot take, by one statement for each unique constraint."""
        found = {key for key, row in rows.items() if any(True for _fault in self._value_faults(row))}
        by_column = {field.column: position for position, field in enumerate(self._fields)}
        for constraint in self._constraints.values():
            columns = constraint["columns"] or ()
            if constraint["unique"] and columns and all(column in by_column for column in columns):
                found |= self._taken(rows, [by_column[column] for column in columns], found)
        return found

    def _taken(
        self, rows: Mapping[Key, Sequence[Any]], positions: Sequence[int], known: Collection[Key]
    ) -> set[Key]:
        """Return the keys of `rows` whose values in these columns other rows have, on REMOTE or among them."""
        own = [self._fields.index(field) for field in key_fields(self._model)]
        fields = [self._fields[position] for position in positions]
        wanted: dict[tuple[Any, ...], list[Key]] = {}
        for key, row in rows.items():
            values = tuple(row[position] for position in positions)
            if key not in known and None not in values:
                wanted.setdefault(values, []).append(key)
        found = {key for keys in wanted.values() for key in keys[1:]}
        columns = [*key_fields(self._model), *fields]
        for other in select(self._database, self._model, columns, fields, list(wanted)):
            for key in wanted.get(tuple(other[len(own) :]), ()):
                if [rows[key][position] for position in own] != list(other[: len(own)]):
                    found.add(key)
        return found

    def _value_faults(self, row: Sequence[Any]) -> Iterable[tuple[list[str], str]]:
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
            elif isinstance(value, str | bytes) and self._is_beyond_a_statement(value):
                yield [field.name], _("the value is longer than a statement of REMOTE may be")
            elif value is not None and (cause := self._is_unfit(field, value)):
                yield [field.name], cause

    def _is_unfit(self, field: AnyField, value: Any) -> str | None:
        connection = self._database.connection
        try:
            (encoded,) = Codec([field], connection, narrow_columns(self._database, self._model)).encode(
                [value]
            )
        except Unfit as error:
            return str(error)
        except Exception:  # noqa: BLE001  a field of the project's own may raise anything
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
            highest = self._database.backend.highest_integer
            low, high = max(low or -(2**63), -(2**63)), min(high or highest, highest)
            if not low <= encoded <= high:
                return _("the value is out of range")
        return None

    def _is_too_long(self, value: str, column: Any) -> bool:
        size = column.display_size or column.internal_size
        return size is not None and 0 < size < len(value)

    def _is_beyond_a_statement(self, value: str | bytes) -> bool:
        # A character takes four bytes at most.
        longest = self._database.backend.longest_statement()
        return (
            4 * len(value) > longest and len(value if isinstance(value, bytes) else value.encode()) > longest
        )

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
        values = Codec(fields, self._database.connection).encode([row[column] for column in columns])
        key = Codec([by_column[column] for column in own], self._database.connection).encode(
            [row[column] for column in own]
        )
        table = self._model._meta.db_table
        found = self._database.backend.select(table, own, columns, [values])
        return any(list(other) != list(key) for other in found)


def _is_plain_json(value: str) -> bool:
    """Return whether the text has neither a NUL nor half of a character, which PostgreSQL and others refuse."""
    try:
        text = json.dumps(json.loads(value), ensure_ascii=False)
        text.encode()
    except RecursionError:
        return True  # the server may know
    except ValueError:
        return False
    return "\\u0000" not in text
