"""
Resolve: what becomes of an object that REMOTE has changed as well.

Only what REMOTE logged itself and LOCAL has not received yet can be in the way. REMOTE's log is asked once per model,
over the range of ids that can be newer than the oldest change of the batch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import TypeAlias

from django.db.models import Model

from synchro.keys import Key, key_fields
from synchro.models import Conflict
from synchro.registry import Table
from synchro.relations import generic_keys
from synchro.replay.conflicts.history import History
from synchro.replay.conflicts.policy import (
    Answer,
    Decider,
    Question,
    ask,
    is_newer,
    mergeable,
    policy_for,
)
from synchro.replay.conflicts.remote_changes import their_changes
from synchro.replay.conflicts.remote_log import RemoteLog, family_of
from synchro.replay.conflicts.versions import Versions, version_key
from synchro.replay.identity.identities import Identities, Identity
from synchro.replay.log.changes import Change, Changes
from synchro.replay.plan import Decision, MemberConflict, Merge, Plan, synchronized_names
from synchro.replay.rows import Rows
from synchro.replay.session import Session

#: When LOCAL and REMOTE changed a field.
Dates: TypeAlias = tuple[datetime, datetime]


def resolve(
    session: Session,
    log: RemoteLog,
    changes: Changes,
    rows: Rows,
    there: Rows,
    identities: Identities,
    records: History,
    replaced: Collection[tuple[type[Model], Key]] = (),
) -> Plan:
    """
    Decide for each row of the batch. `identities` and `rows` know them all; `there` reads REMOTE's. The rows of those
    that are `replaced` are other objects' by now.
    """
    plan = Plan()
    for model, key in replaced:
        plan.forgotten.setdefault(model, []).append(key)
    theirs = their_changes(session, log, changes, identities)
    present = {model: rows.present(model, keys) for model, keys in changes.by_model().items()}
    if not theirs.rows:
        _all_stand(changes, present, identities, plan, replaced)
        _spare_successors(plan, present, identities)
        return plan
    versions = Versions(changes, theirs, identities, rows, there, records)
    for (model, key), change in changes.rows.items():
        if (model, key) in replaced:
            continue
        identity = identities.of(model, key)
        judge = _Resolver(session, plan, change, identity, theirs, versions)
        if key not in present[model]:
            # A row that REMOTE keeps will come back from there under the same key: who it is, is not forgotten.
            if not is_deletion(identity, change) or judge.deletion():
                plan.forgotten.setdefault(model, []).append(key)
        elif identity.exists:
            judge.change()
        else:
            judge.addition()
    _spare_successors(plan, present, identities)
    return plan


def is_deletion(identity: Identity, change: Change) -> bool:
    """Whether REMOTE has the row of an object that LOCAL has not: one born and gone unseen has none of its own."""
    if change.model._meta.auto_created:  # whoever added it, it is the same pair
        return identity.exists
    is_known = identity.is_remembered or identity.is_recognized
    return identity.exists and (is_known or not change.is_born)


def _spare_successors(
    plan: Plan, present: Mapping[type[Model], Collection[Key]], identities: Identities
) -> None:
    """A deleted object's row on REMOTE stays where one that LOCAL has now took it over, by its natural key."""
    for model, removals in plan.removals.items():
        taken = {identities.of(model, key).remote for key in present.get(model, ())}
        for remote in taken & removals.keys():
            del removals[remote]


def _all_stand(
    changes: Changes,
    present: Mapping[type[Model], Collection[Key]],
    identities: Identities,
    plan: Plan,
    replaced: Collection[tuple[type[Model], Key]],
) -> None:
    """What `_Resolver` decides where REMOTE has changed none of the rows."""
    for model, keys in changes.by_model().items():
        here, known = present[model], identities.known(model)
        puts: dict[Key, frozenset[str] | None] = {}
        for key in keys:
            identity = known[key]
            if key in here:
                change = changes.rows[model, key]
                is_part = identity.exists and change.whole is None
                puts[key] = synchronized_names(model, tuple(change.fields)) if is_part else None
            elif (model, key) not in replaced:
                plan.forgotten.setdefault(model, []).append(key)
                if is_deletion(identity, changes.rows[model, key]):
                    plan.remove(model, identity.remote, key)
        if puts:
            plan.puts[model] = puts


