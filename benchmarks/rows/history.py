"""django-pghistory on the same table, for comparison: its row-level and its statement-level triggers."""

from __future__ import annotations

from collections.abc import Callable

import pghistory
from django.db import connection

from benchmarks.rows.models import Row


def variants() -> dict[str, tuple[Callable[[], None], Callable[[], None]]]:
    return {}


__all__ = ["Row", "connection", "pghistory", "variants"]
