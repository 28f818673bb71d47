"""
Values of columns, between two databases.

Rows travel at the level of columns, not of fields: a value is what Django's backend makes of the driver's value,
before the field's own `from_db_value`. So JSON stays the text it is (JSON null apart from SQL NULL, ``1.0`` apart
from ``1``), a spicy id stays an integer, and a custom field that encrypts stays encrypted. Only fields with a column
type of their own are asked to convert.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache, partial
from typing import Any
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, JSONField, Model, Value
from django.db.models.expressions import Col
from django.utils.translation import gettext as _

from synchro.backends import Convert, Unfit, backend_for
from synchro.backends.exact import Reading, refuse_more_places
from synchro.backends.narrow import check_of
from synchro.keys import (
    INTEGERS,
    TEXTS,
    AnyField,
    column_field,
    is_integer,
    key_fields,
    normalize,
    value_to_text,
)
from synchro.registry import Table
from synchro.replay.session import Database

NULL = frozenset({type(None)})
KNOWN = (
    INTEGERS
    | TEXTS
    | {
        "BinaryField",
        "BooleanField",
        "DateField",
        "DateTimeField",
        "DecimalField",
        "DurationField",
        "FloatField",
        "GenericIPAddressField",
        "JSONField",
        "TimeField",
        "UUIDField",
    }
)


class Codec:
    """Converts rows of some fields, in their order, from one database's driver or to another's."""

    def __init__(
        self,
        fields: Sequence[AnyField],
        connection: BaseDatabaseWrapper,
        checks: Mapping[str, Convert] | None = None,
    ) -> None:
        self.decoders = [
            (position, convert) for position, f in enumerate(fields) if (convert := decoder(f, connection))
        ]
        self.encoders = [
            (position, convert) for position, f in enumerate(fields) if (convert := encoder(f, connection))
        ]
        if checks:
            narrow = [(position, checks[f.column]) for position, f in enumerate(fields) if f.column in checks]
            self.encoders = narrow + self.encoders
        readings = [
            (position, f, reading)
            for position, f in enumerate(fields)
            if (reading := reading_of(f, connection))
        ]
        #: The SQL by which columns are read that the driver would change.
        self.spelled = {f.column: reading.sql for _position, f, reading in readings if reading.sql != "{}"}
        self._types = [
            (position, reading.types | NULL) for position, _f, reading in readings if reading.types
        ]

    def decode(self, row: Sequence[Any]) -> list[Any]:
        values = list(row)
        for position, convert in self.decoders:
            if values[position] is not None:
                values[position] = convert(values[position])
        return values

    def decode_all(self, rows: Iterable[Sequence[Any]]) -> list[Sequence[Any]]:
        """
        Decode the rows of a `select` in which the columns were read as they are `spelled`.

        Raises `Unfit` for a value that the column's type does not have.
        """
        if self._types:
            rows = list(rows)
            for position, types in self._types:
                if not types.issuperset({type(row[position]) for row in rows}):
                    raise Unfit(_("the column holds a value of another type"))
        return [self.decode(row) for row in rows] if self.decoders else list(rows)

    def encode_all(self, rows: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        return [self.encode(row) for row in rows] if self.encoders else rows

    def encode(self, row: Sequence[Any]) -> list[Any]:
        values = list(row)
        for position, convert in self.encoders:
            if values[position] is not None:
                values[position] = convert(values[position])
        return values


def is_plain(field: AnyField) -> bool:
    """Return whether the column is one of Django's own types, whatever the field makes of its values."""
    target = column_field(field)
    kind = target.get_internal_type()
    own = getattr(type(target), "db_type", None) is Field.db_type or type(target).__module__.startswith(
        "django.db"
    )
    return kind in KNOWN and own


def decoder(field: AnyField, connection: BaseDatabaseWrapper) -> Convert | None:
    """Return what makes a column's value of the driver's value; None where they are the same."""
    target = column_field(field)
    if target.get_internal_type() == "BinaryField":
        return bytes
    expression = Col("", target)
    converters = list(connection.ops.get_db_converters(expression))
    reading = reading_of(field, connection)
    exact = reading.convert if reading else None
    if target.get_internal_type() == "DurationField" and not connection.features.has_native_duration_field:
        converters.append(connection.ops.convert_durationfield_value)  # which Django leaves to the field
    if not is_plain(field):
        converters += target.get_db_converters(connection)
    if not converters:
        return exact
    return partial(_convert, exact, converters, expression, connection)


def reading_of(field: AnyField, connection: BaseDatabaseWrapper) -> Reading | None:
    """Return how the column is to be read where the driver would change its values."""
    backend, target = backend_for(connection), column_field(field)
    return backend.reading(target) if is_plain(field) else backend.reading_of_type(target.db_type(connection))


def _convert(
    exact: Convert | None, converters: Sequence[Any], expression: Any, connection: Any, value: Any
) -> Any:
    if exact is not None:
        value = exact(value)
    for converter in converters:
        value = converter(value, expression, connection)
    return value


