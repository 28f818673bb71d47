"""Bring the rows that exist to REMOTE: those that it lacks or has otherwise, a part at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from django.contrib.contenttypes.models import ContentType
from django.db.models import Model

from synchro import stopping
from synchro.conf import conf
from synchro.keys import Key
from synchro.registry import standing_tables
from synchro.relations import parents_first
from synchro.replay import call_synchronize
from synchro.replay.handshake import look_at
from synchro.replay.rows import Rows
from synchro.replay.session import Database, Databases, own_settings, reachable
from synchro.shared_tables import stands_for
from synchro.verify.checksums import different_ranges
from synchro.verify.expected import compare_rows
from synchro.verify.explained import in_quarantine, pending_on_local, unsent_on_remote
from synchro.verify.ranges import parts_of_keys
from synchro.verify.repair import log_rows


@dataclass
class Loaded:
    """What was done of one model."""

    model: type[Model]
    #: How many rows LOCAL has been found to have, and how many of them REMOTE had alike.
    rows: int = 0
    equal: int = 0
    #: How many rows were sent, or would be.
    sent: int = 0
    #: How many were left alone: for a change that is on its way, one of REMOTE's own, or one in quarantine.
    left: int = 0
    seconds: float = 0.0


Progress = Callable[[Loaded], None]


def load(
    alias: str,
    models: Collection[type[Model]] = (),
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> list[Loaded]:
    """
    Bring the rows of all watched models, or of these `models`, to the database `alias`; return what was done.

    Rows that REMOTE lacks or has otherwise are logged as changes of LOCAL and replayed, parents before children, in
    parts of the size of a batch. So all that holds for changes holds for them: identities, conflicts, quarantine; and
    what others write meanwhile arrives too, in whatever order. A row that REMOTE has changed itself and has not sent
    is left to that change. Where it is interrupted, it finds at the next call what is equal by then.

    With `dry_run` nothing is written. Raises what a run raises.
    """
    if not dry_run:
        call_synchronize(remote=alias)
    databases = Databases(Database(alias))
    ContentType.objects.clear_cache()
    named = {stands_for(model) for model in models}
    wanted = [table.model for table in standing_tables() if not named or table.model in named]
    done = []
    for model in parents_first(wanted):
        if stopping.is_asked():
            break
        done.append(_Load(databases, model, dry_run, progress).run())
    return done


class _Load:
    """The load of one table."""

    def __init__(
        self, databases: Databases, model: type[Model], dry_run: bool, progress: Progress | None
    ) -> None:
        self._databases, self._model, self._dry_run, self._progress = databases, model, dry_run, progress
        self._done = Loaded(model)

    def run(self) -> Loaded:
        begun = time.monotonic()
        for between in self._ranges():
            for keys in parts_of_keys(
                self._databases.local, self._model, size=conf.batch_size, between=between
            ):
                if stopping.is_asked():
                    return self._done
                self._send(self._to_send(keys))
                self._done.seconds = time.monotonic() - begun
                if self._progress is not None:
                    self._progress(self._done)
        return self._done

    def _ranges(self) -> list[tuple[int, int] | None]:
        """Return the ranges of keys that are not equal by what the servers say; one of None for all keys."""
        with reachable(self._databases), own_settings(self._databases):
            found = different_ranges(look_at(self._databases), self._model)
        if found is None:
            return [None]
        equal, ranges = found
        self._done.rows += equal
        self._done.equal += equal
        return list(ranges)

    def _to_send(self, keys: Collection[Key]) -> list[Key]:
        """Return those of these rows that REMOTE lacks or has otherwise, and that no change explains."""
        model, done = self._model, self._done
        with reachable(self._databases), own_settings(self._databases):
            session = look_at(self._databases)
            rows, found = compare_rows(session, model, keys, Rows(session.local), Rows(session.remote))
            done.rows += rows
            done.equal += rows - len(found)
            local_keys = [d.key for d in found if d.key is not None]
            left = pending_on_local(session, model, local_keys) | in_quarantine(session, model, local_keys)
            remote_keys = {d.logged_key: d.key for d in found if d.logged_key is not None}
            left |= {remote_keys[key] for key in unsent_on_remote(session, model, list(remote_keys))}
        done.left += len(left)
        return [key for key in local_keys if key not in left]

    def _send(self, keys: list[Key]) -> None:
        self._done.sent += len(keys)
        if keys and not self._dry_run:
            log_rows(self._model, keys)
            call_synchronize(remote=self._databases.remote.alias)
