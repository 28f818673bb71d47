"""The sign of life of a job, and how it hears that it is to stop."""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType

from django.db import Error, connections

from synchro.conf import LOCAL
from synchro.fields import DatabaseNow
from synchro.models import Job

logger = logging.getLogger("synchro.jobs")

#: How often, in seconds, it looks whether it is to stop, and says that it lives.
LOOK_EVERY, SAY_EVERY = 0.5, 5.0


class Beat(threading.Thread):
    """Say that a job lives, by a connection of its own, and set the event when somebody has asked for its end."""

    def __init__(self, number: int, stop: threading.Event) -> None:
        super().__init__(name=f"beat of synchro job {number}", daemon=True)
        self._number, self._stop_event, self._is_over = number, stop, threading.Event()

    def __enter__(self) -> Beat:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self.join()

    def run(self) -> None:
        said = time.monotonic()
        try:
            while not self._is_over.wait(LOOK_EVERY):
                is_due = time.monotonic() - said >= SAY_EVERY
                self._look(is_due)
                said = time.monotonic() if is_due else said
        finally:
            connections.close_all()

    def _look(self, says: bool) -> None:
        jobs = Job.objects.using(LOCAL).filter(pk=self._number)
        try:
            if jobs.filter(is_stop_asked=True).exists():
                self._stop_event.set()
            if says:
                jobs.update(seen=DatabaseNow())
        except Error:
            # LOCAL is busy, or away, which the job itself will tell.
            logger.debug("The job %d could not say that it lives.", self._number, exc_info=True)
            connections[LOCAL].close()
