"""The numbers of the dashboard's charts: how far each REMOTE was behind, and how fast it was served."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from synchro.conf import LOCAL
from synchro.last_check import aware
from synchro.models import Run
from synchro.replay.session import Database

#: How many points a chart has, and how many of the newest runs to a REMOTE are read for it.
POINTS, MOST_RUNS = 60, 20_000


@dataclass
class _Point:
    """What the runs did that ended within one interval."""

    lag: float | None = None
    rows: int = 0
    seconds: float = 0.0

    def add(self, run: Mapping[str, Any]) -> None:
        if run["lag"] is not None:
            self.lag = max(self.lag or 0.0, run["lag"])
        numbers = json.loads(run["rows"]).values()
        self.rows += sum(sum(each) for each in numbers)
        self.seconds += max(0.001, (aware(run["ended"]) - aware(run["begun"])).total_seconds())

    @property
    def rate(self) -> float | None:
        return round(self.rows / self.seconds, 1) if self.rows else None


def charts(aliases: Iterable[str], hours: int) -> dict[str, Any]:
    """Return, of the last hours, the moments and each REMOTE's lag in seconds and rows a second; None for no run."""
    now = Database(LOCAL).backend.now()
    step = timedelta(hours=hours) / POINTS
    begin = now - step * POINTS
    return {
        "moments": [(begin + step * (n + 1)).isoformat() for n in range(POINTS)],
        "remotes": [
            {
                "alias": alias,
                "lag": [point.lag for point in points],
                "rate": [point.rate for point in points],
            }
            for alias in aliases
            for points in [_points(alias, begin, step)]
        ],
    }


def _points(alias: str, begin: datetime, step: timedelta) -> list[_Point]:
    points = [_Point() for _n in range(POINTS)]
    runs = Run.objects.using(LOCAL).filter(alias=alias, ended__gte=begin).order_by("-id")
    for run in runs.values("begun", "ended", "lag", "rows")[:MOST_RUNS].iterator():
        place = int((aware(run["ended"]) - begin) / step)
        points[max(0, min(place, POINTS - 1))].add(run)
    return points
