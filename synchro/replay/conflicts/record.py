"""
Keep on LOCAL the conflicts of a batch and what was decided about them.

They are written before REMOTE's transaction commits, so that none is lost with a process that dies right afterwards.
Decisions about a batch that REMOTE did not take are replaced when the batch is applied again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from django.db import transaction
from django.db.models import Model, QuerySet, Subquery

from synchro.keys import key_fields, to_text
from synchro.models import Batch, Conflict
from synchro.registry import Table
from synchro.relations import is_symmetrical, set_field, target_of
from synchro.replay.columns import json_value
from synchro.replay.conflicts.history import conflicts_on_record, is_about_row, is_settled_by
from synchro.replay.plan import Decision, LostRow, MemberConflict, Pair, Plan
from synchro.replay.session import Session
from synchro.replay.work import BatchWork

#: How many conflicts one statement writes, with how many letters of values.
MOST_CONFLICTS, MOST_LETTERS = 500, 2**20

T = TypeVar("T")


def conflicts_of(work: BatchWork) -> list[Conflict]:
    """Return the plan's conflicts that are not on record yet, with both sides' values. REMOTE is not written yet."""
    return [
        *records_of(work, _new_decisions(work)),
        *_records_of_members(work),
        *_records_of_lost_rows(work),
    ]


# -- rows ----------------------------------------------------------------------------------------------------------


def records_of(work: BatchWork, decisions: Iterable[Decision]) -> list[Conflict]:
    """Return these decisions as they are put on record, with the values of both rows."""
    found = []
    for model, several in _by_model((decision.model, decision) for decision in decisions):
        local = work.local_rows.load(model, [decision.key for decision in several])
        keys = [decision.remote_key for decision in several]
        remote = work.remote_rows.load(model, [key for key in keys if key is not None])
        for decision in several:
            values = (
                _values(decision, local.get(decision.key)),
                _values(decision, remote.get(decision.remote_key)),
            )
            found.append(
                _conflict(
                    work, decision, _Subject(model, to_text(model, decision.key), decision.fields), *values
                )
            )
    return found


def _new_decisions(work: BatchWork) -> Iterator[Decision]:
    """Yield the plan's decisions about rows, without those that an earlier batch put on record."""
    session = work.session
    for model, decisions in _by_model((decision.model, decision) for decision in work.plan.conflicts):
        texts = [to_text(model, decision.key) for decision in decisions]
        known: dict[str, list[Conflict]] = {}
        for record in conflicts_on_record(session, model, list(dict.fromkeys(texts))):
            if is_about_row(session, record):
                known.setdefault(record.object_id, []).append(record)
        for text, decision in zip(texts, decisions, strict=True):
            if not any(
                _includes(record, decision) and is_settled_by(session, record, decision)
                for record in known.get(text, ())
            ):
                yield decision


def _includes(record: Conflict, decision: Decision) -> bool:
    """Return whether the record is about all fields of the decision."""
    return record.fields is None or (decision.fields is not None and {*decision.fields} <= {*record.fields})


def _values(decision: Decision, row: Sequence[Any] | None) -> str | None:
    if row is None:
        return None
    wanted, names = decision.fields, (field.name for field in Table(decision.model).fields)
    pairs = zip(names, row, strict=True)
    return json.dumps({name: json_value(value) for name, value in pairs if wanted is None or name in wanted})


def _records_of_lost_rows(work: BatchWork) -> Iterator[Conflict]:
    """
    Yield the records of rows that LOCAL has no key for.

    Each is about the object that it belonged to, with the label of its foreign key in the place of a field.
    """
    for child, several in _by_model((lost.child, lost) for lost in work.plan.lost_rows):
        rows = work.remote_rows.load(child, [lost.remote_key for lost in several])
        for lost in several:
            label = f"{child._meta.label}.{lost.column.name}"
            pairs = zip(Table(child).fields, rows.get(lost.remote_key, ()), strict=False)
            values = {field.name: json_value(value) for field, value in pairs}
            yield _conflict(
                work,
                lost,
                _Subject(lost.model, to_text(lost.model, lost.key), (label,)),
                None,
                json.dumps({label: values}),
            )


# -- members of sets -----------------------------------------------------------------------------------------------


class _Member(NamedTuple):
    """
    What the record of a member is about: the many-to-many field, as one field of the object that declares it.

    Its values say whether the member is in the set, by its own key there: ``{"artists": {"in": 7}}``,
    ``{"artists": {"out": 7}}``.
    """

    model: type[Model]
    object_id: str
    field: str
    #: The member's key on LOCAL; None where LOCAL does not have it.
    local_key: Any


def _records_of_members(work: BatchWork) -> Iterator[Conflict]:
    for through, conflicts in work.plan.member_conflicts.items():
        members = _members(through, [_as_it_ends(work.plan, through, conflict) for conflict in conflicts])
        known = _members_on_record(work.session, [member for member, _remote_key in members])
        for (member, remote_key), conflict in members.items():
            if not any(is_settled_by(work.session, record, conflict) for record in known.get(member, ())):
                local, remote = ("in", "out") if conflict.is_local_member else ("out", "in")
                yield _conflict(
                    work,
                    conflict,
                    _Subject(member.model, member.object_id, (member.field,)),
                    json.dumps({member.field: {local: member.local_key}}),
                    json.dumps({member.field: {remote: remote_key}}),
                )


