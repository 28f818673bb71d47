"""The parts of a load, one after the other, and how far it has come."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from django.db.models import Model

from synchro.conf import LOCAL, conf
from synchro.fields import DatabaseNow
from synchro.keys import Key
from synchro.load.dry import compare
from synchro.load.progress import Loaded, Progress
from synchro.load.ranges import Ranges
from synchro.models import Batch, Conflict, Load
from synchro.replay.apply.load.additions import added_later
from synchro.replay.apply.load.keys import (
    count_rows,
    end_of_fitting_rows,
    end_of_rows,
    has_rows,
    keys_of_part,
)
from synchro.replay.apply.load.straight import goes_straight
from synchro.replay.checkpoint import Outcome
from synchro.replay.identity.models import keeps_references
from synchro.replay.identity.references import remote_keys
from synchro.replay.log.loads import LoadPart, Place, part_between, place_from_text, place_to_text
from synchro.replay.log.position import newest_entry, own_node
from synchro.replay.run import LoadStep
from synchro.replay.session import Database, Session
from synchro.verify.explained import unsent_on_remote
from synchro.verify.repair import log_rows

#: How many rows go straight into an empty table in one batch. They pass by; memory does not hold them.
STRAIGHT = 100_000
#: The same where references are kept, which memory does hold.
STRAIGHT_REFERENCES = 40_000


@dataclass
class _Progress:
    """How far the load of one model has come."""

    row: Load
    done: Loaded
    #: The last row of LOCAL when it began: what is added later has entries.
    last: Place | None
    #: Whether REMOTE had no rows when it began.
    was_empty: bool
    ranges: Ranges | None
    begun: float
    after: Place | None


class RangeLoader:
    """Loads these models in their order."""

    def __init__(
        self, models: Sequence[type[Model]], *, restart: bool = False, progress: Progress | None = None
    ) -> None:
        self._restart, self._progress = restart, progress
        self._models = list(models)
        self._done: dict[type[Model], Loaded] = {}
        self._at: _Progress | None = None

    def results(self) -> list[Loaded]:
        return list(self._done.values())

    def begin(self, session: Session) -> None:
        """Begin, or begin again where a connection was lost: what is written down says how far it had come."""
        self._models = [model for model in self._models if model not in session.left_out]
        if self._at is not None:
            model = self._at.done.model
            self._at = None
            self._begin(session, model, restart=False)

    def next(self, session: Session) -> LoadStep | None:
        while True:
            if self._at is None:
                if not self._models:
                    return None
                self._begin(session, self._models.pop(0), self._restart)
            step = self._step(session)
            if step is not None:
                return step

    def _begin(self, session: Session, model: type[Model], restart: bool) -> None:
        row, is_new = Load.objects.using(LOCAL).get_or_create(
            peer_id=session.peer.pk, content_type_id=session.local.content_type_id(model)
        )
        if not is_new and (restart or row.ended is not None):
            row.delete(using=LOCAL)
            row = Load(peer_id=session.peer.pk, content_type_id=row.content_type_id)
            is_new = True
        after = place_from_text(model, row.after)
        was_empty = not has_rows(session.remote, model, None, None)
        if is_new:
            row.total = count_rows(session.local, model)
            row.save(using=LOCAL)
        done = Loaded(model, row.total, row.done, row.equal, row.sent, 0, row.left)
        self._done[model] = done
        ranges = None if was_empty else Ranges(session, model)
        if ranges is not None and after is None:
            done.rows, done.equal = ranges.equal, ranges.equal
        last = end_of_rows(session.local, model, after, 1 << 62)
        self._at = _Progress(row, done, last, was_empty, ranges, time.monotonic(), after)

    def _step(self, session: Session) -> LoadStep | None:
        """Return the next part that has rows to send; None where there is none in what was looked at."""
        at = self._at
        assert at is not None
        model, ranges = at.done.model, at.ranges
        start = at.after if ranges is None else ranges.start(at.after)
        if at.last is None or (ranges is not None and ranges.is_done(at.last, at.after)):
            self._end()
            return None
        upto = end_of_fitting_rows(session.local, model, start, conf.batch_size, at.last)
        if upto is None:
            self._end()
            return None
        if self._is_clear(session, model, start, upto):
            if goes_straight(session, model):
                upto = self._far_end(session, start, upto)
            part = part_between(session.local, model, start, upto)
            return LoadStep(part, None, self._is_behind(session, part))
        if ranges is not None:
            upto = ranges.end(start, upto)
        part = part_between(session.local, model, start, upto)
        before = at.done.rows
        chosen = compare(session, model, keys_of_part(session.local, part), at.done)
        if session.forwards:
            chosen = self._without_unsent(session, model, chosen)
        at.done.rows_in_time += at.done.rows - before
        if chosen:
            return LoadStep(part, chosen, self._is_behind(session, part))
        self._move_on(upto)
        return None

    def _far_end(self, session: Session, start: Place | None, upto: Place) -> Place:
        at = self._at
        assert at is not None
        model = at.done.model
        size = STRAIGHT_REFERENCES if keeps_references(model) else STRAIGHT
        far = end_of_rows(session.local, model, start, max(size, conf.batch_size), at.last)
        return far if far is not None and self._is_clear(session, model, start, far) else upto

    def _is_clear(self, session: Session, model: type[Model], start: Place | None, upto: Place) -> bool:
        """Return whether REMOTE, as far as a look tells, has none of these rows."""
        at = self._at
        assert at is not None
        if not goes_straight(session, model):
            return at.was_empty
        if not keeps_references(model):
            is_number = isinstance(upto[0], int)
            return not has_rows(session.remote, model, start, upto) if is_number else at.was_empty
        first = end_of_rows(session.local, model, start, 1, upto)
        if first is None or first[0] <= session.baselines.get(model, 0):
            return False
        return not remote_keys(session, model, [first[0], upto[0]])

    def _is_behind(self, session: Session, part: LoadPart) -> bool:
        """Return whether what has been logged meanwhile is better replayed before this part."""
        node = own_node(LOCAL)
        if newest_entry().id - node.highest > conf.batch_size:
            return True
        return bool(added_later(session, Batch(number=session.state.arrived), part.model))

    def _without_unsent(self, session: Session, model: type[Model], keys: Collection[Key]) -> list[Key]:
        """Return the rows without those that REMOTE changed itself: it passes changes on, so these come from there."""
        assert self._at is not None
        found = remote_keys(session, model, keys) if keeps_references(model) else {key: key for key in keys}
        unsent = unsent_on_remote(session, model, list(found.values()))
        self._at.done.kept += len(unsent)
        return [key for key in keys if found.get(key) not in unsent]

    def log(self, step: LoadStep) -> None:
        assert self._at is not None
        keys = step.chosen
        if keys is None:
            keys = keys_of_part(Database(LOCAL), step.part)
        log_rows(step.part.model, list(keys))

    def done(self, step: LoadStep, outcome: Outcome | None) -> None:
        at = self._at
        assert at is not None
        upto = step.part.upto
        rows = len(step.chosen) if step.chosen is not None else 0
        if outcome is not None and outcome.loaded is not None:
            rows, upto = outcome.loaded.rows, outcome.loaded.upto
        at.done.sent += rows
        if step.chosen is None:
            at.done.rows += rows
            at.done.rows_in_time += rows
        if outcome is not None:
            at.done.left += len(outcome.quarantine.held)
            at.done.sent -= len(outcome.quarantine.held)
            at.done.kept += sum(each.decision == Conflict.REMOTE for each in outcome.conflicts)
        self._move_on(upto)

    def _move_on(self, upto: Place) -> None:
        """Write down how far the load has come."""
        at = self._at
        assert at is not None
        row, done = at.row, at.done
        at.after, row.after = upto, place_to_text(upto)
        row.done, row.equal, row.sent, row.left = done.rows, done.equal, done.sent, done.left
        row.save(using=LOCAL, update_fields=["after", "done", "equal", "sent", "left"])
        self._tell()

    def _tell(self) -> None:
        at = self._at
        assert at is not None
        at.done.seconds = time.monotonic() - at.begun
        if self._progress is not None:
            self._progress(at.done)

    def _end(self) -> None:
        at = self._at
        assert at is not None
        Load.objects.using(LOCAL).filter(pk=at.row.pk).update(ended=DatabaseNow())
        self._tell()
        self._at = None
