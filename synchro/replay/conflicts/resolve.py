"""
Decide what becomes of each row of a batch.

Only what REMOTE changed itself and LOCAL has not received yet is in conflict with LOCAL's change. REMOTE's log is asked
once per model, over the range of ids that can be newer than the oldest change of the batch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from django.db.models import Model

from synchro.keys import Key
from synchro.registry import Table, same_object_models
from synchro.relations import generic_keys
from synchro.replay.conflicts.policy import Policy, policy_for
from synchro.replay.conflicts.remote_changes import remote_changes_of
from synchro.replay.conflicts.row_conflicts import RowConflict, RowConflicts
from synchro.replay.identity.identities import Identity
from synchro.replay.log.changes import Change, RowId
from synchro.replay.plan import synchronized_names
from synchro.replay.work import BatchWork


def resolve(work: BatchWork, replaced: Collection[RowId] = ()) -> None:
    """
    Add to the plan what becomes of each row of the batch. All of them are identified and read.

    The rows of those that are `replaced` belong to other objects by now; only their references go.
    """
    remote_changes = remote_changes_of(work)
    by_model = work.changes.by_model()
    present = {model: work.local_rows.present(model, keys) for model, keys in by_model.items()}
    conflicts = RowConflicts(work, remote_changes)
    for model, key in replaced:
        work.plan.forget_reference(model, key)
    for model, keys in by_model.items():
        resolver = _Resolver(work, conflicts, model)
        known, local = work.identities.known(model), present[model]
        for key in keys:
            if (model, key) not in replaced:
                resolver.resolve(work.changes.rows[model, key], known[key], key in local)
    _keep_successors(work, present)


def is_deletion(identity: Identity, change: Change) -> bool:
    """Return whether REMOTE has the row of an object that LOCAL lacks: one added and deleted unseen has none there."""
    if change.model._meta.auto_created:  # whoever added it, it is the same pair
        return identity.exists
    is_known = identity.is_remembered or identity.is_recognized
    return identity.exists and (is_known or not change.is_born)


def _keep_successors(work: BatchWork, present: Mapping[type[Model], Collection[Key]]) -> None:
    """Do not delete rows of REMOTE that objects which LOCAL has now have taken over, by their natural keys."""
    for model, deletions in work.plan.deletions.items():
        taken = {work.identities.of(model, key).remote for key in present.get(model, ())}
        for remote in taken & deletions.keys():
            del deletions[remote]


class _Resolver:
    """Decides about the rows of one model."""

    def __init__(self, work: BatchWork, conflicts: RowConflicts, model: type[Model]) -> None:
        self._plan, self._conflicts, self._model = work.plan, conflicts, model
        self._policy: Policy = policy_for(model)
        self._tables = same_object_models(model)
        self._fields = Table(model).fields

    def resolve(self, change: Change, identity: Identity, is_present: bool) -> None:
        """Add to the plan what becomes of an object; `is_present` says whether LOCAL has it."""
        if not is_present:
            if not is_deletion(identity, change):
                self._plan.forget_reference(self._model, change.key)
            else:
                self._resolve_deletion(change, identity)
        elif identity.exists:
            self._resolve_change(change, self._conflicts.of(change, identity), identity)
        else:
            self._resolve_addition(change, self._conflicts.of(change, identity))

    def _resolve_deletion(self, change: Change, identity: Identity) -> None:
        """LOCAL has deleted the object, and REMOTE has it."""
        conflict = self._conflicts.of(change, identity, self._tables)
        if conflict is not None:
            latest = conflict.remote_change.date
            if not self._policy.decide_row(conflict, change.date, latest):
                # It comes back from REMOTE under the same key, so its reference stays.
                self._plan.keep_remote(self._model, change.key)
                self._plan.withheld_deletions.setdefault(self._model, {})[identity.remote] = latest
                return
        self._plan.delete(self._model, identity.remote, change.key)
        self._plan.forget_reference(self._model, change.key)

    def _resolve_addition(self, change: Change, conflict: RowConflict | None) -> None:
        """LOCAL has the object, and REMOTE has not: it is new there, or was deleted there."""
        deleted = conflict.remote_change.deleted if conflict else None
        if conflict and conflict.remote_change.is_born and not self._model._meta.auto_created:
            # LOCAL never receives what REMOTE added and deleted: it was another object with the same key. A member of
            # a set has only one.
            deleted = None
        if conflict is None or deleted is None:
            self._plan.write(self._model, change.key)
        elif self._policy.decide_row(conflict, change.date, deleted):
            self._plan.write(self._model, change.key)
            self._plan.restore(self._model, change.key)
        else:
            self._plan.keep_remote(self._model, change.key)

    def _resolve_change(self, change: Change, conflict: RowConflict | None, identity: Identity) -> None:
        """Both have the object: each field is decided by itself, as far as the changed fields are known."""
        if self._model._meta.auto_created:  # both have the member in the set
            self._plan.write(self._model, change.key)
            return
        if conflict is None:
            names = synchronized_names(self._model, tuple(change.fields)) if change.whole is None else None
            self._plan.write(self._model, change.key, names)
            return
        dates = self._changed_fields(change)
        if not dates:
            self._plan.write(self._model, change.key, frozenset())
            return
        both = {
            name: (date, remote)
            for name, date in dates.items()
            if (remote := conflict.remote_change.changed_at(name))
        }
        won = dates.keys() - both.keys() | self._policy.decide_fields(conflict, both)
        if won:
            self._plan.write(self._model, change.key, frozenset(won))
        else:
            self._plan.keep_remote(self._model, change.key)

    def _changed_fields(self, change: Change) -> dict[str, datetime]:
        """Return the names of the fields that LOCAL changed, or may have, with the times."""
        dates = {field.name: date for field in self._fields if (date := change.changed_at(field.name))}
        for generic in generic_keys(self._model):  # a key means nothing without its content type
            several = [dates[name] for name in (generic.ct_field, generic.fk_field) if name in dates]
            if several:
                dates[generic.ct_field] = dates[generic.fk_field] = max(several)
        return dates
