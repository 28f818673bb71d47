"""
Disputes: a member of a set that is in it on one side only, since both sides have changed that.

On record it is a conflict about one field, the many-to-many field, of the object that declares it. The values of a side
say whether the member is in its set, by its own key there: ``{"artists": {"in": 7}}``, ``{"artists": {"out": 7}}``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from django.db.models import Model

from synchro.keys import key_fields, to_text
from synchro.models import Batch, Conflict
from synchro.relations import is_symmetrical, set_field, target_of
from synchro.replay.columns import json_value
from synchro.replay.conflicts.history import is_settled_by
from synchro.replay.plan import MemberConflict, Pair, Plan
from synchro.replay.session import Session


class _Filing(NamedTuple):
    """Under what a dispute is on record."""

    model: type[Model]
    object_id: str
    field: str
    #: The member's key on LOCAL; None where LOCAL does not have it.
    member: Any


def describe_member_conflicts(session: Session, batch: Batch, plan: Plan) -> list[Conflict]:
    """The disputes of `plan` as conflicts, without those that are on record already."""
    found: list[Conflict] = []
    for through, member_conflicts in plan.member_conflicts.items():
        filed = _filed(
            through, [_as_it_ends(plan, through, member_conflict) for member_conflict in member_conflicts]
        )
        known = _on_record(session, [filing for filing, _member in filed])
        for (filing, remote_member), member_conflict in filed.items():
            at = member_conflict.local_date, member_conflict.remote_date
            if not any(
                is_settled_by(session, record, *at, member_conflict.winner)
                for record in known.get(filing, ())
            ):
                found.append(_conflict(session, batch, filing, remote_member, member_conflict))
    return found


def _as_it_ends(plan: Plan, through: type[Model], member_conflict: MemberConflict) -> MemberConflict:
    """No member stays in the set of an object that goes from REMOTE, nor does a member that goes."""
    ends = zip(key_fields(through), member_conflict.remote_pair, strict=True)
    if any(key in plan.removals.get(model, ()) for field, key in ends if (model := target_of(field))):
        return replace(member_conflict, winner=Conflict.LOCAL)
    return member_conflict


def _filed(
    through: type[Model], member_conflicts: Iterable[MemberConflict]
) -> dict[tuple[_Filing, Any], MemberConflict]:
    """
    The disputes by where they are filed and by REMOTE's key of the member. Of two rows that say the same, each from its
    own end, one is filed.
    """
    found: dict[tuple[_Filing, Any], MemberConflict] = {}
    for member_conflict in member_conflicts:
        here, there = member_conflict.pair, member_conflict.remote_pair
        if is_symmetrical(through) and (here[0] is None or (here[1] is not None and here[1] < here[0])):
            here, there = here[::-1], there[::-1]
        found[_filing(through, here, there)] = member_conflict
    return found


def _filing(through: type[Model], here: Pair, there: Pair) -> tuple[_Filing, Any]:
    """
    Where LOCAL does not have the object that declares the field, the dispute is filed under the other one, with the
    name that entries give to its set.
    """
    field = set_field(through)
    source, target = key_fields(through)
    model, name, owner, member, remote_member = source.related_model, field.name, *here, there[1]
    if owner is None:
        model, name, owner, member, remote_member = (
            target.related_model, f"{field.model._meta.label}.{field.name}", here[1], None, there[0],
        )  # fmt: skip
    model = model._meta.concrete_model
    return _Filing(model, to_text(model, owner), name, json_value(member)), json_value(remote_member)


def _conflict(
    session: Session, batch: Batch, filing: _Filing, remote_member: Any, member_conflict: MemberConflict
) -> Conflict:
    here, there = ("in", "out") if member_conflict.is_in_here else ("out", "in")
    return Conflict(
        peer_id=session.peer.pk,
        batch=batch.number,
        content_type_id=session.local.content_type_id(filing.model),
        object_id=filing.object_id,
        fields=(filing.field,),  # type: ignore[misc]
        local_values=json.dumps({filing.field: {here: filing.member}}),
        remote_values=json.dumps({filing.field: {there: remote_member}}),
        local_date=member_conflict.local_date,
        remote_date=member_conflict.remote_date,
        decision=member_conflict.winner,
    )


def _on_record(session: Session, filed: Iterable[_Filing]) -> Mapping[_Filing, list[Conflict]]:
    """By one question for the sets of many objects. What has no name on LOCAL cannot be told from others."""
    objects: dict[type[Model], set[str]] = {}
    for filing in filed:
        if filing.member is not None:
            objects.setdefault(filing.model, set()).add(filing.object_id)
    found: dict[_Filing, list[Conflict]] = {}
    for model, texts in objects.items():
        conflicts = Conflict.objects.using(session.local.alias).filter(
            peer_id=session.peer.pk, content_type_id=session.local.content_type_id(model)
        )
        several = list(texts)
        for start in range(0, len(several), 5000):
            for record in conflicts.filter(object_id__in=several[start : start + 5000]):
                for name in record.fields or ():
                    member = json.loads(record.local_values or "{}").get(name)
                    if isinstance(member, dict):
                        (key,) = member.values()
                        found.setdefault(_Filing(model, record.object_id, name, key), []).append(record)
    return found
