"""What the batches of a run add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db.models import Model

from synchro import stopping
from synchro.replay.checkpoint import Outcome
from synchro.report import ModelReport, Report


@dataclass
class Totals:
    """Counts of batches, and of rows by model."""

    entries: int = 0
    batches: int = 0
    conflicts: int = 0
    #: How many changes are in quarantine after the run.
    quarantined: int = 0
    added: Counter[type[Model]] = field(default_factory=Counter)
    changed: Counter[type[Model]] = field(default_factory=Counter)
    deleted: Counter[type[Model]] = field(default_factory=Counter)
    kept: Counter[type[Model]] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Count a batch that has arrived."""
        self.entries += outcome.entries
        self.batches += 1
        self.conflicts += len(outcome.conflicts) + outcome.recorded
        self.added.update(outcome.tally.added)
        self.changed.update(outcome.tally.changed)
        self.deleted.update(outcome.tally.deleted)
        self.kept.update(outcome.kept)

    def report(self, alias: str, warnings: Iterable[str], seconds: float) -> Report:
        """Return the report of a run to the database `alias`."""
        return Report(
            remote=alias,
            entries=self.entries,
            batches=self.batches,
            models=self.models(),
            conflicts=self.conflicts,
            aside=self.quarantined,
            warnings=tuple(warnings),
            seconds=seconds,
            stopped=stopping.is_asked(),
        )

    def models(self) -> tuple[ModelReport, ...]:
        every = {**self.added, **self.changed, **self.deleted, **self.kept}
        return tuple(
            ModelReport(
                model._meta.label,
                self.added[model],
                self.changed[model],
                self.deleted[model],
                self.kept[model],
            )
            for model in sorted(every, key=lambda model: model._meta.label)
        )
