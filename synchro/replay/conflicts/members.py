"""
Sets: an entry that says "the tags of this article changed" becomes pairs to add and pairs to remove.

LOCAL's present set is compared with REMOTE's, in REMOTE's keys.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Model

from synchro.checkpoint import aware
from synchro.keys import AnyField, Key, key_fields
from synchro.models import Conflict
from synchro.relations import is_symmetrical, target_of
from synchro.replay.conflicts.policy import policy_for
from synchro.replay.conflicts.remote_log import RemoteLog
from synchro.replay.identity.identities import Identities
from synchro.replay.log.changes import M2M, Changes, SetChange
from synchro.replay.plan import MemberConflict, Pair, Plan
from synchro.replay.rows import select
from synchro.replay.session import Database, Session


@dataclass(frozen=True)
class View:
    """A many-to-many table seen from one of its sides."""

    through: type[Model]
    reverse: bool

    @property
    def fields(self) -> tuple[AnyField, ...]:
        return key_fields(self.through)

    @property
    def near(self) -> AnyField:
        return self.fields[1 if self.reverse else 0]

    @property
    def owner(self) -> type[Model]:
        model = target_of(self.near)
        assert model is not None
        return model

    def pair(self, near: Key, far: Key) -> Pair:
        return (far, near) if self.reverse else (near, far)

    def ends(self, pair: Pair) -> Pair:
        """The pair as (near, far)."""
        return (pair[1], pair[0]) if self.reverse else pair

    def pairs(self, side: Database, owners: Collection[Key], named: Collection[Pair]) -> set[Pair]:
        """The pairs on `side` of these owners, and those of the `named` ones that are there."""
        values = [(key,) for key in owners]
        found = select(side, self.through, self.fields, (self.near,), values)
        if is_symmetrical(self.through):
            far = self.fields[0 if self.reverse else 1]
            found += select(side, self.through, self.fields, (far,), values)
        found += select(side, self.through, self.fields, self.fields, list(named))
        return {(first, second) for first, second in found}


def expand(session: Session, log: RemoteLog, changes: Changes, identities: Identities, plan: Plan) -> None:
    """Add to `plan` what brings the sets of `changes` from REMOTE's state to LOCAL's."""
    views: dict[View, dict[Key, SetChange]] = {}
    for m2m, change in changes.sets.items():
        views.setdefault(View(m2m.through, m2m.reverse), {})[m2m.key] = change
    for view, sets in views.items():
        added, removed = _differences(session, view, sets, identities)
        contest = _Contest(session, log, view, changes)
        contest.ask([*added.values(), *removed])
        for pair, remote in added.items():
            member_conflict = contest.over(pair, remote, is_in_here=True) if contest.is_met(remote) else None
            if plan.is_lost(view.through, member_conflict):
                plan.keep(view.through, pair)
            else:
                plan.put(view.through, pair)
        names = names_here(identities, view.through, [pair for pair in removed if contest.is_met(pair)])
        for remote in removed:
            member_conflict = (
                contest.over(names[remote], remote, is_in_here=False) if remote in names else None
            )
            if plan.is_lost(view.through, member_conflict):
                plan.keep(view.through, None)
            else:
                plan.remove(view.through, remote, None)


def _differences(
    session: Session, view: View, sets: Mapping[Key, SetChange], identities: Identities
) -> tuple[dict[Pair, Pair], set[Pair]]:
    """The pairs that only LOCAL has, with REMOTE's keys, and those that only REMOTE has."""
    owners = identities.find(view.owner, list(sets))
    wholes = [key for key, change in sets.items() if change.whole]
    named = _named(view, sets)
    here = _translate(view, view.pairs(session.local, wholes, named), identities)
    wholes_there = [owners[key].remote for key in wholes if owners[key].exists]
    named_there = [pair for pair in _translate(view, named, identities).values() if None not in pair]
    there = view.pairs(session.remote, wholes_there, named_there)
    added = {pair: remote for pair, remote in here.items() if remote not in there}
    return added, there - set(here.values())


