"""
Natural rows: what a row is known by that is gone, where its natural key is made by the model's own methods.

A trigger cannot call a method. So the entry of a deletion holds the columns of the row, by their names, and the
object is made of them once more when its natural key is needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.db.models import Model

from synchro.conf import conf
from synchro.keys import AnyField, is_automatic, key_fields
from synchro.model_options import model_option
from synchro.natural import lacks_content_type, natural_fields, natural_names
from synchro.natural_parts import is_left_unused

#: Columns of a row by the names of their attributes, as `synchro.keys` spells values.
Columns = Mapping[str, Any]


def is_made_by_methods(model: type[Model]) -> bool:
    """Whether the natural key of `model` is not made of its own columns, so that its methods have to be asked."""
    if natural_fields(model) is not None:
        return False
    names = natural_names(model)
    if lacks_content_type(
        model, [field for field in model._meta.local_concrete_fields if field.name in names]
    ):
        return False
    given = model_option(model, "NATURAL_KEY")
    if given is not None:
        return bool(given)
    if not hasattr(model, "natural_key") or is_left_unused(model):
        return False
    managers = (model._default_manager, *model._meta.managers)
    return any(hasattr(manager, "get_by_natural_key") for manager in managers)


def columns_for_methods(model: type[Model]) -> tuple[AnyField, ...]:
    """
    Return the columns that the entry of a deletion holds for the model's methods; none where these are not needed.

    Long text is left out, and what the database computes when it is read.
    """
    if not is_made_by_methods(model) or not _is_found_by_its_natural_key(model):
        return ()
    return tuple(field for field in model._meta.local_concrete_fields if _is_logged(field))


def _is_found_by_its_natural_key(model: type[Model]) -> bool:
    fields = key_fields(model)
    is_same_key = model_option(model, "IDENTITY", conf.identity) == "pk"
    return len(fields) == 1 and is_automatic(fields[0]) and not is_same_key


def _is_logged(field: AnyField) -> bool:
    is_computed = field.generated and not field.db_persist
    return not field.primary_key and not is_computed and field.get_internal_type() != "TextField"


def columns_in_entry(text: str) -> Columns | None:
    """Return what `text`, the natural key in an entry, says of the row's columns; None where it is a natural key."""
    found = json.loads(text, strict=False)  # triggers leave a NUL character as it is
    return found if isinstance(found, dict) else None
