"""
Record: conflicts and what was decided, kept on LOCAL.

They are written before REMOTE's transaction commits, so that none is lost with a process that dies right afterwards.
What was decided in vain, since REMOTE did not take the batch, is replaced when the batch is repeated.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db import transaction
from django.db.models import Model, QuerySet, Subquery

from synchro.checkpoint import aware
from synchro.keys import Key, from_text, to_text
from synchro.models import Batch, Conflict
from synchro.registry import Table
from synchro.replay.columns import json_value
from synchro.replay.plan import Decision, Loss
from synchro.replay.rows import Rows
from synchro.replay.session import Session

#: How many conflicts are put on record by one statement, with how much of values.
MOST_CONFLICTS, MOST_LETTERS = 500, 2**20


def describe(
    session: Session, batch: Batch, decisions: Sequence[Decision], here: Rows, there: Rows
) -> list[Conflict]:
    """Conflicts as they are kept, with the values that both sides had. To be called before REMOTE is written."""
    by_model: dict[type[Model], list[Decision]] = {}
    for decision in decisions:
        by_model.setdefault(decision.model, []).append(decision)
    found = []
    for model, several in by_model.items():
        ours = here.load(model, [decision.key for decision in several])
        keys = [decision.remote_key for decision in several]
        theirs = there.load(model, [key for key in keys if key is not None])
        for decision in several:
            found.append(
                Conflict(
                    peer_id=session.peer.pk,
                    batch=batch.number,
                    content_type_id=session.local.content_type_id(model),
                    object_id=to_text(model, decision.key),
                    fields=decision.fields,  # type: ignore[misc]
                    local_values=_values(decision, ours.get(decision.key)),
                    remote_values=_values(decision, theirs.get(decision.remote_key)),
                    local_date=decision.local_date,
                    remote_date=decision.remote_date,
                    decision=decision.winner,
                )
            )
    return found


def describe_losses(session: Session, batch: Batch, losses: Sequence[Loss], there: Rows) -> list[Conflict]:
    """
    Conflicts about rows that LOCAL has no key for, and that go from REMOTE: each under the object that it belonged to,
    with the label of its foreign key in the place of a field.
    """
    by_model: dict[type[Model], list[Loss]] = {}
    for loss in losses:
        by_model.setdefault(loss.child, []).append(loss)
    found = []
    for child, several in by_model.items():
        rows, fields = there.load(child, [loss.remote_key for loss in several]), Table(child).fields
        for loss in several:
            label = f"{child._meta.label}.{loss.column.name}"
            pairs = zip(fields, rows.get(loss.remote_key, ()), strict=False)
            values = {field.name: json_value(value) for field, value in pairs}
            found.append(
                Conflict(
                    peer_id=session.peer.pk,
                    batch=batch.number,
                    content_type_id=session.local.content_type_id(loss.model),
                    object_id=to_text(loss.model, loss.key),
                    fields=(label,),  # type: ignore[misc]
                    local_values=None,
                    remote_values=json.dumps({label: values}),
                    local_date=loss.local_date,
                    remote_date=loss.remote_date,
                    decision=Conflict.LOCAL,
                )
            )
    return found


def _values(decision: Decision, row: Sequence[Any] | None) -> str | None:
    if row is None:
        return None
    names = [field.name for field in Table(decision.model).fields]
    pairs = zip(names, row, strict=True)
    wanted = decision.fields
    return json.dumps({name: json_value(value) for name, value in pairs if wanted is None or name in wanted})


def put_on_record(session: Session, batch: Batch, conflicts: Sequence[Conflict]) -> None:
    """Keep the conflicts of a batch that REMOTE is about to take."""
    if not conflicts:
        return
    with transaction.atomic(using=session.local.alias):
        session.local.backend.begin_writing()
        _forget(session, _decided_since(session, batch).filter(batch=batch.number))
        for part in _parts(conflicts):
            Conflict.objects.using(session.local.alias).bulk_create(part)


def _parts(conflicts: Sequence[Conflict]) -> Iterator[list[Conflict]]:
    """As many as a statement may hold, by number and by length."""
    part: list[Conflict] = []
    length = 0
    for conflict in conflicts:
        more = len(conflict.local_values or "") + len(conflict.remote_values or "")
        if part and (length + more > MOST_LETTERS or len(part) == MOST_CONFLICTS):
            yield part
            part, length = [], 0
        part.append(conflict)
        length += more
    if part:
        yield part


def discard_undelivered_decisions(session: Session, first: Batch) -> None:
    """
    Forget what was decided about batches, from the `first`, that did not arrive: it will be decided again.

    To be called while the receipt is held. Before that, a commit of a process that was killed may still be on its
    way, and what it decided would be on record nowhere.
    """
    if not _decided_since(session, first).exists():
        return
    with transaction.atomic(using=session.local.alias):
        session.local.backend.begin_writing()
        _forget(session, _decided_since(session, first))


def _decided_since(session: Session, first: Batch) -> QuerySet[Conflict]:
    """Conflicts of the batches from the `first`; the time tells them from those before a reset, which count anew."""
    alias = session.local.alias
    formed = Batch.objects.using(alias).filter(number=first.number).values("formed")
    return Conflict.objects.using(alias).filter(
        peer_id=session.peer.pk, batch__gte=first.number, date__gte=Subquery(formed)
    )


def _forget(session: Session, conflicts: QuerySet[Conflict]) -> None:
    """Of rows with merged values the decisions stay, as LOCAL has those values already."""
    few = conflicts.only("batch", "content_type", "object_id", "fields", "decision")
    found = [(record, (record.batch, record.content_type_id, record.object_id)) for record in few]
    merged = {place for record, place in found if record.decision == Conflict.MERGED}
    going = [
        record.pk for record, place in found if place not in merged or not _is_about_row(session, record)
    ]
    for start in range(0, len(going), 500):
        Conflict.objects.using(conflicts.db).filter(pk__in=going[start : start + 500]).delete()


def _is_about_row(session: Session, record: Conflict) -> bool:
    """Whether it is about columns of the object's table, and not about members of a set."""
    if record.fields is None:
        return True
    model = session.local.model_of(record.content_type_id)
    return model is not None and {*record.fields} <= {field.name for field in Table(model).fields}


