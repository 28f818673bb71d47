"""
Sets: an entry that says "the tags of this article changed" becomes pairs to add and pairs to remove.

LOCAL's present set is compared with REMOTE's, in REMOTE's keys.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Model

from synchro.checkpoint import aware
from synchro.keys import AnyField, Key, key_fields
from synchro.replay.coalesce import M2M, Changes, SetChange
from synchro.replay.identify import Identities, target_of
from synchro.replay.link import Link, Side
from synchro.replay.log import Log
from synchro.replay.policy import word_of
from synchro.replay.read import select
from synchro.replay.resolve import Plan

Pair = tuple[Key, Key]


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

    @property
    def is_symmetrical(self) -> bool:
        source: Any = self.through._meta.auto_created
        return any(
            f.remote_field.through is self.through and f.remote_field.symmetrical
            for f in source._meta.local_many_to_many
        )

    def pair(self, near: Key, far: Key) -> Pair:
        return (far, near) if self.reverse else (near, far)

    def ends(self, pair: Pair) -> Pair:
        """The pair as (near, far)."""
        return (pair[1], pair[0]) if self.reverse else pair

    def pairs(self, side: Side, owners: Collection[Key], named: Collection[Pair]) -> set[Pair]:
        """The pairs on `side` of these owners, and those of the `named` ones that are there."""
        values = [(key,) for key in owners]
        found = select(side, self.through, self.fields, (self.near,), values)
        if self.is_symmetrical:
            far = self.fields[0 if self.reverse else 1]
            found += select(side, self.through, self.fields, (far,), values)
        found += select(side, self.through, self.fields, self.fields, list(named))
        return {(first, second) for first, second in found}


def expand(link: Link, log: Log, changes: Changes, identities: Identities, plan: Plan) -> None:
    """Add to `plan` what brings the sets of `changes` from REMOTE's state to LOCAL's."""
    views: dict[View, dict[Key, SetChange]] = {}
    for m2m, change in changes.sets.items():
        views.setdefault(View(m2m.through, m2m.reverse), {})[m2m.key] = change
    for view, sets in views.items():
        _expand(link, log, view, sets, identities, plan)


def _expand(
    link: Link, log: Log, view: View, sets: Mapping[Key, SetChange], identities: Identities, plan: Plan
) -> None:
    owners = identities.find(view.owner, list(sets))
    wholes = [key for key, change in sets.items() if change.whole]
    named = _named(view, sets)
    here = _translate(view, view.pairs(link.local, wholes, named), identities)
    dates = {remote: named[pair] for pair, remote in _translate(view, named, identities).items()}
    remote_wholes = {owners[key].remote: key for key in wholes if owners[key].exists}
    there = view.pairs(link.remote, remote_wholes, [pair for pair in dates if None not in pair])
    added = {pair: remote for pair, remote in here.items() if remote not in there}
    removed = there - set(here.values())
    for pair in {*added.values(), *removed}:
        near, far = view.ends(pair)
        wholes_of = [sets[remote_wholes[end]].whole for end in (near, far) if end in remote_wholes]
        found = [date for date in (dates.get(pair), *wholes_of) if date is not None]
        dates[pair] = max(found)
    contest = _Contest(link, log, view, dates)
    contest.ask([*(pair for pair in added.values() if None not in pair), *removed])
    for pair, remote in added.items():
        if contest.is_lost(remote):
            plan.keep(view.through, pair)
        else:
            plan.put(view.through, pair)
    for remote in removed:
        if contest.is_lost(remote):
            plan.keep(view.through, None)
        else:
            plan.remove(view.through, remote, None)


def name_removed(identities: Identities, plan: Plan, through: type[Model]) -> None:
    """Find LOCAL's keys of the pairs that are to be removed, where it knows both objects."""
    removals = plan.removals.get(through, {})
    nameless = [pair for pair, here in removals.items() if here is None]
    if not nameless:
        return
    owners = []
    for place, field in enumerate(key_fields(through)):
        target, ends = target_of(field), {pair[place] for pair in nameless}
        owners.append({end: end for end in ends} if target is None else identities.owners(target, ends))
    for first, second in nameless:
        if first in owners[0] and second in owners[1]:
            removals[first, second] = (owners[0][first], owners[1][second])


def _named(view: View, sets: Mapping[Key, SetChange]) -> dict[Pair, datetime]:
    """The pairs that entries name, and when they were changed."""
    found: dict[Pair, datetime] = {}
    for owner, change in sets.items():
        for member, date in change.members.items():
            pair = view.pair(owner, member)
            for each in (pair, pair[::-1]) if view.is_symmetrical else (pair,):
                found[each] = max(found.get(each, date), date)
    return found


def _translate(view: View, pairs: Iterable[Pair], identities: Identities) -> dict[Pair, Pair]:
    several = list(pairs)
    first, second = (
        identities.translate(field, {pair[place] for pair in several})
        for place, field in enumerate(view.fields)
    )
    return {pair: (first[pair[0]], second[pair[1]]) for pair in several}


class _Contest:
    """What REMOTE itself has done to the pairs, which are named by its own keys."""

    def __init__(self, link: Link, log: Log, view: View, dates: Mapping[Pair, datetime]) -> None:
        self._link, self._log, self._view, self._dates = link, log, view, dates
        self._theirs = Changes()

    def ask(self, pairs: list[Pair]) -> None:
        if self._link.peer_there is None or not pairs:
            return
        wanted: dict[type[Model], set[Any]] = {self._view.through: set(pairs)}
        for place, field in enumerate(self._view.fields):
            model = target_of(field)
            if model is not None:
                wanted.setdefault(model, set()).update(pair[place] for pair in pairs)
        self._theirs = self._log.changes(min(map(aware, self._dates.values())), wanted)

    def is_lost(self, pair: Pair) -> bool:
        """Whether REMOTE's own change of this pair stands."""
        theirs = self._changed_there(pair)
        if theirs is None:
            return False
        policy = word_of(self._view.owner)
        if policy != "newer":
            return policy == "remote"
        link = self._link
        ours = aware(self._dates[pair]) + link.offset
        return (aware(theirs), (link.peer.uuid or link.node).int) > (ours, link.node.int)

    def _changed_there(self, pair: Pair) -> datetime | None:
        first, second = pair
        through, found = self._view.through, []
        for near, far, reverse in ((first, second, False), (second, first, True)):
            change = self._theirs.sets.get(M2M(through, reverse, near))
            found.append(change.changed_at(far) if change else None)
        if self._view.is_symmetrical:
            change = self._theirs.sets.get(M2M(through, False, second))
            found.append(change.changed_at(first) if change else None)
        row = self._theirs.rows.get((through, pair))
        found.append(row.date if row else None)
        return max((date for date in found if date is not None), default=None)
