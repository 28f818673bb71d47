"""
Dependents: what cannot be written to REMOTE without what is quarantined.

That is the rest of the same object (multi-table inheritance), rows that point at a row which REMOTE does not get, and
deletions of rows that a row of REMOTE still points at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.keys import Key, key_fields, to_text
from synchro.relations import same_key_parents, target_of
from synchro.replay.conflicts.members import name_deleted_pairs
from synchro.replay.log.changes import ByModel, RowId, by_model
from synchro.replay.parents import pointing
from synchro.replay.plan import Plan, Reason, Reasons
from synchro.replay.rows import as_key, as_values, select
from synchro.replay.work import BatchWork


def leave_out(work: BatchWork, refused: Mapping[RowId, Reason], resting: Collection[RowId]) -> Reasons:
    """
    Take out of the plan what is `refused`, what stays in quarantine (`resting`), and what depends on either.

    Return what is quarantined with this batch, with the reasons.
    """
    if not refused and not resting:
        return {}
    for model in by_model(refused):
        if model._meta.auto_created:
            name_deleted_pairs(work.plan, work.identities, model)
    found = _Dependents(work).of(refused, resting)
    _take_out(work.plan, by_model(found))
    new = {row_id: reason for row_id, reason in found.items() if row_id not in resting}
    work.plan.quarantined = by_model(new)
    return new


def _take_out(plan: Plan, several: ByModel) -> None:
    for model, keys in several.items():
        writes = {key: names for key, names in plan.writes.pop(model, {}).items() if key not in keys}
        deletions = {remote: key for remote, key in plan.deletions.pop(model, {}).items() if key not in keys}
        references = [key for key in plan.obsolete_references.pop(model, ()) if key not in keys]
        if writes:
            plan.writes[model] = writes
        if deletions:
            plan.deletions[model] = deletions
        if references:
            plan.obsolete_references[model] = references


class _Dependents:
    """Finds what depends on quarantined rows in a plan."""

    def __init__(self, work: BatchWork) -> None:
        self._work, self._session, self._plan, self._identities = (
            work,
            work.session,
            work.plan,
            work.identities,
        )
        self._deleted = {
            (model, key)
            for model, deletions in work.plan.deletions.items()
            for key in deletions.values()
            if key is not None
        }

    def of(self, refused: Mapping[RowId, Reason], resting: Collection[RowId]) -> Reasons:
        """Return all that has to be taken out of the plan, with the reasons."""
        frontier = {row_id: Reason("") for row_id in resting if self._is_planned(row_id)}
        frontier |= {row_id: reason for row_id, reason in refused.items() if self._is_planned(row_id)}
        found: Reasons = {}
        held = dict(self._held(by_model(resting)))
        while frontier or held:
            frontier = {**held, **frontier}
            found |= frontier
            several = by_model(frontier)
            following = dict([*self._parts(several), *self._children(several), *self._held(several)])
            frontier = {row_id: reason for row_id, reason in following.items() if row_id not in found}
            held = {}
        return found

    def _is_planned(self, row_id: RowId) -> bool:
        """Return whether the plan is about the row; also where it only deletes its reference."""
        model, key = row_id
        return (
            key in self._plan.writes.get(model, {})
            or row_id in self._deleted
            or key in self._plan.obsolete_references.get(model, ())
        )

    def _parts(self, several: ByModel) -> Iterator[tuple[RowId, Reason]]:
        """Yield the rows of the same objects in other tables."""
        planned = {*self._plan.writes, *self._plan.deletions}
        for model, keys in several.items():
            above = set(same_key_parents(model))
            for other in planned:
                if other in above or model in same_key_parents(other):
                    for key in keys:
                        if self._is_planned((other, key)):
                            text = _("it is one object with %(model)s %(key)s, which is in quarantine")
                            yield (other, key), _because(text, model, key)

    def _children(self, several: ByModel) -> Iterator[tuple[RowId, Reason]]:
        """Yield rows that the plan writes and that point at rows which REMOTE lacks."""
        missing: ByModel = {}
        for model, keys in several.items():
            known = self._identities.find(model, keys)
            if lacking := {key for key in keys if not known[key].exists}:
                missing[model] = lacking
        if not missing:
            return
        text = _("it needs %(model)s %(key)s, which is in quarantine")
        for model in list(self._plan.writes):
            for key, _column, target, wanted in pointing(self._work, model, missing):
                yield (model, key), _because(text, target, wanted)

    def _held(self, several: ByModel) -> Iterator[tuple[RowId, Reason]]:
        """Yield rows that the plan deletes and that quarantined rows, as REMOTE has them, point at."""
        text = _("%(model)s %(key)s, which is in quarantine, still points at it on REMOTE")
        for model, keys in several.items():
            if model._meta.auto_created:  # a member goes with either end, and nothing is lost
                continue
            columns = [
                field
                for field in model._meta.local_concrete_fields
                if field.remote_field is not None and target_of(field) in self._plan.deletions
            ]
            if not columns:
                continue
            known = self._identities.find(model, keys)
            held = {known[key].remote: key for key in keys if known[key].exists}
            own, values = key_fields(model), [as_values(remote) for remote in held]
            for field in columns:
                target = target_of(field)
                assert target is not None
                for *pk, value in select(self._session.remote, model, [*own, field], own, values):
                    local = self._plan.deletions[target].get(value)
                    if local is not None and as_key(pk) in held:
                        yield (target, local), _because(text, model, held[as_key(pk)])


def _because(text: str, model: type[Model], key: Key) -> Reason:
    return Reason(text % {"model": model._meta.label, "key": to_text(model, key)}, waits=True)
