"""Compare the tables of both databases, a part at a time, and look again at what differs."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence

from django.contrib.contenttypes.models import ContentType
from django.db.models import Model

from synchro import stopping
from synchro.keys import Key
from synchro.registry import standing_tables
from synchro.replay.handshake import look_at
from synchro.replay.rows import Rows
from synchro.replay.session import Database, Databases, Session, own_settings, reachable
from synchro.shared_tables import stands_for
from synchro.verify.checksums import different_ranges
from synchro.verify.expected import compare_rows
from synchro.verify.explained import in_quarantine, pending_on_local, unsent_on_remote
from synchro.verify.extra import extra_rows, still_there
from synchro.verify.ranges import parts_of_keys
from synchro.verify.results import DIFFERENT, EXTRA, MISSING, Difference, ModelResult

#: How long to wait between two looks at rows that changes on their way explain.
PAUSE = 0.2

Progress = Callable[[ModelResult], None]


def verify(
    alias: str,
    models: Collection[type[Model]] = (),
    *,
    wait: float = 0.0,
    progress: Progress | None = None,
) -> list[ModelResult]:
    """
    Compare all watched tables, or those of these `models`, with those of the database `alias`; nothing is written.

    Both databases may be at work. A row that differs is looked at again, together with the entries that are on their
    way: for `wait` seconds those are waited for, then the row is counted apart. `progress` is called after each part.
    Once the process is asked to stop, the rest is left out. Raises `NotReady` where a database cannot be reached.
    """
    databases = Databases(Database(alias))
    ContentType.objects.clear_cache()
    results = []
    with reachable(databases), own_settings(databases):
        named = {stands_for(model) for model in models}
        for table in standing_tables():
            if named and table.model not in named:
                continue
            if stopping.is_asked():
                break
            results.append(_Comparison(databases, table.model, wait, progress).run())
    return results


class _Comparison:
    """The comparison of one table."""

    def __init__(
        self, databases: Databases, model: type[Model], wait: float, progress: Progress | None
    ) -> None:
        self._databases, self._model, self._wait, self._progress = databases, model, wait, progress
        self._result = ModelResult(model)

    def run(self) -> ModelResult:
        session = look_at(self._databases)
        for keys in _until_stopped(self._parts(session)):
            rows, differences = compare_rows(
                session, self._model, keys, Rows(session.local), Rows(session.remote)
            )
            self._result.rows += rows
            self._result.equal += rows - len(differences)
            self._settle(differences)
            self._show()
        for remote_keys in _until_stopped(self._remote_parts(session)):
            self._settle(extra_rows(session, self._model, remote_keys))
        self._show()
        return self._result

    def _parts(self, session: Session) -> Iterator[Sequence[Key]]:
        """Yield LOCAL's keys, without the ranges of which the servers say that they are equal."""
        found = different_ranges(session, self._model)
        if found is None:
            yield from parts_of_keys(session.local, self._model)
            return
        equal, ranges = found
        self._result.rows += equal
        self._result.equal += equal
        for condition in ranges:
            yield from parts_of_keys(session.local, self._model, between=condition)

    def _remote_parts(self, session: Session) -> Iterator[Sequence[Key]]:
        """Yield REMOTE's keys where REMOTE may have rows of its own."""
        found = different_ranges(session, self._model)
        if found is None:
            yield from parts_of_keys(session.remote, self._model)
            return
        for condition in found[1]:
            yield from parts_of_keys(session.remote, self._model, between=condition)

    def _show(self) -> None:
        if self._progress is not None:
            self._progress(self._result)

    def _settle(self, differences: Sequence[Difference]) -> None:
        """Look again at rows that differ, until what is on its way has arrived or the time is over."""
        until = time.monotonic() + self._wait
        left = list(differences)
        while left:
            real, waiting = self._look_again(left)
            self._result.differences += real
            if not waiting or time.monotonic() >= until or stopping.is_asked():
                self._result.on_the_way += len(waiting)
                return
            stopping.wait(min(PAUSE, max(0.0, until - time.monotonic())))
            left = waiting

    def _look_again(self, differences: Sequence[Difference]) -> tuple[list[Difference], list[Difference]]:
        """
        Return the differences that nothing explains, and those that a change on its way may explain.

        The order of the questions matters. LOCAL's row and REMOTE's are equal unless a change is on its way. LOCAL's is
        read first. Then follow the changes which it may have and REMOTE lacks, REMOTE's row, and the changes which that
        may have and LOCAL lacks. At the end, LOCAL's row must be the same, and have no change since the first question.
        """
        session, model = look_at(self._databases), self._model
        keys = [d.key for d in differences if d.kind != EXTRA and d.key is not None]
        before, after = Rows(session.local), Rows(session.local)
        was = before.load(model, keys)
        extra = extra_rows(session, model, _remote_keys(differences))
        objects = [*keys, *(d.key for d in extra if d.key is not None)]
        pending = pending_on_local(session, model, objects)
        rows, found = compare_rows(session, model, keys, before, Rows(session.remote))
        found += still_there(session, model, extra)
        remote_keys = [d.logged_key for d in found if d.logged_key is not None]
        unsent = unsent_on_remote(session, model, remote_keys)
        refused = in_quarantine(session, model, [d.key for d in found if d.key is not None])
        now = after.load(model, keys)
        still_extra = _remote_keys(extra_rows(session, model, _remote_keys(found)))
        # Two changes since the first question may have made LOCAL's row what it was.
        pending |= pending_on_local(session, model, objects)
        real, waiting = [], []
        for difference in found:
            key, remote = difference.key, difference.logged_key
            if key in refused:
                self._result.quarantined += 1
            elif key in pending or remote in unsent or (key in was and now.get(key) != was[key]):
                waiting.append(difference)
            elif difference.kind == EXTRA and difference.remote_key not in still_extra:
                waiting.append(difference)  # LOCAL has got the row meanwhile
            else:
                real.append(difference)
        gone = len(keys) - rows
        self._result.rows -= gone
        self._result.equal += rows - sum(d.kind in (MISSING, DIFFERENT) for d in found)
        return real, waiting


def _until_stopped(parts: Iterator[Sequence[Key]]) -> Iterator[Sequence[Key]]:
    for part in parts:
        if stopping.is_asked():
            return
        yield part


def _remote_keys(differences: Sequence[Difference]) -> list[Key]:
    """Return REMOTE's keys of the rows that it alone has."""
    return [d.remote_key for d in differences if d.kind == EXTRA and d.remote_key is not None]
