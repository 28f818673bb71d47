"""Compare the tables of both databases, a part at a time, and look again at what differs."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from django.contrib.contenttypes.models import ContentType
from django.db.models import Model

from synchro import stopping
from synchro.keys import Key
from synchro.registry import standing_tables
from synchro.replay.handshake import look_at
from synchro.replay.rows import Rows
from synchro.replay.session import Database, Databases, Session, own_settings, reachable
from synchro.shared_tables import stands_for
from synchro.verify.checksums import Found, suspects
from synchro.verify.expected import compare_rows
from synchro.verify.explained import in_quarantine, pending_on_local, unsent_on_remote
from synchro.verify.extra import extra_rows, still_there
from synchro.verify.ranges import PART, parts_of_keys
from synchro.verify.results import DIFFERENT, EXTRA, MISSING, Difference, ModelResult
from synchro.verify.sample import sampled
from synchro.verify.sides import sides_of

#: How long to wait between two looks at rows that changes on their way explain.
PAUSE = 0.2

Progress = Callable[[ModelResult], None]
#: Takes rows that differ.
Each = Callable[[type[Model], Sequence[Difference]], None]


@dataclass(frozen=True)
class Options:
    """What is asked of a comparison."""

    #: For how many seconds changes are waited for that are on their way.
    wait: float = 0.0
    #: How many rows of each table are compared; None for all.
    sample: int | None = None
    #: How many differences of each table the result names; None for all.
    kept: int | None = None
    progress: Progress | None = None
    #: Takes all differences, a part at a time.
    each: Each | None = None


def verify(
    alias: str,
    models: Collection[type[Model]] = (),
    *,
    wait: float = 0.0,
    sample: int | None = None,
    kept: int | None = None,
    progress: Progress | None = None,
    each: Each | None = None,
) -> list[ModelResult]:
    """
    Compare all watched tables, or those of these `models`, with those of the database `alias`; nothing is written.

    Both databases may be at work. A row that differs is looked at again, together with the entries that are on their
    way: for `wait` seconds those are waited for, then the row is counted apart. With `sample`, only so many rows of
    each table are compared, picked at random on both sides. All differences are counted, and of each table the first
    `kept` are in its result; `each` gets all of them, a part at a time. `progress` is called after each part.

    Once the process is asked to stop, the rest is left out. Raises `NotReady` where a database cannot be reached.
    """
    databases = Databases(Database(alias))
    options = Options(wait, sample, kept, progress, each)
    ContentType.objects.clear_cache()
    results = []
    with reachable(databases), own_settings(databases):
        named = {stands_for(model) for model in models}
        for table in standing_tables():
            if named and table.model not in named:
                continue
            if stopping.is_asked():
                break
            results.append(_Comparison(databases, table.model, options).run())
    return results


class _Comparison:
    """The comparison of one table."""

    def __init__(self, databases: Databases, model: type[Model], options: Options) -> None:
        self._databases, self._model, self._options = databases, model, options
        self._result = ModelResult(model, is_sample=options.sample is not None)
        #: REMOTE's keys of rows that have another spelling of LOCAL's key, which REMOTE takes for equal.
        self._respelled: set[Key] = set()

    def run(self) -> ModelResult:
        session = look_at(self._databases)
        for part in self._parts(session):
            if stopping.is_asked():
                break
            self._result.rows += part.equal
            self._result.equal += part.equal
            for keys in _pieces(part.local_keys):
                self._compare(session, keys)
            for keys in _pieces(part.remote_keys):
                self._settle(self._extra(session, keys))
            self._show()
        return self._result

    def _parts(self, session: Session) -> Iterator[Found]:
        """Yield what the servers find; where they cannot tell which rows are equal, all keys of both sides."""
        if self._options.sample is not None:
            return sampled(session, self._model, self._options.sample)
        sides = sides_of(session, self._model)
        found = suspects(sides) if sides is not None else None
        return _all_keys(session, self._model) if found is None else found

    def _compare(self, session: Session, keys: Sequence[Key]) -> None:
        rows, differences = compare_rows(
            session, self._model, keys, Rows(session.local), Rows(session.remote, refuses=False)
        )
        self._result.rows += rows
        self._result.equal += rows - len(differences)
        self._settle(differences)

    def _extra(self, session: Session, remote_keys: Collection[Key]) -> list[Difference]:
        return extra_rows(session, self._model, [key for key in remote_keys if key not in self._respelled])

    def _show(self) -> None:
        if self._options.progress is not None:
            self._options.progress(self._result)

    def _settle(self, differences: Sequence[Difference]) -> None:
        """Look again at rows that differ, until what is on its way has arrived or the time is over."""
        until = time.monotonic() + self._options.wait
        left = list(differences)
        while left:
            real, waiting = self._look_again(left)
            self._add(real)
            if not waiting or time.monotonic() >= until or stopping.is_asked():
                self._result.on_the_way += len(waiting)
                return
            stopping.wait(min(PAUSE, max(0.0, until - time.monotonic())))
            left = waiting

    def _add(self, differences: Sequence[Difference]) -> None:
        self._result.add(differences, self._options.kept)
        if self._options.each is not None and differences:
            self._options.each(self._model, differences)

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
        extra = self._extra(session, _remote_keys(differences))
        objects = [*keys, *(d.key for d in extra if d.key is not None)]
        pending = pending_on_local(session, model, objects)
        rows, found = compare_rows(session, model, keys, before, Rows(session.remote, refuses=False))
        self._respelled.update(d.remote_key for d in found if d.is_respelled)
        found += still_there(session, model, extra)
        remote_keys = [d.logged_key for d in found if d.logged_key is not None]
        unsent = unsent_on_remote(session, model, remote_keys)
        refused = in_quarantine(session, model, [d.key for d in found if d.key is not None])
        now = after.load(model, keys)
        still_extra = _remote_keys(self._extra(session, _remote_keys(found)))
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


def _all_keys(session: Session, model: type[Model]) -> Iterator[Found]:
    """Yield all keys: LOCAL's first, so that it is known which rows of REMOTE are spelled otherwise."""
    for keys in parts_of_keys(session.local, model):
        yield Found(local_keys=keys)
    for keys in parts_of_keys(session.remote, model):
        yield Found(remote_keys=keys)


def _pieces(keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
    for start in range(0, len(keys), PART):
        if not stopping.is_asked():
            yield keys[start : start + PART]


def _remote_keys(differences: Sequence[Difference]) -> list[Key]:
    """Return REMOTE's keys of the rows that it alone has."""
    return [d.remote_key for d in differences if d.kind == EXTRA and d.remote_key is not None]
