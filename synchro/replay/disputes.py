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
from synchro.registry import set_field
from synchro.relations import target_of
from synchro.replay.columns import json_value
from synchro.replay.link import Link
from synchro.replay.membership import Pair, is_symmetrical
from synchro.replay.record import is_settled_by
from synchro.replay.resolve import Dispute, Plan


class _Filing(NamedTuple):
    """Under what a dispute is on record."""

    model: type[Model]
    object_id: str
    field: str
    #: The member's key on LOCAL; None where LOCAL does not have it.
    member: Any


def describe_disputes(link: Link, batch: Batch, plan: Plan) -> list[Conflict]:
    """The disputes of `plan` as conflicts, without those that are on record already."""
    found: list[Conflict] = []
    for through, disputes in plan.disputes.items():
        filed = _filed(through, [_as_it_ends(plan, through, dispute) for dispute in disputes])
        known = _on_record(link, [filing for filing, _member in filed])
        for (filing, remote_member), dispute in filed.items():
            at = dispute.local_date, dispute.remote_date
            if not any(is_settled_by(link, record, *at, dispute.winner) for record in known.get(filing, ())):
                found.append(_conflict(link, batch, filing, remote_member, dispute))
    return found


def _as_it_ends(plan: Plan, through: type[Model], dispute: Dispute) -> Dispute:
    """No member stays in the set of an object that goes from REMOTE, nor does a member that goes."""
    ends = zip(key_fields(through), dispute.remote_pair, strict=True)
    if any(key in plan.removals.get(model, ()) for field, key in ends if (model := target_of(field))):
        return replace(dispute, winner=Conflict.LOCAL)
    return dispute


def _filed(through: type[Model], disputes: Iterable[Dispute]) -> dict[tuple[_Filing, Any], Dispute]:
    """
    The disputes by where they are filed and by REMOTE's key of the member. Of two rows that say the same, each from its
    own end, one is filed.
    """
    found: dict[tuple[_Filing, Any], Dispute] = {}
    for dispute in disputes:
        here, there = dispute.pair, dispute.remote_pair
        if is_symmetrical(through) and (here[0] is None or (here[1] is not None and here[1] < here[0])):
            here, there = here[::-1], there[::-1]
        found[_filing(through, here, there)] = dispute
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


def _conflict(link: Link, batch: Batch, filing: _Filing, remote_member: Any, dispute: Dispute) -> Conflict:
    here, there = ("in", "out") if dispute.is_in_here else ("out", "in")
    return Conflict(
        peer_id=link.peer.pk,
        batch=batch.number,
        content_type_id=link.local.content_type_id(filing.model),
        object_id=filing.object_id,
        fields=(filing.field,),  # type: ignore[misc]
        local_values=json.dumps({filing.field: {here: filing.member}}),
        remote_values=json.dumps({filing.field: {there: remote_member}}),
        local_date=dispute.local_date,
        remote_date=dispute.remote_date,
        decision=dispute.winner,
    )


def _on_record(link: Link, filed: Iterable[_Filing]) -> Mapping[_Filing, list[Conflict]]:
    """By one question for the sets of many objects. What has no name on LOCAL cannot be told from others."""
    objects: dict[type[Model], set[str]] = {}
    for filing in filed:
        if filing.member is not None:
            objects.setdefault(filing.model, set()).add(filing.object_id)
    found: dict[_Filing, list[Conflict]] = {}
    for model, texts in objects.items():
        conflicts = Conflict.objects.using(link.local.alias).filter(
            peer_id=link.peer.pk, content_type_id=link.local.content_type_id(model)
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
