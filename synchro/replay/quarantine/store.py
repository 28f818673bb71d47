"""
Quarantine: changes that REMOTE refused, kept until it takes them.

LOCAL writes them before REMOTE commits the batch that goes on without them, under that batch's number. They count once
REMOTE has a receipt for the number, so that a crash in between loses nothing. That an object has left the quarantine is
written in the same way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from typing import TypeAlias

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from synchro.conf import LOCAL, conf
from synchro.keys import from_text, to_text
from synchro.models import Batch, Checkpoint, SetAside
from synchro.relations import parents_first
from synchro.replay.log.changes import Change, Changes, RowId, by_model
from synchro.replay.log.quarantined import change_of, times_of
from synchro.replay.plan import QuarantineUpdate, Reason
from synchro.replay.session import Session

#: The content type and the key, as text, of an object.
ObjectName: TypeAlias = tuple[int, str]

_chosen: ContextVar[frozenset[ObjectName] | None] = ContextVar("synchro_taken_up", default=None)


@contextmanager
def taking_up(chosen: Collection[ObjectName]) -> Iterator[None]:
    """Inside, a run that is to take up again what is in quarantine takes up these objects alone."""
    token = _chosen.set(frozenset(chosen))
    try:
        yield
    finally:
        _chosen.reset(token)


class Quarantine:
    """The changes that are quarantined towards one REMOTE."""

    def __init__(self, session: Session) -> None:
        self._session = session
        #: The changes to apply again, and those of them that only wait for others.
        self._changes: dict[RowId, Change] = {}
        self._waiting: set[RowId] = set()
        #: The ids of their rows in the table.
        self._ids: dict[RowId, int] = {}
        self._load()

    def __len__(self) -> int:
        return len(self._changes)

    def _load(self) -> None:
        newest: dict[RowId, SetAside] = {}
        outdated: list[int] = []
        known = self._rows().filter(batch__lte=self._session.state.arrived)
        for row in known.order_by("batch", "id").iterator(chunk_size=5000):
            model = self._session.local.model_of(row.content_type_id)
            if model is None:
                continue  # its app is gone, perhaps for a while
            row_id = (model, from_text(model, row.object_id))
            if row_id in newest:
                outdated.append(newest[row_id].pk)
            newest[row_id] = row
        for row_id, row in newest.items():
            if row.is_over:
                outdated.append(row.pk)
                continue
            self._changes[row_id], self._ids[row_id] = change_of(*row_id, row), row.pk
            if row.waits:
                self._waiting.add(row_id)
        self._drop(outdated)

    def warn(self) -> None:
        """Tell the person who runs this how many changes are quarantined."""
        if self._changes:
            self._session.warn(
                _(
                    "In quarantine, since the database “%(alias)s” refuses them: %(count)d. The admin lists them with "
                    "their causes; when these are corrected, “synchronize --retry” takes them up again."
                )
                % {"alias": self._session.remote.alias, "count": len(self._changes)}
            )

    def all(self) -> frozenset[RowId]:
        """Return the objects with quarantined changes."""
        return frozenset(self._changes)

    def parts(self) -> Iterator[frozenset[RowId]]:
        """Yield the objects to take up again, in parts of the size of a batch, those first that others need."""
        chosen = _chosen.get()
        keys = by_model(row_id for row_id in self._changes if chosen is None or self._named(row_id) in chosen)
        ordered = [(model, key) for model in parents_first(keys) for key in keys[model]]
        for start in range(0, len(ordered), conf.batch_size):
            yield frozenset(ordered[start : start + conf.batch_size])

    def _named(self, row_id: RowId) -> ObjectName:
        model, key = row_id
        return self._session.local.content_type_id(model), to_text(model, key)

    def natural_keys(self) -> dict[RowId, str]:
        """Return the natural keys of those that LOCAL deleted, as their entries hold them."""
        return {row_id: change.natural_key for row_id, change in self._changes.items() if change.natural_key}

    def join(self, changes: Changes, taken_up: Collection[RowId]) -> Collection[RowId]:
        """
        Add to `changes` those of the objects that are `taken_up` and of those that the batch is about anyway.

        With any of them, add those that wait for others. Return the objects whose changes stay in quarantine.
        """
        due = {row_id for row_id in self._changes if row_id in taken_up or row_id in changes.rows}
        if due:
            due |= self._waiting
        for row_id in due:
            change = changes.rows.get(row_id)
            if change is None:
                changes.rows[row_id] = self._changes[row_id].copy()
            else:
                change.follow(self._changes[row_id])
        return self._changes.keys() - due

    def update_by(self, changes: Changes, quarantined: Mapping[RowId, Reason]) -> QuarantineUpdate:
        """Return how a batch with these changes, which leaves these objects out, changes the quarantine."""
        over = {
            row_id: change
            for row_id, change in self._changes.items()
            if row_id in changes.rows and row_id not in quarantined
        }
        return QuarantineUpdate(
            {row_id: _change_in(changes, row_id) for row_id in quarantined}, quarantined, over
        )

    def write(self, batch: Batch, update: QuarantineUpdate) -> bool:
        """Write the update to LOCAL, before REMOTE commits; return whether there was anything to write."""
        rows = [
            _row(self._session, batch, change, update.reasons[row_id])
            for row_id, change in update.held.items()
        ]
        rows += [_row(self._session, batch, change, None) for change in update.released.values()]
        abandoned = self._rows().filter(batch=batch.number)  # of an attempt that was interrupted
        if not rows and not abandoned.exists():
            return False
        with transaction.atomic(using=LOCAL):
            self._session.local.backend.begin_writing()
            abandoned._raw_delete(LOCAL)
            SetAside.objects.using(LOCAL).bulk_create(rows, batch_size=500)
            if any(row_id in self._ids for row_id in (*update.held, *update.released)):
                checkpoint = Checkpoint.objects.using(LOCAL).filter(peer_id=self._session.peer.pk)
                checkpoint.filter(took_up__lt=batch.number).update(took_up=batch.number)
        return True

    def take_in(self, update: QuarantineUpdate) -> None:
        """Take in an update whose batch has arrived, or arrives together with the following ones."""
        for row_id in update.released:
            del self._changes[row_id]
        self._waiting -= {*update.held, *update.released}
        self._waiting |= {row_id for row_id, reason in update.reasons.items() if reason.waits}
        self._changes |= update.held

    def drop_outdated(self, batch: Batch, update: QuarantineUpdate) -> None:
        """Delete the outdated rows of the table, once REMOTE has the batch."""
        if not update.held and not update.released:
            return
        outdated = [
            self._ids.pop(row_id) for row_id in (*update.held, *update.released) if row_id in self._ids
        ]
        for row in self._rows().filter(batch=batch.number):
            model = self._session.local.model_of(row.content_type_id)
            if row.is_over:
                outdated.append(row.pk)
            elif model is not None:
                self._ids[model, from_text(model, row.object_id)] = row.pk
        self._drop(outdated)

    def copy(self) -> Quarantine:
        """Return an independent copy."""
        other = copy(self)
        other._changes, other._waiting, other._ids = {**self._changes}, {*self._waiting}, {**self._ids}
        return other

    def _rows(self) -> QuerySet[SetAside]:
        return SetAside.objects.using(LOCAL).filter(peer_id=self._session.peer.pk)

    def _drop(self, ids: list[int]) -> None:
        if not ids:
            return
        with transaction.atomic(using=LOCAL):
            self._session.local.backend.begin_writing()
            for start in range(0, len(ids), 500):
                part = SetAside.objects.using(LOCAL).filter(id__in=ids[start : start + 500])
                part._raw_delete(LOCAL)


def _change_in(changes: Changes, row_id: RowId) -> Change:
    """Return the change of a row that is left out; of one that no entry names, a change of the whole row."""
    known = changes.rows.get(row_id)
    if known is not None:
        return known
    model, key = row_id
    member = changes.member_changed_at(model, key) if model._meta.auto_created else None
    date = member or changes.last or max(c.date for c in changes.rows.values())
    return Change(model, key, date, whole=date)


def _row(session: Session, batch: Batch, change: Change, reason: Reason | None) -> SetAside:
    """Return the table's row for a change; without a reason, it says that the change has left the quarantine."""
    return SetAside(
        peer_id=session.peer.pk,
        batch=batch.number,
        content_type_id=session.local.content_type_id(change.model),
        object_id=to_text(change.model, change.key),
        cause=reason.cause if reason else "",
        waits=bool(reason and reason.waits),
        is_over=reason is None,
        changed=change.date,
        whole=change.whole,
        times=times_of(change),
        natural_key=change.natural_key,
        is_born=change.is_born,
    )
