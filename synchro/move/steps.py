"""The steps of a move. Each can be interrupted and repeated; what is finished is not done again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import StringIO
from typing import Any, Protocol

from django.core.management import call_command
from django.db import connections

from synchro import activity, stopping
from synchro.conf import LOCAL, conf
from synchro.exceptions import NotConfigured, NotReady, Refused, SynchroError
from synchro.follow import following
from synchro.health import Health, health_of_remote
from synchro.load import Loaded, load
from synchro.move.findings import Finding
from synchro.move.preflight import preflight
from synchro.move.switch import hand_out_keys_above, settings_to_change
from synchro.move.writers import LogWatch
from synchro.move_progress import Progress, mark_of, note_progress, progress_of
from synchro.replay.session import Database, Databases, reachable
from synchro.triggers.ready import refuse_without_triggers
from synchro.verify import ModelResult, verify

#: From which lag on, in seconds, REMOTE counts as being close behind.
CLOSE = 1.0
#: How often, in seconds, the lag is asked for.
PAUSE = 0.2
#: How long, in seconds, a comparison waits for what is on its way.
WAIT = 10.0


@dataclass(frozen=True)
class Step:
    """What one step did, in words, and what it found that a person has to look at."""

    name: str
    words: str
    seconds: float = 0.0
    needs_a_person: bool = False


class Ended(Protocol):
    """Ends a step: with what it did, and whether a person has to look at that."""

    def __call__(self, words: str, needs_a_person: bool = False) -> None: ...


class Unfinished(Exception):
    """A step found what a person has to look at, or was asked to stop."""


@dataclass(kw_only=True)
class Move:
    """
    The move of LOCAL to the REMOTE `alias`.

    `step_ended` is called with each step that has ended, `progress` with a line about what goes on, which the next one
    replaces. With `only_looks` nothing but the preflight is done. With `goes_on`, what the preflight finds does not
    stop it. With `cuts_over` it waits until the log has been quiet for `quiet` seconds, and ends with REMOTE equal to
    LOCAL and the settings to change. With `starts_again` nothing counts as done before.
    """

    alias: str
    step_ended: Callable[[Step], None]
    progress: Callable[[str], None] = lambda _line: None
    goes_on: bool = False
    cuts_over: bool = False
    starts_again: bool = False
    only_looks: bool = False
    quiet: float = 5.0
    findings: list[Finding] = field(default_factory=list)
    results: list[ModelResult] = field(default_factory=list)
    #: What to change in the settings, once the site can be switched.
    settings: str = ""
    _progress: Progress = field(default_factory=Progress)
    _error: Exception | None = None

    def run(self) -> bool:
        """
        Take the steps; return whether all of them ended well.

        Raises `NotConfigured` where `alias` is no REMOTE, `Busy` where another process moves to it, and what a run, a
        load or a comparison raises.
        """
        if self.alias not in conf.remotes:
            raise NotConfigured(f"SYNCHRO_REMOTE names: {', '.join(conf.remotes) or '-'}.")
        with reachable(Databases(Database(self.alias))):
            mark = mark_of(self.alias)
        if self.only_looks:
            return self._look()
        with activity.alone_at("move", self.alias):
            self._progress = Progress() if self.starts_again else progress_of(self.alias, mark)
            try:
                self._take_steps()
            except Unfinished:
                return False
        return not stopping.is_asked()

    def _look(self) -> bool:
        try:
            self._preflight()
        except Unfinished:
            return False
        return True

    def _take_steps(self) -> None:
        if self._progress.is_loaded:
            self._recheck_capture()
        if not self._progress.is_loaded:
            self._preflight()
        self._capture()
        if self._progress.is_loaded:
            self.step_ended(Step("load", "was done before"))
        else:
            self._load()
        with following(self.alias, self._failed):
            self._follow()
            self._verify("verify")
            if self.cuts_over:
                self._cut_over()

    # -- the steps ---------------------------------------------------------------------------------------------

    @contextmanager
    def _step(self, name: str) -> Iterator[Ended]:
        """Note that this step has begun. What is given ends it, with what it did and whether a person is needed."""
        if stopping.is_asked():
            raise Unfinished
        self._note(self._progress.at(name))
        begun = time.monotonic()

        def end(words: str, needs_a_person: bool = False) -> None:
            self.step_ended(Step(name, words, time.monotonic() - begun, needs_a_person))
            if needs_a_person:
                raise Unfinished

        yield end

    def _preflight(self) -> None:
        begun = time.monotonic()
        self.findings = preflight(self.alias, lambda model: self.progress(f"looking at {model._meta.label}"))
        if stopping.is_asked():
            raise Unfinished
        serious = sum(finding.is_serious for finding in self.findings)
        is_in_the_way = bool(serious) and not self.goes_on
        words = f"{serious} things are in the way" if serious else "nothing is in the way"
        # Not by `_step`, which writes: before this nothing is written at all.
        self.step_ended(Step("preflight", words, time.monotonic() - begun, is_in_the_way))
        if is_in_the_way:
            raise Unfinished

    def _recheck_capture(self) -> None:
        """Forget the load where changes may have been missed since: a table has lost a trigger."""
        try:
            refuse_without_triggers(None, local=connections[LOCAL])
        except NotReady as error:
            self.progress(f"{error} All is loaded again.")
            self._progress = replace(self._progress, is_loaded=False)

    def _capture(self) -> None:
        with self._step("capture") as end:
            if conf.capture == "triggers":
                call_command("synchro_install_triggers", stdout=StringIO())
                end("triggers capture what is written to the watched tables")
            else:
                end("signals capture what Django saves; what is written otherwise is not seen")

    def _load(self) -> None:
        with self._step("load") as end:
            with activity.at("load", self.alias):
                found = load(self.alias, restart=self.starts_again, progress=self._show_load)
            if stopping.is_asked():
                raise Unfinished
            self._note(replace(self._progress, is_loaded=True))
            left = sum(each.left for each in found)
            more = f"; {left} were left to changes on their way or in quarantine" if left else ""
            end(
                f"{sum(each.rows for each in found)} rows, {sum(each.sent for each in found)} of them sent{more}"
            )

    def _show_load(self, done: Loaded) -> None:
        self.progress(
            f"{done.model._meta.label}: {done.rows} of {done.total} rows, {done.rate:.0f} rows a second"
        )

    def _follow(self) -> None:
        with self._step("follow") as end:
            health = self._until(lambda health: not health.pending or health.lag < CLOSE)
            end(f"REMOTE is {health.lag:.1f} s behind")

    def _until(self, is_there: Callable[[Health], bool]) -> Health:
        """Wait until REMOTE is as far as that; raise what keeps it from getting there."""
        while True:
            health = health_of_remote(self.alias)
            if is_there(health):
                return health
            self._raise_refusal()
            self.progress(f"{health.pending} entries pending, the oldest {health.lag:.1f} s old")
            if stopping.wait(PAUSE):
                raise Unfinished

    def _verify(self, name: str, wait: float = WAIT) -> None:
        with self._step(name) as end:
            self._compare(wait)
            words = _in_words(self.results)
            end(words, any(each.unequal or each.quarantined for each in self.results))

    def _compare(self, wait: float) -> None:
        with activity.at("verify", self.alias):
            self.results = verify(self.alias, wait=wait, kept=0, progress=self._show_comparison)
        if stopping.is_asked():
            raise Unfinished
        self._raise_refusal()

    def _show_comparison(self, result: ModelResult) -> None:
        self.progress(f"{result.model._meta.label}: {result.equal} of {result.rows} rows are equal")

    def _cut_over(self) -> None:
        """Wait for the end of writing, compare again, and prepare REMOTE for the site."""
        with self._step("cutover") as end:
            watch = LogWatch()
            while True:
                self._until_quiet(watch)
                self._compare(wait=WAIT)
                if not watch.has_grown():
                    break
                self.progress("something was written meanwhile: waiting again")
            if any(each.unequal or each.quarantined or each.on_the_way for each in self.results):
                end(_in_words(self.results), True)
            hand_out_keys_above(self.alias)
            if conf.capture == "triggers":
                # Before the site begins to write there, so that the way back is open from its first change on.
                call_command("synchro_install_triggers", database=self.alias, stdout=StringIO())
            self.settings = settings_to_change(self.alias)
            self._note(replace(self._progress, is_done=True))
            end(f"{_in_words(self.results)}. The site can be switched")

    def _until_quiet(self, watch: LogWatch) -> None:
        """Wait until nothing has been logged for some time, no transaction may still log, and REMOTE has all of it."""
        while (since := watch.quiet_for()) < self.quiet:
            self.progress(f"waiting for the writers to stop; the last entry came {since:.0f} s ago")
            if stopping.wait(PAUSE):
                raise Unfinished
        self._until(lambda health: not health.pending)

    # -- what goes on meanwhile --------------------------------------------------------------------------------

    def _failed(self, _alias: str, error: Exception) -> None:
        """Keep what REMOTE refuses, which waiting does not change; say of all other errors that it is tried again."""
        if isinstance(error, Refused):
            self._error = error
        else:
            self.progress(f"{error} It is tried again.")

    def _raise_refusal(self) -> None:
        if isinstance(self._error, SynchroError):
            raise self._error

    def _note(self, progress: Progress) -> None:
        self._progress = progress
        # Marked as the databases are now: LOCAL gets its name with the first run, which is that of the load.
        note_progress(self.alias, mark_of(self.alias), progress)


def _in_words(results: Sequence[ModelResult]) -> str:
    rows, equal = sum(each.rows for each in results), sum(each.equal for each in results)
    parts = [f"{equal} of {rows} rows are equal"]
    counted: list[tuple[int, Any]] = [
        (sum(each.unequal for each in results), "differ"),
        (sum(each.on_the_way for each in results), "are on their way"),
        (sum(each.quarantined for each in results), "are in quarantine"),
    ]
    return ", ".join(parts + [f"{count} {words}" for count, words in counted if count])
