"""Keep on LOCAL what runs do, for those who look later or meanwhile: `synchro.models.Run`."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta

from django.db import DatabaseError
from django.utils import timezone

from synchro import stopping
from synchro.account import account
from synchro.conf import LOCAL
from synchro.exceptions import Busy, SynchroError
from synchro.last_check import aware
from synchro.models import Batch, ChangeLog, Checkpoint, Node, Run
from synchro.replay.apply.receivers import in_run
from synchro.replay.log.pending import pending_batches
from synchro.replay.log.ranges import from_text
from synchro.replay.report import Totals
from synchro.replay.session import Database

logger = logging.getLogger("synchro.run")

#: How often, in seconds, the record of a run that goes on is written.
EVERY = 1.0
#: How long records are kept, and after how many new ones old ones are looked for.
KEPT, LOOK_EVERY = timedelta(days=90), 100

_by: ContextVar[str] = ContextVar("synchro_run_by", default="")


@contextmanager
def started_by(name: str) -> Iterator[None]:
    """Inside, runs are recorded as started by this person."""
    token = _by.set(name)
    try:
        yield
    finally:
        _by.reset(token)


def started_by_whom() -> str:
    """Return who starts the runs of this thread or task: the person, or the account of the process."""
    return (_by.get() or account())[:255]


@contextmanager
def recorded(alias: str, totals: Totals) -> Iterator[RunRecord]:
    """Inside, a run to the database `alias` is recorded, with what `totals` says at its end."""
    record = RunRecord(alias, totals)
    try:
        yield record
    except SynchroError as error:
        record.fail(error)
        raise
    record.end()


class RunRecord:
    """The record of one run. A run that finds nothing to do leaves none."""

    def __init__(self, alias: str, totals: Totals) -> None:
        self._totals = totals
        now = _now()
        self._run = Run(alias=alias, by=started_by_whom(), begun=now, ended=now, outcome=Run.RUNNING)
        self._written = time.monotonic()

    def progress(self) -> None:
        """Write down what has been done so far, unless that was done a moment ago."""
        if time.monotonic() - self._written >= EVERY:
            self._write(Run.RUNNING)

    def arrived(self, batch: Batch) -> None:
        """Take note of a batch that has arrived: the age of its first entry is how far REMOTE was behind."""
        if self._run.lag is None and (first := next(from_text(batch.ranges), None)) is not None:
            self._note_lag(first.first)

    def end(self) -> None:
        if self._totals.batches:
            self._write(Run.STOPPED if stopping.is_asked() else Run.DONE)

    def fail(self, error: SynchroError) -> None:
        """Write down why it failed. That another run was at work is no failure."""
        if not isinstance(error, Busy):
            if self._run.lag is None:
                self._note_lag(None)
            self._write(Run.FAILED, str(error))

    def _note_lag(self, entry: int | None) -> None:
        """Note how old this entry of the log is, or the oldest one that REMOTE lacks."""
        try:
            entry = _first_pending(self._run.alias) if entry is None else entry
            if entry is None:
                return
            written = ChangeLog.objects.using(LOCAL).filter(id=entry).values_list("date", flat=True).first()
            if written is not None:
                age = Database(LOCAL).backend.now() - aware(written)
                self._run.lag = max(0.0, age.total_seconds())
        except DatabaseError:
            logger.debug("How far %s is behind is not known.", self._run.alias, exc_info=True)

    def _write(self, outcome: str, message: str = "") -> None:
        run, totals = self._run, self._totals
        run.outcome, run.message, run.ended = outcome, message, _now()
        run.batches, run.entries, run.conflicts = totals.batches, totals.entries, totals.conflicts
        run.quarantined = totals.quarantined
        run.rows = json.dumps(
            {each.model: [each.added, each.changed, each.deleted, each.kept] for each in totals.models()}
        )
        is_new = run.pk is None
        try:
            with in_run():  # receivers of all models are not called for it
                run.save(using=LOCAL, update_fields=None if is_new else _FIELDS)
                if is_new and run.pk % LOOK_EVERY == 0:
                    Run.objects.using(LOCAL).filter(begun__lt=run.begun - KEPT)._raw_delete(LOCAL)
        except DatabaseError:
            # It is the run that counts, and an error of LOCAL may be what it has failed with.
            logger.warning("The run to %s could not be recorded.", run.alias, exc_info=True)
        self._written = time.monotonic()


def _first_pending(alias: str) -> int | None:
    """Return the id of the first entry of the first batch that REMOTE lacks, or of the first one in no batch."""
    checkpoint = Checkpoint.objects.using(LOCAL).filter(peer__alias=alias).order_by("date").last()
    node = Node.objects.using(LOCAL).filter(pk=1).first() or Node()
    batch = pending_batches(LOCAL, node, checkpoint.batch if checkpoint else 0).order_by("number").first()
    if batch is not None and (first := next(from_text(batch.ranges), None)) is not None:
        return first.first
    log = ChangeLog.objects.using(LOCAL).filter(id__gt=node.highest)
    return log.order_by("id").values_list("id", flat=True).first()


_FIELDS = ("ended", "outcome", "batches", "entries", "conflicts", "quarantined", "rows", "lag", "message")


def _now() -> datetime:
    now = datetime.now(UTC)
    return now if timezone.is_aware(timezone.now()) else timezone.make_naive(now)