def encoder(field: AnyField, connection: BaseDatabaseWrapper) -> Convert | None:
    """Return what makes the driver's value of a column's value; None where they are the same."""
    target = column_field(field)
    if not is_plain(field):
        return partial(target.get_db_prep_save, connection=connection)
    own = backend_for(connection).encoder(target)
    if own is not None:
        return own
    ops, features = connection.ops, connection.features
    match target.get_internal_type():
        case "DateField":
            return ops.adapt_datefield_value
        case "DateTimeField":
            return _moment(connection)
        case "TimeField":
            return ops.adapt_timefield_value
        case "DecimalField":
            digits, places = target.max_digits, target.decimal_places
            return partial(_decimal, ops.adapt_decimalfield_value, digits, places)
        case "DurationField":
            return None if features.has_native_duration_field else _microseconds
        case "UUIDField":
            return None if features.has_native_uuid_field else _hex
        case "BinaryField":
            return connection.Database.Binary  # type: ignore[attr-defined,no-any-return]
        case "GenericIPAddressField":
            return ops.adapt_ipaddressfield_value
    return None


def _decimal(adapt: Any, digits: int | None, places: int | None, value: Decimal) -> Any:
    refuse_more_places(value, places)
    return adapt(value, digits, places)


def _moment(connection: BaseDatabaseWrapper) -> Convert:
    """Return what encodes moments. Stored in local time, some of them do not exist, and some are two."""
    adapt: Convert = connection.ops.adapt_datetimefield_value
    if connection.features.supports_timezones:
        name = None if settings.USE_TZ else settings.TIME_ZONE
    else:
        name = connection.timezone_name if settings.USE_TZ else None
    if name is None or name == "UTC":
        return adapt
    zone = ZoneInfo(name)

    def convert(value: datetime) -> Any:
        naive = value.astimezone(zone).replace(tzinfo=None) if value.tzinfo else value
        known = naive.replace(fold=0, tzinfo=zone).astimezone(UTC)
        stored = known if value.tzinfo else known.astimezone(zone).replace(tzinfo=None)
        if stored != value:
            raise Unfit(_("REMOTE keeps times of %(zone)s, where this one is not or is two") % {"zone": name})
        return adapt(value)

    return convert


def _microseconds(value: timedelta) -> int:
    return value // timedelta(microseconds=1)


def _hex(value: Any) -> str:
    return str(value.hex)


@cache
def _reads_as_stored(field: AnyField) -> bool:
    return not hasattr(column_field(field), "from_db_value")


def to_attribute(field: AnyField, value: Any, connection: BaseDatabaseWrapper) -> Any:
    """Return what an instance's attribute holds for a column's value."""
    if value is None or _reads_as_stored(field) or not is_plain(field):
        return value
    target = column_field(field)
    if isinstance(target, JSONField) and value == "null":
        return Value(None, JSONField())
    return target.from_db_value(value, Col("", target), connection)


def json_value(value: Any) -> Any:
    """Return a column's value as JSON can hold it, for people to read."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return bytes(value).hex() if isinstance(value, bytes | memoryview) else str(value)


def default_of(model: type[Model], field: AnyField, connection: BaseDatabaseWrapper) -> Any:
    """Return what a skipped column gets in a new row, as the driver takes it."""
    return field.get_db_prep_save(field.pre_save(model(), add=True), connection)


def spelt_alike(
    field: AnyField, target: type[Model], key: Any, other: Any, connection: BaseDatabaseWrapper
) -> Any:
    """Return a key of `target` as the column of a generic foreign key holds it, spelt as `other` is."""
    own = key_fields(target)[0]
    if isinstance(other, str) and is_integer(own) and not other.lstrip("-").isdecimal():
        return str(to_attribute(own, key, connection))  # such as a spicy id
    return normalize(field, key if isinstance(key, int) else value_to_text(key))


Checks = Mapping[str, Convert]

_known: WeakKeyDictionary[BaseDatabaseWrapper, dict[type[Model], Checks]] = WeakKeyDictionary()


def narrow_columns(database: Database, model: type[Model]) -> Checks:
    """Return, by column, what raises `Unfit` for a value that the database's table would change without an error."""
    look_at_columns(database, [model])
    return _known[database.connection][model]


def look_at_columns(database: Database, models: Iterable[type[Model]]) -> None:
    """Read by one statement what `narrow_columns` will be asked about these models."""
    known = _known.setdefault(database.connection, {})
    new = [model for model in models if model not in known]
    if not new:
        return
    described = database.backend.describe([model._meta.db_table for model in new])
    for model in new:
        columns = described.get(model._meta.db_table, {})
        checks = {
            field.column: check_of(column_field(field), columns[field.column])
            for field in Table(model).fields
            if field.column in columns and is_plain(field)
        }
        known[model] = {column: check for column, check in checks.items() if check is not None}


def spells_all(local: Database, remote: Database, model: type[Model]) -> bool:
    """Return whether a row of LOCAL, in its server's spelling, is the same row on REMOTE."""
    return not narrow_columns(remote, model) and not _spells_singles(local, model)


def _spells_singles(database: Database, model: type[Model]) -> bool:
    """Return whether numbers of single precision are spelled with few digits: another column makes others of them."""
    singles = [
        field.column
        for field in Table(model).fields
        if column_field(field).get_internal_type() == "FloatField"
    ]
    return bool(singles) and not narrow_columns(database, model).keys().isdisjoint(singles)


def forget_columns(database: Database) -> None:
    """Forget the tables that were looked at: they may have been altered since."""
    _known.pop(database.connection, None)


__all__ = [
    "Codec",
    "default_of",
    "forget_columns",
    "json_value",
    "look_at_columns",
    "narrow_columns",
    "spells_all",
    "to_attribute",
]
