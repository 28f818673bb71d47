"""What a run did, in numbers and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _


@dataclass(frozen=True)
class ModelReport:
    """What was written to REMOTE of one model. `kept` are objects that REMOTE had changed later itself."""

    model: str
    added: int = 0
    changed: int = 0
    deleted: int = 0
    kept: int = 0


@dataclass(frozen=True)
class Report:
    """The outcome of a run; ``str()`` gives the message for people, in their language."""

    remote: str
    entries: int = 0
    batches: int = 0
    models: tuple[ModelReport, ...] = ()
    conflicts: int = 0
    #: How many changes are set aside after the run.
    aside: int = 0
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    #: Whether the run was asked to stop. What is left waits for the next one.
    stopped: bool = False

    def __str__(self) -> str:
        if self.stopped:
            return _("Stopped after %(batches)d batches. What is left waits for the next run.") % {
                "batches": self.batches
            }
        if self.entries or self.models:
            return _("Synchronization performed successfully.")
        return _("No changes since last synchronization.")

    @classmethod
    def of(cls, reports: Sequence[Report]) -> Report:
        """One report for several REMOTEs."""
        if len(reports) == 1:
            return reports[0]
        return cls(
            remote=", ".join(report.remote for report in reports),
            entries=sum(report.entries for report in reports),
            batches=sum(report.batches for report in reports),
            models=tuple(model for report in reports for model in report.models),
            conflicts=sum(report.conflicts for report in reports),
            aside=sum(report.aside for report in reports),
            warnings=tuple(dict.fromkeys(text for report in reports for text in report.warnings)),
            seconds=sum(report.seconds for report in reports),
            stopped=any(report.stopped for report in reports),
        )
