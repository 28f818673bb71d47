"""Gather: what LOCAL has to say about a batch, read before REMOTE's transaction begins."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from synchro.models import Batch
from synchro.replay.apply.attempts import Strategy
from synchro.replay.apply.bulk.entries import BulkPart
from synchro.replay.apply.load.source import LoadSource
from synchro.replay.checkpoint import LoadedPart
from synchro.replay.columns import look_at_columns
from synchro.replay.identity.former_sets import name_rows
from synchro.replay.log.batches import check_entries
from synchro.replay.log.changes import Changes, RowId, coalesce
from synchro.replay.log.entries import entries_of
from synchro.replay.log.pending import pending_entries
from synchro.replay.log.ranges import Range
from synchro.replay.log.received import Received, read_received
from synchro.replay.log.remote_log import RemoteLog
from synchro.replay.log.unread import Unread
from synchro.replay.rows import Rows
from synchro.replay.session import Session
from synchro.replay.signals import announce


@dataclass(frozen=True)
class Material:
    """What LOCAL has to say about a batch."""

    #: What the entries say, but for those of the rows that go in bulk; and the rows of LOCAL.
    changes: Changes
    bulk: BulkPart
    rows: Rows
    #: What is in quarantine and is not to be tried with this batch.
    resting: Collection[RowId]
    #: Entries of models that this process does not watch.
    unread: Unread
    #: What is to be passed on by REMOTE; None where REMOTE passes nothing on.
    received: Received | None
    #: How many rows of a load there are, and up to which place; None of other batches.
    loaded: LoadedPart | None = None


def gather(
    session: Session,
    log: RemoteLog,
    batch: Batch,
    ids: Sequence[Range],
    bulk: BulkPart,
    strategy: Strategy,
    loaded: LoadSource | None = None,
) -> Material:
    """Return what LOCAL has to say: the entries with these ids, or what is loaded, and the rows that they name."""
    unread = Unread()
    received = read_received(session, ids, unread) if session.forwards else None
    if received is not None:
        changes = coalesce(received.entries)
    else:
        changes = coalesce(() if bulk.is_all else entries_of(session.local, ids, unread, bulk.taken))
    if loaded is not None and not bulk.is_all:
        changes.take_in(loaded.entries())
    name_rows(session, changes)
    for place in [place for place in changes.rows if place[0] in session.left_out]:
        del changes.rows[place]
    check_entries(batch)
    resting = strategy.join(changes)
    if strategy.also:
        changes.take_along(strategy.also, coalesce(pending_entries(session, strategy.also)), session.begun)
    for row_id, name in strategy.columns:
        changes.rows[row_id].name_field(name)
    log.note_signs(frozenset() if received is None else received.signs)
    rows = Rows(session.local, bulk.named.keys())
    by_model = changes.by_model()
    look_at_columns(session.remote, {**by_model, **bulk.named})
    for model, keys in by_model.items():
        rows.load(model, keys)
    announce("read", batch)
    done = None if loaded is None else LoadedPart(len(loaded.keys), loaded.part.upto)
    return Material(changes, bulk, rows, resting, unread, received, done)
