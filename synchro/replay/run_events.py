"""What a run tells others: the signals of `synchro.events`, and the loggers under ``synchro``."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from synchro import events
from synchro.conf import LOCAL
from synchro.keys import to_text
from synchro.models import Conflict
from synchro.replay.checkpoint import Outcome
from synchro.replay.report import Totals
from synchro.report import Report

run_log = logging.getLogger("synchro.run")
batch_log = logging.getLogger("synchro.batch")


class RunEvents:
    """Send the signals and log records of one run to the database `alias`."""

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._begun = self._mark = time.monotonic()

    @contextmanager
    def sent(self, by: str, atomic: bool, retry: bool) -> Iterator[None]:
        """Send that the run begins, and that it failed where it raises an error. Call `done` at its end."""
        run_log.debug("A run to %r begins, by %s.", self._alias, by)
        events.run_started.send_robust(
            sender=RunEvents, remote=self._alias, by=by, atomic=atomic, retry=retry
        )
        try:
            yield
        except BaseException as error:
            # The caller gets the error itself, and shows it.
            run_log.info("The run to %r failed: %s", self._alias, type(error).__name__)
            self._end(None, error)
            raise

    def done(self, report: Report) -> None:
        """Send that the run is over, with this report."""
        level = logging.INFO if report.entries or report.models else logging.DEBUG
        run_log.log(
            level,
            "The run to %r is over: %d entries in %d batches, %d conflicts, %d in quarantine, %.1f s%s",
            self._alias,
            report.entries,
            report.batches,
            report.conflicts,
            report.aside,
            report.seconds,
            ", stopped before the end" if report.stopped else "",
        )
        self._end(report, None)

    def arrived(self, peer: int, outcome: Outcome) -> None:
        """Send that a batch has arrived, and what became of it."""
        batch, totals = outcome.batch.number, Totals()
        totals.add(outcome)
        now = time.monotonic()
        seconds, self._mark = now - self._mark, now
        models, reasons = totals.models(), outcome.quarantine.reasons
        batch_log.info(
            "Batch %d is in %r: %d entries, %d rows added, %d changed, %d deleted, %d conflicts, %d in quarantine, "
            "%.2f s",
            batch,
            self._alias,
            totals.entries,
            totals.added.total(),
            totals.changed.total(),
            totals.deleted.total(),
            totals.conflicts,
            len(reasons),
            seconds,
        )
        events.batch_applied.send_robust(
            sender=RunEvents,
            remote=self._alias,
            batch=batch,
            entries=totals.entries,
            models=models,
            conflicts=totals.conflicts,
            quarantined=len(reasons),
            seconds=seconds,
        )
        if totals.conflicts and events.conflict_decided.has_listeners(RunEvents):
            records = Conflict.objects.using(LOCAL).filter(peer_id=peer, batch=batch).order_by("id")
            for record in records.iterator(chunk_size=500):
                events.conflict_decided.send_robust(sender=RunEvents, remote=self._alias, conflict=record)
        for (model, key), reason in reasons.items():
            events.change_quarantined.send_robust(
                sender=RunEvents,
                remote=self._alias,
                model=model,
                key=to_text(model, key),
                cause=reason.cause,
                waits=reason.waits,
            )

    def _end(self, report: Report | None, error: BaseException | None) -> None:
        events.run_ended.send_robust(
            sender=RunEvents,
            remote=self._alias,
            report=report,
            error=error,
            seconds=time.monotonic() - self._begun,
        )
