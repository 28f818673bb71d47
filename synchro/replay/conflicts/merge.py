"""
Write the values that a callable merged to LOCAL, as a change of LOCAL's own, before REMOTE is written.

It is captured like any other, so it also reaches other REMOTEs. Then the batch begins again, and LOCAL's row, with the
merged values, is written to REMOTE. The conflict is put on record in the same transaction, so that the callable is not
asked again, not even by a run that follows a killed one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import DatabaseError, transaction
from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _

from synchro.exceptions import Undecided
from synchro.keys import Key, key_fields, to_text
from synchro.models import Conflict
from synchro.registry import Table
from synchro.replay.columns import to_attribute
from synchro.replay.conflicts.record import records_of
from synchro.replay.log.changes import RowId
from synchro.replay.plan import Merge
from synchro.replay.rows import as_key, as_values, select
from synchro.replay.session import Session
from synchro.replay.work import BatchWork


class Merging(Exception):
    """The batch begins again once LOCAL has the merged values."""

    def __init__(self, merges: Sequence[Merge], conflicts: Sequence[Sequence[Conflict]]) -> None:
        super().__init__("values are to be merged")
        self.merges, self.conflicts = merges, conflicts

    @classmethod
    def of(cls, several: Sequence[Merging]) -> Merging:
        return cls(
            [merge for error in several for merge in error.merges],
            [conflicts for error in several for conflicts in error.conflicts],
        )


def begin_merging(work: BatchWork) -> None:
    """Raise `Merging` where the plan has values for LOCAL."""
    merges = work.plan.merges
    if not merges:
        return
    for model, several in _by_model(
        merges
    ).items():  # by one statement for all, whose rows `records_of` finds
        work.local_rows.load(model, [merge.key for merge in several])
        work.remote_rows.load(model, [decision.remote_key for m in several for decision in m.decisions])
    raise Merging(merges, [records_of(work, merge.decisions) for merge in merges])


def merge_on_local(session: Session, merging: Merging) -> None:
    """Write the merged values and the conflicts to LOCAL, but not to rows that have changed meanwhile."""
    # Of an object that two batches name the first is the one whose row is still the same.
    conflicts = dict(zip(map(_row_id, reversed(merging.merges)), reversed(merging.conflicts), strict=True))
    with transaction.atomic(using=session.local.alias):
        session.local.backend.begin_writing()
        for model, merges in _by_model(merging.merges).items():
            present = _locked(session, model, [merge.key for merge in merges])
            for merge in merges:
                if present.get(merge.key) == list(merge.row):
                    _save(session, merge)
                    Conflict.objects.using(session.local.alias).bulk_create(conflicts[_row_id(merge)])


def _row_id(merge: Merge) -> RowId:
    return merge.model, merge.key


def _by_model(merges: Sequence[Merge]) -> dict[type[Model], list[Merge]]:
    found: dict[type[Model], list[Merge]] = {}
    for merge in merges:
        found.setdefault(merge.model, []).append(merge)
    return found


def _locked(session: Session, model: type[Model], keys: Sequence[Key]) -> dict[Key, list[Any]]:
    """Return LOCAL's rows and lock them."""
    fields, own = Table(model).fields, key_fields(model)
    positions = [fields.index(field) for field in own]
    rows = select(session.local, model, fields, own, [as_values(key) for key in keys], lock=True)
    return {as_key([row[position] for position in positions]): list(row) for row in rows}


def _save(session: Session, merge: Merge) -> None:
    """Save the values as anybody would: the receivers of the model run."""
    model, alias, connection = merge.model, session.local.alias, session.local.connection
    own = key_fields(model)
    lookup = {
        f.attname: to_attribute(f, value, connection)
        for f, value in zip(own, as_values(merge.key), strict=True)
    }
    rows: QuerySet[Model] = QuerySet(model, using=alias)
    instance = rows.get(**lookup)
    changed = [f for f, value in merge.values.items() if getattr(instance, f.attname) != value]
    for field in changed:
        setattr(instance, field.attname, merge.values[field])
    if not changed:
        return
    try:
        with transaction.atomic(using=alias):
            instance.save(using=alias, update_fields=[field.name for field in changed])
            if any(field.remote_field is not None for field in changed):
                connection.check_constraints([model._meta.db_table])
    except Exception as error:
        if isinstance(error, DatabaseError) and not session.local.backend.refuses_row(error):
            raise
        raise Undecided(
            _(
                "%(model)s %(key)s: LOCAL refuses the merged values (%(cause)s). Mend the callable and "
                "synchronize again."
            )
            % {"model": model._meta.label, "key": to_text(model, merge.key), "cause": type(error).__name__}
        ) from error
