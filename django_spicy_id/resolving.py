"""From an id alone to the row it stands for."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.apps import apps
from django.db import models

from django_spicy_id.base import SpicyField
from django_spicy_id.checks import spicy_fields
from django_spicy_id.errors import AmbiguousSpicyIdError, MalformedSpicyIdError, UnknownSpicyIdError, shown
from django_spicy_id.lookup import spicy_field


class _Pair(NamedTuple):
    model: type[models.Model]
    #: An integer, or a UUID where the field is one of UUIDs.
    key: Any


class ResolvedId(_Pair):
    """The model whose id it is, and what the column holds. Whether there is such a row is not asked."""

    _field: Any

    def __new__(cls, model: type[models.Model], key: Any, field: SpicyField | None = None) -> ResolvedId:
        """`field` is the one that has the key, by default the model's primary key."""
        made = super().__new__(cls, model, key)
        made._field = field or spicy_field(model)
        return made

    @property
    def field(self) -> SpicyField:
        """The spicy field of the model that has this key."""
        field: SpicyField = self._field
        return field

    def exists(self, using: str | None = None) -> bool:
        """Tell whether the database `using` (by default the one that the model is read from) has the row."""
        rows = self.model._base_manager.using(using) if using else self.model._base_manager.all()
        return rows.filter(**{self.field.name: self.key}).exists()


def resolve(text: str) -> ResolvedId:
    """
    Return the model and the key of an id of this project.

    Raises UnknownSpicyIdError where no model's ids begin like `text`, MalformedSpicyIdError where one's do
    but `text` is not the spelling of any key, AmbiguousSpicyIdError where it is an id of several models.
    """
    if not isinstance(text, str):
        raise MalformedSpicyIdError(f"an id is a string, not {type(text).__name__}")
    fields = [field for field in spicy_fields(apps) if text.startswith(field.codec.preamble)]
    found: list[ResolvedId] = []
    reasons: list[str] = []
    for field in fields:
        try:
            found.append(ResolvedId(field.model, field.key_of(text), field))
        except MalformedSpicyIdError as error:
            reasons.append(f"as an id of {field.model._meta.label}, {error}")
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(one.model._meta.label for one in found)
        raise AmbiguousSpicyIdError(f"{shown(text)} is an id of {names}")
    if reasons:
        raise MalformedSpicyIdError(f"{shown(text)} is not an id: {'; '.join(reasons)}")
    raise UnknownSpicyIdError(f"no model has ids that begin like {shown(text)}")
