"""Expressions: what the database is asked to compute, in place of a value."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import FieldError
from django.db.models import Value
from django.db.models.expressions import DatabaseDefault
from django.db.models.sql import Query
from django.db.models.sql.constants import SINGLE

from synchro.exceptions import Uncaptured
from synchro.keys import AnyField


def value_of(field: AnyField, expression: Any, using: str) -> Any:
    """
    Return what the database makes of the expression now, as an attribute of an object holds it.

    Raises `Uncaptured` where that depends on the row.
    """
    inner = field.db_default if isinstance(expression, DatabaseDefault) else expression
    if isinstance(inner, Value) or not hasattr(inner, "resolve_expression"):
        return field.to_python(getattr(inner, "value", inner))
    query = Query(None)
    try:
        query.add_annotation(inner, "synchro_value")
        ((value,),) = [query.get_compiler(using=using).execute_sql(SINGLE)]
    except (FieldError, AttributeError, TypeError) as error:
        raise Uncaptured(
            f"{field.model._meta.label}: its key {field.name} is an expression, so no entry of the log could name the "
            "object. Nothing was written; give it a value, or capture by triggers (SYNCHRO_CAPTURE = 'triggers')."
        ) from error
    return field.to_python(value)
