"""
What is measured.

Two kinds: what the databases say whenever somebody asks, the same from whichever process (`HealthCollector`); and what
the runs of this process have done since it began.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from django.db import Error
from prometheus_client import REGISTRY, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from synchro import events
from synchro.exceptions import Busy, SynchroError
from synchro.health import Health, health_of_local, health_of_remotes
from synchro.last_check import aware
from synchro.report import ModelReport, Report

RUNS: Final = Counter(
    "synchro_runs",
    "Runs of this process, by how they ended: done, idle, stopped, busy, failed",
    ["remote", "outcome"],
)
ROWS: Final = Counter(
    "synchro_rows",
    "Rows that runs of this process added, changed and deleted on REMOTE, or kept as REMOTE has them",
    ["remote", "model", "action"],
)
ENTRIES: Final = Counter("synchro_entries", "Entries that runs of this process replayed", ["remote"])
CONFLICTS: Final = Counter("synchro_conflicts", "Conflicts that runs of this process decided", ["remote"])
REFUSALS: Final = Counter(
    "synchro_refusals",
    "Changes that runs of this process left in quarantine, one for each attempt",
    ["remote"],
)
BATCH_SECONDS: Final = Histogram(
    "synchro_batch_seconds",
    "How long a batch took, from reading it to LOCAL's knowing that REMOTE has it",
    ["remote"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)


def connect() -> None:
    """Measure the runs of this process, and have the default registry ask `HealthCollector`; once is enough."""
    events.batch_applied.connect(_count_batch, dispatch_uid="synchro_prometheus")
    events.run_ended.connect(_count_run, dispatch_uid="synchro_prometheus")
    if _health not in REGISTRY._collector_to_names:
        REGISTRY.register(_health)


def _count_batch(
    *,
    remote: str,
    entries: int,
    models: Sequence[ModelReport],
    conflicts: int,
    quarantined: int,
    seconds: float,
    **_kwargs: Any,
) -> None:
    ENTRIES.labels(remote).inc(entries)
    CONFLICTS.labels(remote).inc(conflicts)
    REFUSALS.labels(remote).inc(quarantined)
    BATCH_SECONDS.labels(remote).observe(seconds)
    for model in models:
        for action in ("added", "changed", "deleted", "kept"):
            if count := getattr(model, action):
                ROWS.labels(remote, model.model, action).inc(count)


def _count_run(*, remote: str, report: Report | None, error: BaseException | None, **_kwargs: Any) -> None:
    RUNS.labels(remote, _outcome(report, error)).inc()


def _outcome(report: Report | None, error: BaseException | None) -> str:
    if report is None:
        return "busy" if isinstance(error, Busy) else "failed"
    if report.stopped:
        return "stopped"
    return "done" if report.batches else "idle"


class HealthCollector(Collector):
    """What `synchro_status` knows, by questions to LOCAL at each scrape. No REMOTE is asked."""

    def describe(self) -> list[Metric]:
        """Name no metric beforehand: nobody should ask the database while apps are loaded."""
        return []

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("synchro_local_up", "Whether LOCAL can be asked")
        try:
            found = [*_of_local(), *_of_remotes(health_of_remotes(asks_remotes=False))]
        except (Error, SynchroError):
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from found


_health: Final = HealthCollector()


def _of_local() -> Iterator[Metric]:
    local = health_of_local()
    for name, text, value in (
        ("synchro_gaps", "Ids of the log that are waited for: open transactions may bring them", local.gaps),
        ("synchro_trigger_problems", "What is wrong with the triggers", len(local.triggers)),
    ):
        metric = GaugeMetricFamily(name, text)
        metric.add_metric([], value)
        yield metric


_OF_REMOTES: Final = {
    "synchro_lag_seconds": "The age of the oldest entry that REMOTE does not have; 0 where it has all",
    "synchro_pending_entries": "Entries that REMOTE does not have",
    "synchro_quarantined_changes": "Changes in quarantine: REMOTE refuses them",
    "synchro_conflicts_last_day": "Conflicts that were decided in the last day",
    "synchro_last_batch_timestamp_seconds": "When the newest entry was written that REMOTE has",
    "synchro_last_run_timestamp_seconds": "When the last run ended that did something or failed",
    "synchro_last_run_seconds": "How long that run took",
    "synchro_last_run_failed": "Whether that run failed",
}


def _of_remotes(remotes: Sequence[Health]) -> Iterator[Metric]:
    found = {name: GaugeMetricFamily(name, text, labels=["remote"]) for name, text in _OF_REMOTES.items()}
    for health in remotes:
        for name, value in _values(health).items():
            found[name].add_metric([health.alias], value)
    yield from found.values()


def _values(health: Health) -> dict[str, float]:
    values: dict[str, float] = {
        "synchro_lag_seconds": health.lag,
        "synchro_pending_entries": health.pending,
        "synchro_quarantined_changes": health.quarantined,
        "synchro_conflicts_last_day": health.conflicts,
    }
    if health.arrived is not None:
        values["synchro_last_batch_timestamp_seconds"] = aware(health.arrived).timestamp()
    if (run := health.last_run) is not None:
        begun, ended = aware(run.begun), aware(run.ended)
        values["synchro_last_run_timestamp_seconds"] = ended.timestamp()
        values["synchro_last_run_seconds"] = (ended - begun).total_seconds()
        values["synchro_last_run_failed"] = float(run.outcome == "failed")
    return values