def _as_it_ends(plan: Plan, through: type[Model], conflict: MemberConflict) -> MemberConflict:
    """Return the conflict as LOCAL's where an object at one of its ends is deleted: no member stays in its set."""
    ends = zip(key_fields(through), conflict.remote_pair, strict=True)
    if any(key in plan.deletions.get(model, ()) for field, key in ends if (model := target_of(field))):
        return replace(conflict, winner=Conflict.LOCAL)
    return conflict


def _members(
    through: type[Model], conflicts: Iterable[MemberConflict]
) -> dict[tuple[_Member, Any], MemberConflict]:
    """Return the conflicts by what they are about and REMOTE's key of the member; one of two rows that say the same."""
    found: dict[tuple[_Member, Any], MemberConflict] = {}
    for conflict in conflicts:
        local, remote = conflict.pair, conflict.remote_pair
        if is_symmetrical(through) and (local[0] is None or (local[1] is not None and local[1] < local[0])):
            local, remote = local[::-1], remote[::-1]
        found[_member(through, local, remote)] = conflict
    return found


def _member(through: type[Model], local: Pair, remote: Pair) -> tuple[_Member, Any]:
    """
    Return what the record of a pair is about, and REMOTE's key of the member.

    Where LOCAL does not have the object that declares the field it is about the other one, with the name that entries
    give to its set.
    """
    field = set_field(through)
    source, target = key_fields(through)
    model, name, owner, member, remote_member = source.related_model, field.name, *local, remote[1]
    if owner is None:
        model, name, owner, member, remote_member = (
            target.related_model, f"{field.model._meta.label}.{field.name}", local[1], None, remote[0],
        )  # fmt: skip
    model = model._meta.concrete_model
    return _Member(model, to_text(model, owner), name, json_value(member)), json_value(remote_member)


def _members_on_record(session: Session, members: Iterable[_Member]) -> Mapping[_Member, list[Conflict]]:
    """Return what is on record about these, by one statement; what has no key on LOCAL is not distinguished."""
    objects: dict[type[Model], set[str]] = {}
    for member in members:
        if member.local_key is not None:
            objects.setdefault(member.model, set()).add(member.object_id)
    found: dict[_Member, list[Conflict]] = {}
    for model, texts in objects.items():
        for record in conflicts_on_record(session, model, list(texts)):
            for name in record.fields or ():
                value = json.loads(record.local_values or "{}").get(name)
                if isinstance(value, dict):
                    (key,) = value.values()
                    found.setdefault(_Member(model, record.object_id, name, key), []).append(record)
    return found


# -- LOCAL's table -------------------------------------------------------------------------------------------------


class _Subject(NamedTuple):
    """What a record is about."""

    model: type[Model]
    #: LOCAL's key, as text.
    object_id: str
    #: None for the whole row.
    fields: tuple[str, ...] | None


def _conflict(
    work: BatchWork,
    decided: Decision | MemberConflict | LostRow,
    subject: _Subject,
    local_values: str | None,
    remote_values: str | None,
) -> Conflict:
    return Conflict(
        peer_id=work.session.peer.pk,
        batch=work.batch.number,
        content_type_id=work.session.local.content_type_id(subject.model),
        object_id=subject.object_id,
        fields=subject.fields,  # type: ignore[misc]
        local_values=local_values,
        remote_values=remote_values,
        local_date=decided.local_date,
        remote_date=decided.remote_date,
        decision=decided.winner,
    )


def _by_model(pairs: Iterable[tuple[type[Model], T]]) -> Iterator[tuple[type[Model], list[T]]]:
    found: dict[type[Model], list[T]] = {}
    for model, each in pairs:
        found.setdefault(model, []).append(each)
    yield from found.items()


def put_on_record(session: Session, batch: Batch, conflicts: Sequence[Conflict]) -> None:
    """Write the conflicts of a batch that REMOTE is about to commit."""
    if not conflicts:
        return
    with transaction.atomic(using=session.local.alias):
        session.local.backend.begin_writing()
        _delete(session, _decided_since(session, batch).filter(batch=batch.number))
        for part in _parts(conflicts):
            Conflict.objects.using(session.local.alias).bulk_create(part)


def _parts(conflicts: Sequence[Conflict]) -> Iterator[list[Conflict]]:
    """Yield as many at a time as a statement may hold, by number and by length."""
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
    Delete what was decided about batches, from the `first`, that did not arrive: it will be decided again.

    Call it while the receipt is locked. Before that, a commit of a process that was killed may still be on its way, and
    what it decided would not be on record.
    """
    if not _decided_since(session, first).exists():
        return
    with transaction.atomic(using=session.local.alias):
        session.local.backend.begin_writing()
        _delete(session, _decided_since(session, first))


def _decided_since(session: Session, first: Batch) -> QuerySet[Conflict]:
    """Return the conflicts of the batches from the `first`; their time tells them from those before a reset."""
    alias = session.local.alias
    formed = Batch.objects.using(alias).filter(number=first.number).values("formed")
    return Conflict.objects.using(alias).filter(
        peer_id=session.peer.pk, batch__gte=first.number, date__gte=Subquery(formed)
    )


def _delete(session: Session, conflicts: QuerySet[Conflict]) -> None:
    """Delete these conflicts, but those about rows with merged values, which LOCAL has already."""
    few = conflicts.only("batch", "content_type", "object_id", "fields", "decision")
    found = [(record, (record.batch, record.content_type_id, record.object_id)) for record in few]
    merged = {subject for record, subject in found if record.decision == Conflict.MERGED}
    going = [
        record.pk for record, subject in found if subject not in merged or not is_about_row(session, record)
    ]
    for start in range(0, len(going), 500):
        Conflict.objects.using(conflicts.db).filter(pk__in=going[start : start + 500]).delete()
