"""strawberry-django: its permissions read django-guardian's tables by a cast of their own."""

from __future__ import annotations

from typing import Any

from django.db.models.functions import Cast

from django_spicy_id.neighbours.casts import IdCast


def introduce(query: Any) -> None:
    assert query.Cast is Cast
    query.Cast = IdCast
