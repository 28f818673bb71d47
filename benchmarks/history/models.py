"""The table under test, twice, with the triggers of django-pghistory: for each row, and for each statement."""

from __future__ import annotations

from typing import Any

import pghistory

from benchmarks.rows.models import Shape


def _tracked(level: Any) -> Any:
    events = (pghistory.InsertEvent(), pghistory.UpdateEvent(), pghistory.DeleteEvent())
    return pghistory.track(*events, level=level)


@_tracked(pghistory.Row)
class ByRow(Shape):
    pass


@_tracked(pghistory.Statement)
class ByStatement(Shape):
    pass
