"""
Rows that are on their way by entries of their own.

A batch of a load reads rows later than the entries before it were cut into batches. So it can meet a row whose addition
is in a later batch. Were it loaded, and deleted before that batch, the batch would name an object that was added and is
gone, which REMOTE never had: so it would stay there. It is left to its entries instead.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Model

from synchro.conf import LOCAL
from synchro.keys import Key, key_reader
from synchro.models import ADDITION, Batch
from synchro.registry import same_key_children
from synchro.replay.log.changes import NO_KEY
from synchro.replay.log.entries import parts_of_log
from synchro.replay.log.pending import pending_ids
from synchro.replay.session import Session


def added_later(session: Session, batch: Batch, model: type[Model]) -> set[Key]:
    """
    Return the keys of the objects whose additions are in no batch up to this one.

    Ask when the rows have been read: an addition is visible not later than its row.
    """
    return set(_added_later(session, batch, model))


def _added_later(session: Session, batch: Batch, model: type[Model]) -> Iterator[Key]:
    pending, read = pending_ids(LOCAL, batch.number), key_reader(model)
    types = [session.local.content_type_id(each) for each in (model, *same_key_children(model))]
    for part in parts_of_log(session.local, [*pending.logged, *pending.gaps]):
        log = part.order_by().filter(action=ADDITION, content_type_id__in=types)
        for text in log.values_list("object_id", flat=True):
            try:
                yield read(text)
            except NO_KEY:
                continue  # what cannot be read stops the run when its own batch is read
