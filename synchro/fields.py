"""Columns of synchro's own tables that Django has no field for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Func
from django.db.models.expressions import Col
from django.utils import timezone

if TYPE_CHECKING:
    DateTimeBase = models.DateTimeField[Any, Any]
    TextBase = models.TextField[Any, Any]
    WholeBase = models.BigIntegerField[Any, Any]
else:
    DateTimeBase, TextBase, WholeBase = models.DateTimeField, models.TextField, models.BigIntegerField


class DatabaseNow(Func):
    """
    The time by the database's own clock, in UTC, at the engine's full resolution.

    Unlike Django's ``Now`` it ignores the session's time zone on MySQL, and has microseconds on SQLite, whose
    clock is that of the process.
    """

    arity = 0
    output_field = models.DateTimeField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, list[Any]]:
        return "clock_timestamp()", []

    def as_mysql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, list[Any]]:
        return "UTC_TIMESTAMP(6)", []

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return "%s", [str(datetime.now(UTC).replace(tzinfo=None))]


class WholeKeyField(WholeBase):
    """A key that is a whole number, in a column of whole numbers. Its value is the text that entries spell it by."""

    def from_db_value(self, value: int | None, expression: Any, connection: Any) -> str | None:
        return None if value is None else str(value)

    def to_python(self, value: Any) -> str | None:
        number = super().to_python(value)
        return None if number is None else str(number)


class UTCDateTimeField(DateTimeBase):
    """
    A moment, stored in UTC whatever ``USE_TZ`` and the connection's time zone say.

    Triggers write this column with the database's clock, so what is stored cannot depend on the settings of the
    project that reads it. Values are aware (UTC) where ``USE_TZ`` is on, else naive in the project's time zone.
    """

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        if not isinstance(value, datetime):
            return super().get_db_prep_value(value, connection, prepared)
        if timezone.is_naive(value):
            value = timezone.make_aware(value)
        value = value.astimezone(UTC)
        if connection.features.supports_timezones:
            return value
        return connection.ops.adapt_datetimefield_value(value.replace(tzinfo=None))

    def from_db_value(self, value: datetime | None, expression: Any, connection: Any) -> datetime | None:
        if value is None:
            return None
        if not connection.features.supports_timezones:
            value = value.replace(tzinfo=UTC)
        elif timezone.is_naive(value):
            value = timezone.make_aware(value)
        return value.astimezone(UTC) if settings.USE_TZ else timezone.make_naive(value)


def moment_reader(connection: BaseDatabaseWrapper) -> Callable[[Any], datetime]:
    """What makes a moment of a stored `UTCDateTimeField`, as the driver gives it."""
    field = UTCDateTimeField()
    column = Col("", field)
    converters = [*connection.ops.get_db_converters(column), field.from_db_value]
    is_aware, with_zones = settings.USE_TZ, connection.features.supports_timezones

    def read(value: Any) -> Any:
        if is_aware and type(value) is datetime:  # the usual cases, for the sake of speed
            if not with_zones:
                return value.replace(tzinfo=UTC)
            if value.tzinfo is UTC:
                return value
        for convert in converters:
            value = convert(value, column, connection)
        return value

    return read


class NamesField(TextBase):
    """Names of fields, stored as text with commas; None where they are not known."""

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> tuple[str, ...] | None:
        return None if value is None else tuple(filter(None, value.split(",")))

    def to_python(self, value: Any) -> tuple[str, ...] | None:
        if isinstance(value, str):
            return tuple(filter(None, value.split(",")))
        return None if value is None else tuple(value)

    def get_prep_value(self, value: str | Iterable[str] | None) -> str | None:
        return value if value is None or isinstance(value, str) else ",".join(value)

    def value_to_string(self, obj: models.Model) -> str:
        return self.get_prep_value(self.value_from_object(obj)) or ""
