"""django-polymorphic: its admin takes the key as it stands in the url, where ``_`` is ``_5F``."""

from __future__ import annotations

from functools import wraps
from typing import Any

from django.contrib.admin.utils import unquote

from django_spicy_id.neighbours.casts import spicy_target


def introduce(parentadmin: Any) -> None:
    admin = parentadmin.PolymorphicParentModelAdmin
    original = admin._get_real_admin

    @wraps(original)
    def _get_real_admin(self: Any, object_id: str, *args: Any, **kwargs: Any) -> Any:
        if spicy_target(self.model._meta.pk):
            object_id = unquote(object_id)
        return original(self, object_id, *args, **kwargs)

    admin._get_real_admin = _get_real_admin
