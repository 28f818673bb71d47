"""Which spicy field a model or a field name leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from django.db import models

    from django_spicy_id.base import SpicyField


def spicy_field(model: type[models.Model], field_name: str = "pk") -> SpicyField:
    """
    Return the spicy field that `field_name` of `model` is, or that it refers to.

    'pk' is the primary key; foreign keys and parent links are followed to the key that they hold. Any other
    kind of field raises ImproperlyConfigured, an unknown name FieldDoesNotExist.
    """
    from django_spicy_id.base import SpicyField

    field: Any = model._meta.pk if field_name == "pk" else model._meta.get_field(field_name)
    while getattr(field, "many_to_one", False) or getattr(field, "one_to_one", False):
        if not hasattr(field, "target_field"):
            break
        field = field.target_field
    if not isinstance(field, SpicyField):
        raise ImproperlyConfigured(
            f"{model._meta.label}.{field_name} is neither a spicy id nor a reference to one"
        )
    return field
