"""What a batch of a load names, as if each of its rows had an entry."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from django.db import connections
from django.db.models import Model

from synchro.conf import LOCAL, conf
from synchro.keys import Key
from synchro.models import CHANGE, Batch
from synchro.replay.apply.bulk.eligible import ends_of, is_plain, is_plain_set
from synchro.replay.apply.bulk.entries import NOTHING, BulkPart, Named
from synchro.replay.apply.load.additions import added_later
from synchro.replay.apply.load.keys import end_of_fitting_rows, keys_of_part
from synchro.replay.conflicts.remote_changes import has_unsent_changes
from synchro.replay.log.batches import shorten_load
from synchro.replay.log.changes import Entry
from synchro.replay.log.loads import LoadPart, date_of_loaded
from synchro.replay.log.remote_log import RemoteLog
from synchro.replay.session import Session


class LoadSource:
    """The rows of a part of a load, or the `chosen` ones of them."""

    def __init__(
        self, session: Session, batch: Batch, part: LoadPart, chosen: Collection[Key] | None = None
    ) -> None:
        self._session, self.part = session, part
        if chosen is None:
            self.part = part = _short_enough(session, batch, part)
        # Also where rows were chosen: they were before the batch was formed, and one may have been deleted since.
        keys = keys_of_part(session.local, part)
        later = added_later(session, batch, part.model)
        wanted = None if chosen is None else set(chosen)
        self.keys = [key for key in keys if key not in later and (wanted is None or key in wanted)]

    def bulk(self, log: RemoteLog, excluded: Collection[type[Model]]) -> BulkPart:
        """Return what goes in bulk: all of it, or nothing."""
        model, session = self.part.model, self._session
        is_eligible = is_plain_set(model) if model._meta.auto_created else is_plain(model)
        if not self.keys or model in {*excluded, *session.left_out} or not is_eligible:
            return NOTHING
        if has_unsent_changes(log, [model, *ends_of(model)], session.begun):
            return NOTHING
        named = Named(model, {None: dict.fromkeys(self.keys)})
        return BulkPart({model: named}, first=session.begun, is_all=True, is_loaded=True)

    def entries(self) -> Iterator[Entry]:
        """Yield an entry that any column of a row may have changed, for each of them."""
        date, model = date_of_loaded(), self.part.model
        for key in self.keys:
            yield Entry(0, model, key, CHANGE, date, None, None)


def _short_enough(session: Session, batch: Batch, part: LoadPart) -> LoadPart:
    """
    Return the part, with not more rows than memory is to hold at once.

    A part is long where its rows were to go straight into the table. What is beyond comes with a later batch, since a
    load goes on after what has arrived.
    """
    if connections[LOCAL].in_atomic_block:
        return part  # all batches go as one, and LOCAL cannot be written to
    upto = end_of_fitting_rows(session.local, part.model, part.after, conf.batch_size, part.upto)
    if upto is None or upto == part.upto:
        return part
    shorter = replace(part, upto=upto)
    shorten_load(batch, shorter)
    return shorter