class _Resolver:
    """Decides about one row."""

    def __init__(
        self,
        session: Session,
        plan: Plan,
        change: Change,
        identity: Identity,
        theirs: Changes,
        versions: Versions,
    ) -> None:
        self._session, self._plan = session, plan
        self._change, self._identity, self._theirs, self._rivals = change, identity, theirs, versions
        self._model, self._key = change.model, change.key
        self._remote = version_key(identity)
        self._policy = policy_for(change.model)

    def deletion(self) -> bool:
        """LOCAL has deleted it, REMOTE has it. Returns whether it is deleted there too."""
        lines = family_of(self._model)
        theirs = [t for m in lines if (t := self._theirs.rows.get((m, self._remote)))]
        latest = max(theirs, key=lambda change: change.date, default=None)
        if latest and not self._wins(None, latest.date, self._change.date):
            self._plan.keep(self._model, self._key)
            self._plan.stays.setdefault(self._model, {})[self._identity.remote] = latest.date
            return False
        self._plan.remove(self._model, self._identity.remote, self._key)
        return True

    def addition(self) -> None:
        """LOCAL has it, REMOTE has not: it is new there, or was deleted there."""
        theirs = self._theirs.rows.get((self._model, self._remote))
        # What was born there and is gone, LOCAL will never hear of: it was another row under the same key. A pair of
        # a set has no other.
        is_another = theirs is not None and theirs.is_born and not self._model._meta.auto_created
        deleted = theirs.deleted if theirs and not is_another else None
        if deleted and not self._wins(None, deleted, self._change.date):
            self._plan.keep(self._model, self._key)
        else:
            self._plan.put(self._model, self._key)
            if deleted:
                self._plan.revive(self._model, self._key)

    def change(self) -> None:
        """Both have it: each column goes by itself, as far as the columns that changed are known."""
        theirs = self._theirs.rows.get((self._model, self._remote))
        fields = Table(self._model).fields
        if self._model._meta.auto_created:  # a member that is in the set on both sides
            self._plan.put(self._model, self._key)
            return
        ours = {f.name: date for f in fields if (date := self._change.changed_at(f.name))}
        self._complete_generic_keys(ours)
        if theirs is None or not ours:
            self._plan.put(self._model, self._key, None if len(ours) == len(fields) else frozenset(ours))
            return
        both = {name: (date, there) for name, date in ours.items() if (there := theirs.changed_at(name))}
        won = frozenset(ours) - frozenset(both)
        if both and (theirs.is_presumed or self._policy.decider is None):
            # Where both made the same of it, as a `migrate` on each side does, there is nothing to decide.
            keys = {field.name for field in key_fields(self._model)}
            equal = (self._rivals.equal_fields(self._model, self._key) | keys) & both.keys()
            both = {name: dates for name, dates in both.items() if name not in equal}
            if theirs.is_presumed or not both:
                won |= equal
        if self._policy.decider is None:
            for names, (here, there) in _by_dates(both):
                if self._wins(names, there, here):
                    won |= frozenset(names)
        else:
            won |= self._won_by_answer(self._policy.decider, both, theirs)
        if won:
            self._plan.put(self._model, self._key, won)
        else:
            self._plan.keep(self._model, self._key)

    def _complete_generic_keys(self, ours: dict[str, datetime]) -> None:
        """What the key of a generic foreign key means depends on its content type: they change together."""
        for generic in generic_keys(self._model):
            dates = [ours[name] for name in (generic.ct_field, generic.fk_field) if name in ours]
            if dates:
                ours[generic.ct_field] = ours[generic.fk_field] = max(dates)

    def _wins(self, fields: tuple[str, ...] | None, theirs: datetime, ours: datetime) -> bool:
        """Whether LOCAL's change wins; the conflict is put on record, where it is not yet."""
        if self._policy.decider is not None:
            return self._whole_wins_by_answer(self._policy.decider, theirs, ours)
        won = self._policy.local_wins(self._session, ours, theirs)
        if self._model._meta.auto_created:
            remote, is_in_here = self._identity.remote, not self._identity.exists
            member_conflict = MemberConflict(self._key, remote, is_in_here, ours, theirs, _winner(won))  # type: ignore[arg-type]
            return not self._plan.is_lost(self._model, member_conflict)
        records = self._rivals.records(self._model)
        if not records.has(self._model, self._key, fields, ours, theirs, _winner(won)):
            self._plan.conflicts.append(self._decision(fields, ours, theirs, _winner(won)))
        return won

    def _decision(
        self, fields: tuple[str, ...] | None, ours: datetime, theirs: datetime, winner: str
    ) -> Decision:
        return Decision(self._model, self._key, self._remote, fields, ours, theirs, winner)

    # -- by a callable ------------------------------------------------------------------------------------------

    def _whole_wins_by_answer(self, decider: Decider, theirs: datetime, ours: datetime) -> bool:
        """Whether LOCAL's row, or that it has none, wins over REMOTE's."""
        winner = self._rivals.records(self._model).verdict(self._model, self._key, None, ours, theirs)
        if winner is None:
            names = tuple(field.name for field in mergeable(self._model))
            winner = str(self._ask(decider, names, ours, theirs))
            self._plan.conflicts.append(self._decision(None, ours, theirs, winner))
        return winner == Conflict.LOCAL

    def _won_by_answer(self, decider: Decider, both: Mapping[str, Dates], theirs: Change) -> set[str]:
        """In which of these fields, which both sides changed, LOCAL's value stands."""
        records = self._rivals.records(self._model)
        self._plan.recorded += records.count_of_this_batch(self._model, self._key)
        dates = dict(both)
        for name in records.merged_fields(self._model, self._key) - both.keys():
            dates[name] = self._change.date, theirs.changed_at(name) or datetime.min.replace(tzinfo=UTC)
        verdicts = {name: records.verdict(self._model, self._key, name, *at) for name, at in dates.items()}
        won = {name for name, verdict in verdicts.items() if verdict == Conflict.LOCAL}
        undecided = {name for name in both if verdicts[name] is None}
        names = undecided - {field.name for field in key_fields(self._model)}
        names -= self._rivals.equal_fields(self._model, self._key)
        won |= undecided - names
        if names:
            won |= self._answered(decider, {name: both[name] for name in names}, theirs)
        return won

    def _answered(self, decider: Decider, both: Mapping[str, Dates], theirs: Change) -> set[str]:
        names = tuple(sorted(both))
        ours_at, theirs_at = (max(dates) for dates in zip(*both.values(), strict=True))
        answer = self._ask(decider, names, ours_at, theirs_at)
        if isinstance(answer, str):
            self._plan.conflicts.append(self._decision(names, ours_at, theirs_at, answer))
            return set(names) if answer == Conflict.LOCAL else set()
        merged = tuple(sorted(field.name for field in answer))
        won: set[str] = set()
        decisions = []
        # What the answer does not name goes to the newer.
        for several, (here, there) in _by_dates({n: d for n, d in both.items() if n not in merged}):
            is_ours = is_newer(self._session, here, there)
            won |= set(several) if is_ours else set()
            decisions.append(self._decision(several, here, there, _winner(is_ours)))
        if not merged:
            self._plan.conflicts += decisions
            return won
        # The callable has seen all that REMOTE changed.
        decisions.append(self._decision(merged, self._change.date, theirs.date, Conflict.MERGED))
        row, _there = self._rivals.rows(self._model, self._key)
        assert row is not None
        self._plan.merges.append(Merge(self._model, self._key, row, answer, decisions))
        return won

    def _ask(self, decider: Decider, fields: tuple[str, ...], ours: datetime, theirs: datetime) -> Answer:
        here, there = self._rivals.rows(self._model, self._key)
        return ask(
            self._session, decider, Question(self._model, self._key, here, there, ours, theirs, fields)
        )


def _winner(is_local: bool) -> str:
    return Conflict.LOCAL if is_local else Conflict.REMOTE


def _by_dates(both: Mapping[str, Dates]) -> Iterable[tuple[tuple[str, ...], Dates]]:
    """Names of fields that were changed at the same two moments, and so share their fate."""
    groups: dict[Dates, list[str]] = {}
    for name, dates in both.items():
        groups.setdefault(dates, []).append(name)
    return [(tuple(sorted(names)), dates) for dates, names in groups.items()]
