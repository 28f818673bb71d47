"""Replay into every REMOTE soon after each change, until the process is asked to stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from django.db import Error, connections
from django.utils.translation import get_language, override

from synchro import stopping
from synchro.conf import LOCAL, conf
from synchro.exceptions import Busy, NotConfigured, SynchroError
from synchro.models import ChangeLog, Node
from synchro.replay import call_synchronize
from synchro.report import Report

logger = logging.getLogger("synchro.follow")

#: How often, in seconds, LOCAL's log is looked at; while there is work, twice as often.
INTERVAL = 0.05
#: How long, in seconds, after some work there is likely to be more.
BUSY_FOR = 5.0
#: How often, in seconds, ids that are missing in the log are looked for, and what is in quarantine is tried again.
GAPS_EVERY, RETRY_EVERY = 1.0, 300.0
#: After an error: how long to wait at first, and at the most.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0

Reported = Callable[[Report], None]
Failed = Callable[[str, Exception], None]


def follow(remote: str | None, interval: float, *, atomic: bool, reported: Reported, failed: Failed) -> None:
    """
    Replay into every REMOTE, or into `remote` alone, until `synchro.stopping` says that the process is to stop.

    Each REMOTE has a thread of its own, so that one which is down holds back no other. `reported` is called with what
    each run did, `failed` with the alias and the error where one failed; a REMOTE that fails is tried again after
    growing pauses. Raises `NotConfigured` where there is no REMOTE.
    """
    aliases = (remote,) if remote else conf.remotes
    if not aliases or not set(aliases) <= set(conf.remotes):
        # The same words as for a single run.
        call_synchronize(remote=remote)
        raise NotConfigured("No REMOTE database specified in settings: name one in SYNCHRO_REMOTE.")
    log = _Log()
    followers = [
        _Follower(alias, interval, log, atomic=atomic, reported=reported, failed=failed) for alias in aliases
    ]
    try:
        for follower in followers:
            follower.start()
        while any(follower.is_alive() for follower in followers):
            # Signals reach the main thread, which must not wait for ever.
            for follower in followers:
                follower.join(timeout=0.2)
            if any(follower.error is not None for follower in followers):
                stopping.ask()
    finally:
        # A second signal comes here too, and whoever was asked to stop by the first one is not asked any more.
        for follower in followers:
            follower.is_over = True
    for follower in followers:
        if follower.error is not None:
            raise follower.error


@contextmanager
def following(alias: str, failed: Failed) -> Iterator[None]:
    """Inside, a thread replays into this REMOTE, as `follow` does; at the end it finishes the batch at hand."""
    follower = _Follower(alias, INTERVAL, _Log(), atomic=False, reported=_say_nothing, failed=failed)
    follower.start()
    try:
        yield
    finally:
        follower.is_over = True
        follower.join()
    if follower.error is not None:
        raise follower.error


@dataclass(frozen=True)
class _Seen:
    """How far the log went when a run began, and what was left."""

    newest: int | None
    has_gaps: bool = False
    quarantined: int = 0


class _Log:
    """LOCAL's log, at which all followers of a process look: several REMOTEs ask no more often than one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: float | None = None
        self._newest: int | None = None

    def newest(self, wait: float) -> int | None:
        """Return the highest id, for a follower that asks again after `wait` seconds: an answer as old will do."""
        with self._lock:
            if self._asked is None or time.monotonic() - self._asked > wait * 0.9:
                self._newest, self._asked = newest_entry(), time.monotonic()
            return self._newest


class _Follower(threading.Thread):
    """Follows for one REMOTE."""

    def __init__(
        self, alias: str, interval: float, log: _Log, *, atomic: bool, reported: Reported, failed: Failed
    ) -> None:
        # The process does not wait for it: after a second signal, its end rolls the batch at hand back.
        super().__init__(name=f"synchro to {alias}", daemon=True)
        self.alias, self.interval, self.log, self.atomic = alias, interval, log, atomic
        self.reported, self.failed = reported, failed
        #: Whether it is to begin no other run, whatever `synchro.stopping` says.
        self.is_over = False
        #: What ended it before it was asked to: no error that was foreseen.
        self.error: BaseException | None = None
        self._language, self._context = get_language(), copy_context()
        self._seen: _Seen | None = None
        self._worked = self._retried = self._looked_for_gaps = time.monotonic()
        self._pause = 0.0
        self._said = ""

    def run(self) -> None:
        # What is allowed to runs, and who has started them, holds for these as well.
        self._context.run(self._follow)

    def _follow(self) -> None:
        try:
            with override(self._language):
                while not (stopping.is_asked() or self.is_over):
                    self._step()
                    stopping.wait(self._wait())
        except BaseException as error:  # noqa: BLE001  it is raised again in the main thread
            self.error = error
        finally:
            connections.close_all()

    def _step(self) -> None:
        try:
            newest = self.log.newest(self._wait())
            if self._is_due(newest):
                self._synchronize(newest)
            self._pause = 0.0
        except Busy:
            self._pause = FIRST_PAUSE
        except (SynchroError, Error) as error:
            self._pause = min(LONGEST_PAUSE, self._pause * 2 or FIRST_PAUSE)
            self._seen = None
            self._fail(error)
            for alias in (LOCAL, self.alias):
                connections[alias].close()

    def _is_due(self, newest: int | None) -> bool:
        seen, now = self._seen, time.monotonic()
        if seen is None or newest != seen.newest:
            return True
        if seen.has_gaps and now - self._looked_for_gaps >= GAPS_EVERY:
            return True
        return bool(seen.quarantined) and now - self._retried >= RETRY_EVERY

    def _synchronize(self, newest: int | None) -> None:
        for alias in (LOCAL, self.alias):
            connections[alias].close_if_unusable_or_obsolete()
        now = time.monotonic()
        is_retry = (
            self._seen is not None and bool(self._seen.quarantined) and now - self._retried >= RETRY_EVERY
        )
        report = call_synchronize(remote=self.alias, atomic=self.atomic, retry=is_retry)
        self._looked_for_gaps = now
        if is_retry:
            self._retried = now
        if report.entries or report.models:
            self._worked = now
        if not stopping.is_asked():
            node = Node.objects.using(LOCAL).get(pk=1)
            self._seen = _Seen(newest, node.holes != "[]", report.aside)
        if report.entries or report.models or (report.warnings and str(report.warnings) != self._said):
            self.reported(report)
        self._said = str(report.warnings)

    def _fail(self, error: Exception) -> None:
        logger.warning("The run to %s failed: %s", self.alias, type(error).__name__)
        if str(error) != self._said:
            self.failed(self.alias, error)
        self._said = str(error)

    def _wait(self) -> float:
        if self._pause:
            return self._pause
        is_busy = time.monotonic() - self._worked < BUSY_FOR
        return self.interval / 2 if is_busy else self.interval


def _say_nothing(_report: Report) -> None:
    """Take what a run did, which nobody asked for."""


def newest_entry() -> int | None:
    """Return the highest id of LOCAL's log, by the end of its primary key."""
    ids: Any = ChangeLog.objects.using(LOCAL).order_by("-id").values_list("id", flat=True)
    found: int | None = ids.first()
    return found
