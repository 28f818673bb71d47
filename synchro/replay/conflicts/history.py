"""Read what was decided about conflicts before."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from functools import cached_property

from django.db.models import Model

from synchro.keys import Key, from_text, to_text
from synchro.last_check import aware
from synchro.models import Batch, Conflict
from synchro.registry import Table
from synchro.replay.plan import Decision, MemberConflict
from synchro.replay.session import Session

#: How many objects one statement asks about.
PART = 5000


def conflicts_on_record(session: Session, model: type[Model], texts: Sequence[str]) -> Iterator[Conflict]:
    """Yield the conflicts about the objects with these keys as text, the newest of each first."""
    conflicts = Conflict.objects.using(session.local.alias).filter(
        peer_id=session.peer.pk, content_type_id=session.local.content_type_id(model)
    )
    for start in range(0, len(texts), PART):
        yield from conflicts.filter(object_id__in=texts[start : start + PART]).order_by("-id")


def is_about_row(session: Session, record: Conflict) -> bool:
    """Return whether it is about columns of the object's table, and not about members of a set."""
    if record.fields is None:
        return True
    model = session.local.model_of(record.content_type_id)
    return model is not None and {*record.fields} <= {field.name for field in Table(model).fields}


def is_settled_by(session: Session, record: Conflict, decided: Decision | MemberConflict) -> bool:
    """Return whether the record says that the same side won, against this change of the other or a later one."""
    return (
        record.decision == decided.winner
        and record.batch <= session.state.arrived
        and aware(record.remote_date) >= aware(decided.remote_date)
        and (decided.winner == Conflict.LOCAL or aware(record.local_date) >= aware(decided.local_date))
    )


class History:
    """What was decided about rows before."""

    def __init__(self, session: Session, batch: Batch) -> None:
        self._session, self._batch = session, batch
        self._found: dict[type[Model], dict[Key, list[Conflict]]] = {}

    def load(self, model: type[Model], keys: Collection[Key]) -> None:
        """Read what is on record about these objects, which are not read yet."""
        found = self._found.setdefault(model, {})
        for conflict in conflicts_on_record(self._session, model, [to_text(model, key) for key in keys]):
            if is_about_row(self._session, conflict):
                found.setdefault(from_text(model, conflict.object_id), []).append(conflict)

    def count_of_this_batch(self, model: type[Model], key: Key) -> int:
        """Return how many there are of this very batch, from when values of the object were merged; else 0."""
        found = [record for record in self._of(model, key) if self._is_of_this_batch(record)]
        return len(found) if any(record.decision == Conflict.MERGED for record in found) else 0

    def merged_fields(self, model: type[Model], key: Key) -> set[str]:
        """Return the names of the fields that were merged when this very batch was tried before."""
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
        """When the batch was formed, by the database: the instance may hold an expression instead."""
        batches = Batch.objects.using(self._session.local.alias)
        return batches.values_list("formed", flat=True).get(number=self._batch.number)

    def verdict(
        self, model: type[Model], key: Key, name: str | None, local_date: datetime, remote_date: datetime
    ) -> str | None:
        """
        Return who won already between these changes of the field `name`, or with None of the whole row.

        It is `Conflict.LOCAL` or `Conflict.REMOTE`; None where that is still to be decided.
        """
        is_repeated = self.count_of_this_batch(model, key) > 0
        for record in self._of(model, key):
            if name is not None and record.fields is not None and name not in record.fields:
                continue
            has_arrived = record.batch <= self._session.state.arrived
            is_merged = record.decision == Conflict.MERGED
            if is_merged and has_arrived and aware(local_date) <= aware(record.date):
                return Conflict.REMOTE  # LOCAL's change is that merge itself, which REMOTE has
            if aware(remote_date) > aware(record.remote_date):
                continue
            if is_repeated and self._is_of_this_batch(record):
                return Conflict.REMOTE if record.decision == Conflict.REMOTE else Conflict.LOCAL
            if has_arrived and record.decision != Conflict.REMOTE:
                return Conflict.LOCAL
        return None

    def _of(self, model: type[Model], key: Key) -> list[Conflict]:
        return self._found.get(model, {}).get(key, [])