def name_removed(identities: Identities, plan: Plan, through: type[Model]) -> None:
    """Find LOCAL's keys of the pairs that are to be removed, where it knows both objects."""
    removals = plan.removals.get(through, {})
    nameless = [pair for pair, here in removals.items() if here is None]
    if not nameless:
        return
    for remote, here in names_here(identities, through, nameless).items():
        if None not in here:
            removals[remote] = here


def _named(view: View, sets: Mapping[Key, SetChange]) -> set[Pair]:
    """The pairs that entries name."""
    pairs = {view.pair(owner, member) for owner, change in sets.items() for member in change.members}
    return pairs | {pair[::-1] for pair in pairs} if is_symmetrical(view.through) else pairs


def _translate(view: View, pairs: Iterable[Pair], identities: Identities) -> dict[Pair, Pair]:
    several = list(pairs)
    first, second = (
        identities.translate(field, {pair[place] for pair in several})
        for place, field in enumerate(view.fields)
    )
    return {pair: (first[pair[0]], second[pair[1]]) for pair in several}


class _Contest:
    """What REMOTE itself has done to the pairs that only one side has."""

    def __init__(self, session: Session, log: RemoteLog, view: View, ours: Changes) -> None:
        self._session, self._log, self._view, self._ours = session, log, view, ours
        self._dates: list[datetime] = []
        self._theirs: dict[Pair, datetime] = {}

    def ask(self, pairs: Collection[Pair]) -> None:
        """Look these pairs, by REMOTE's keys, up in its log."""
        if self._session.peer_on_remote is None or not pairs:
            return
        through = self._view.through
        wanted = {through: {pair for pair in pairs if None not in pair}, **ends_of(through, pairs)}
        self._dates = [aware(date) for change in self._ours.sets.values() for date in change.dates()]
        is_patient = policy_for(through).weighs_old_changes
        found = (
            self._log.unsent_changes(wanted) if is_patient else self._log.changes(min(self._dates), wanted)
        )
        dates = {pair: changed_at(found, through, pair) for pair in pairs}
        self._theirs = {pair: date for pair, date in dates.items() if date is not None}

    def is_met(self, remote: Pair) -> bool:
        """Whether REMOTE has changed it as well."""
        return remote in self._theirs

    def over(self, pair: Pair, remote: Pair, is_in_here: bool) -> MemberConflict:
        """What is decided about a pair that both sides have changed."""
        # Of two objects that had the row one after the other, entries may name either.
        ours = changed_at(self._ours, self._view.through, pair) or max(self._dates)
        theirs = self._theirs[remote]
        is_ours = policy_for(self._view.through).local_wins(self._session, ours, theirs)
        return MemberConflict(
            pair, remote, is_in_here, ours, theirs, Conflict.LOCAL if is_ours else Conflict.REMOTE
        )


def ends_of(through: type[Model], pairs: Collection[Pair]) -> dict[type[Model], set[Key]]:
    """The objects at the ends of these pairs, by whose sets a log may name them."""
    found: dict[type[Model], set[Key]] = {}
    for place, field in enumerate(key_fields(through)):
        model = target_of(field)
        if model is not None:
            found.setdefault(model, set()).update(pair[place] for pair in pairs if pair[place] is not None)
    return found


def changed_at(changes: Changes, through: type[Model], pair: Pair) -> datetime | None:
    """When a member was last added or removed, or may have been, from either end."""
    first, second = pair
    ends = [(M2M(through, False, first), second), (M2M(through, True, second), first)]
    if is_symmetrical(through):
        ends.append((M2M(through, False, second), first))
    found = [changes.sets[near].changed_at(far) for near, far in ends if near in changes.sets]
    row = changes.rows.get((through, pair))
    found.append(row.date if row else None)
    return max((date for date in found if date is not None), default=None)


def names_here(identities: Identities, through: type[Model], pairs: Collection[Pair]) -> dict[Pair, Pair]:
    """LOCAL's keys of pairs of REMOTE, with None for an object that LOCAL does not know."""
    if not pairs:
        return {}
    owners = []
    for place, field in enumerate(key_fields(through)):
        target, ends = target_of(field), {pair[place] for pair in pairs if pair[place] is not None}
        owners.append({end: end for end in ends} if target is None else identities.owners(target, ends))
    return {(first, second): (owners[0].get(first), owners[1].get(second)) for first, second in pairs}