def is_settled_by(session: Session, record: Conflict, ours: datetime, theirs: datetime, winner: str) -> bool:
    """Whether the record says that `winner` won, and that what the other side lost is no later change than this."""
    return (
        record.decision == winner
        and record.batch <= session.state.arrived
        and aware(record.remote_date) >= aware(theirs)
        and (winner == Conflict.LOCAL or aware(record.local_date) >= aware(ours))
    )


class History:
    """What was decided about objects before, by what LOCAL has on record."""

    def __init__(self, session: Session, batch: Batch) -> None:
        self._session, self._batch = session, batch
        self._found: dict[type[Model], dict[Key, list[Conflict]]] = {}
        self._asked: dict[type[Model], set[Key]] = {}

    def load(self, model: type[Model], keys: Iterable[Key]) -> None:
        session, found = self._session, self._found.setdefault(model, {})
        asked = self._asked.setdefault(model, set())
        new = [key for key in dict.fromkeys(keys) if key not in asked]
        asked.update(new)
        texts = [to_text(model, key) for key in new]
        conflicts = Conflict.objects.using(session.local.alias).filter(
            peer_id=session.peer.pk, content_type_id=session.local.content_type_id(model)
        )
        for start in range(0, len(texts), 5000):
            part = conflicts.filter(object_id__in=texts[start : start + 5000])
            for conflict in part.order_by("-id"):
                if _is_about_row(session, conflict):
                    found.setdefault(from_text(model, conflict.object_id), []).append(conflict)

    def count_of_this_batch(self, model: type[Model], key: Key) -> int:
        """How many there are of this very batch, from when values of the object were merged; else none."""
        found = [record for record in self._of(model, key) if self._is_of_this_batch(record)]
        return len(found) if any(record.decision == Conflict.MERGED for record in found) else 0

    def merged_fields(self, model: type[Model], key: Key) -> set[str]:
        """Names of the fields that were merged when this very batch was tried before."""
        return {
            name
            for record in self._of(model, key)
            if self._is_of_this_batch(record) and record.decision == Conflict.MERGED
            for name in record.fields or ()
        }

    def _is_of_this_batch(self, record: Conflict) -> bool:
        return record.batch == self._batch.number and record.date >= self._formed

    @cached_property
    def _formed(self) -> datetime:
        """What the database says: the batch may have been made with an expression in its place."""
        batches = Batch.objects.using(self._session.local.alias)
        return batches.values_list("formed", flat=True).get(number=self._batch.number)

    def has(
        self,
        model: type[Model],
        key: Key,
        names: Collection[str] | None,
        ours: datetime,
        theirs: datetime,
        winner: str,
    ) -> bool:
        """Whether it is on record that `winner` won, and that what the other side lost is no later change than this."""
        return any(
            is_settled_by(self._session, record, ours, theirs, winner)
            and (record.fields is None or (names is not None and {*names} <= {*record.fields}))
            for record in self._of(model, key)
        )

    def verdict(
        self, model: type[Model], key: Key, name: str | None, ours: datetime, theirs: datetime
    ) -> str | None:
        """
        Who won already, `Conflict.LOCAL` or `Conflict.REMOTE`, between these changes of the field `name` (None for the
        row as a whole); None where that is still open.
        """
        is_repeated = self.count_of_this_batch(model, key) > 0
        for record in self._of(model, key):
            if name is not None and record.fields is not None and name not in record.fields:
                continue
            has_arrived = record.batch <= self._session.state.arrived
            is_merged = record.decision == Conflict.MERGED
            if is_merged and has_arrived and aware(ours) <= aware(record.date):
                return Conflict.REMOTE  # LOCAL's change is that merge itself, which REMOTE has
            if aware(theirs) > aware(record.remote_date):
                continue
            if is_repeated and self._is_of_this_batch(record):
                return Conflict.REMOTE if record.decision == Conflict.REMOTE else Conflict.LOCAL
            if has_arrived and record.decision != Conflict.REMOTE:
                return Conflict.LOCAL
        return None

    def _of(self, model: type[Model], key: Key) -> list[Conflict]:
        return self._found.get(model, {}).get(key, [])
