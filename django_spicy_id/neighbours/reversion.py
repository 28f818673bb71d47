"""django-reversion: it looks for the rows of versions by a cast of the key that it has kept as text."""

from __future__ import annotations

from functools import wraps
from typing import Any

from django.db import router
from django.db.models import Max
from django.db.models.functions import Cast

from django_spicy_id.integers import SpicyInteger
from django_spicy_id.neighbours.casts import IdCast, spicy_target


def introduce(models: Any) -> None:
    assert models.Cast is Cast
    models.Cast = IdCast
    original = models.VersionQuerySet.get_deleted

    @wraps(original)
    def get_deleted(self: Any, model: Any, model_db: str | None = None, **kwargs: Any) -> Any:
        field = spicy_target(model._meta.pk)
        if field is None or isinstance(field, SpicyInteger):
            return original(self, model, model_db=model_db, **kwargs)
        # No database reads ids of UUIDs. So this is done as reversion itself does it on most of them.
        model_db = model_db or router.db_for_write(model)
        there = model._default_manager.using(model_db).order_by().values_list("pk", flat=True)
        versions = self.get_for_model(model, model_db=model_db)
        gone = versions.exclude(object_id__in=list(there)).values_list("object_id")
        last = gone.annotate(latest_pk=Max("pk")).order_by().values_list("latest_pk", flat=True)
        return versions.filter(pk__in=last)

    models.VersionQuerySet.get_deleted = get_deleted
