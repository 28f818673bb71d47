"""Whether a model's own methods can make the natural key of a row that is gone, of what triggers write down of it."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, NoReturn
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, connections
from django.db.models import Model
from django.utils.connection import ConnectionDoesNotExist

from synchro.keys import AnyField, column_field, is_integer
from synchro.natural_parts import natural_values
from synchro.natural_rows import columns_for_methods

#: No database has this alias: what is deferred cannot be asked for.
NOWHERE = "synchro asks no database"
#: How many references a natural key may follow.
DEPTH = 5

SAMPLES: dict[str, Any] = {
    "BooleanField": True,
    "UUIDField": UUID(int=1),
    "DecimalField": Decimal(1),
    "DateField": date(2000, 1, 1),
    "TimeField": time(1),
    "DateTimeField": datetime(2000, 1, 1, tzinfo=UTC),
    "GenericIPAddressField": "127.0.0.1",
    "CharField": "1",
    "SlugField": "1",
}


class _Asked(Exception):
    """A database was asked."""


def needs_more_than_columns(model: type[Model]) -> bool:
    """
    Whether `natural_key()` asks a database for what the entry of a deletion does not hold.

    It is found out by an object with values of no row, on which nothing is asked of a database. What such values make
    it raise says nothing.
    """
    fields = columns_for_methods(model)
    if not fields:
        return False
    try:
        with ExitStack() as stack:
            for alias in connections:
                stack.enter_context(connections[alias].execute_wrapper(_ask_nothing))
            natural_values(_sample(model, (*fields, model._meta.pk), DEPTH))
    except (_Asked, ConnectionDoesNotExist, DatabaseError):
        return True
    except Exception:  # noqa: BLE001  code of others
        return False
    return False


def _ask_nothing(*_args: Any) -> NoReturn:
    raise _Asked


def _sample(model: type[Model], fields: Any, depth: int) -> Model:
    known = [field for field in model._meta.concrete_fields if field in fields]
    instance = model.from_db(NOWHERE, [field.attname for field in known], [_value(field) for field in known])
    for field in known:
        if field.remote_field is not None and field.related_model is not None and depth:
            # What a row points at is most often still there, with all its columns.
            target: Any = field.related_model
            field.set_cached_value(instance, _sample(target, target._meta.concrete_fields, depth - 1))  # type: ignore[attr-defined]
    return instance


def _value(field: AnyField) -> Any:
    if is_integer(field):
        return 1
    value = SAMPLES.get(column_field(field).get_internal_type(), "1")
    return value.replace(tzinfo=None) if isinstance(value, datetime) and not settings.USE_TZ else value
