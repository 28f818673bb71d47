"""
Sets: an entry that says "the tags of this article changed" becomes pairs to add and pairs to remove.

LOCAL's present set is compared with REMOTE's, in REMOTE's keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Field, Model

from synchro.checkpoint import aware
from synchro.keys import Key, key_fields
from synchro.replay.coalesce import M2M, Changes
from synchro.replay.identify import Identities, target_of
from synchro.replay.link import Link, Side
from synchro.replay.read import select
from synchro.replay.resolve import Log, Plan, policy_of

Pair = tuple[Key, Key]


@dataclass(frozen=True)
class View:
    """A many-to-many table seen from one of its sides."""

    through: type[Model]
    reverse: bool

    @property
    def fields(self) -> tuple[Field[Any, Any], ...]:
        return key_fields(self.through)

    @property
    def near(self) -> Field[Any, Any]:
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
            f.remote_field.through is self.through and f.remote_field.symmetrical for f in source._meta.local_many_to_many
        )

    def pairs(self, side: Side, owners: Iterable[Key]) -> set[Pair]:
        values = [(key,) for key in owners]
        found = {(row[0], row[1]) for row in select(side, self.through, self.fields, (self.near,), values)}
        if self.is_symmetrical:
            far = self.fields[0 if self.reverse else 1]
            found |= {(row[0], row[1]) for row in select(side, self.through, self.fields, (far,), values)}
        return found


def expand(link: Link, log: Log, changes: Changes, identities: Identities, plan: Plan) -> None:
    """Add to `plan` what brings the sets of `changes` from REMOTE's state to LOCAL's."""
    views: dict[View, dict[Key, datetime]] = {}
    for m2m, date in changes.sets.items():
        views.setdefault(View(m2m.through, m2m.reverse), {})[m2m.key] = date
    for view, dates in views.items():
        _expand(link, log, view, dates, identities, plan)


def _expand(
    link: Link, log: Log, view: View, dates: Mapping[Key, datetime], identities: Identities, plan: Plan
) -> None:
    owners = identities.find(view.owner, list(dates))
    here = _translate(view, view.pairs(link.local, dates), identities)
    remote_owners = {identity.remote: key for key, identity in owners.items() if identity.exists}
    there = view.pairs(link.remote, remote_owners)
    added = {pair: remote for pair, remote in here.items() if remote not in there}
    removed = there - set(here.values())
    contest = _Contest(link, log, view, dates, remote_owners)
    contest.ask([*(pair for pair in added.values() if None not in pair), *removed])
    for pair, remote in added.items():
        if contest.is_lost(remote):
            plan.keep(view.through)
        else:
            plan.put(view.through, pair)
    for remote in removed:
        if contest.is_lost(remote):
            plan.keep(view.through)
        else:
            plan.remove(view.through, remote, None)


def _translate(view: View, pairs: set[Pair], identities: Identities) -> dict[Pair, Pair]:
    first, second = (
        identities.translate(field, {pair[place] for pair in pairs}) for place, field in enumerate(view.fields)
    )
    return {pair: (first[pair[0]], second[pair[1]]) for pair in pairs}


class _Contest:
    """What REMOTE itself has done to the pairs."""

    def __init__(
        self, link: Link, log: Log, view: View, dates: Mapping[Key, datetime], owners: Mapping[Key, Key]
    ) -> None:
        self._link, self._log, self._view = link, log, view
        self._dates, self._owners = dates, owners
        self._theirs = Changes()

    def ask(self, pairs: list[Pair]) -> None:
        if self._link.peer_there is None or not pairs:
            return
        wanted: dict[type[Model], set[Any]] = {self._view.through: set(pairs)}
        for place, field in enumerate(self._view.fields):
            model = target_of(field)
            if model is not None:
                wanted.setdefault(model, set()).update(pair[place] for pair in pairs)
        self._theirs = self._log.changes(min(self._dates.values()), wanted)

    def is_lost(self, pair: Pair) -> bool:
        """Whether REMOTE's own change of this pair stands."""
        theirs = [
            date
            for place, reverse in ((0, False), (1, True))
            if (date := self._theirs.sets.get(M2M(self._view.through, reverse, pair[place])))
        ]
        row = self._theirs.rows.get((self._view.through, pair))
        theirs += [row.date] if row else []
        if not theirs:
            return False
        policy = policy_of(self._view.owner)
        if policy != "newer":
            return policy == "remote"
        link = self._link
        ours = aware(self._date_of(pair)) + link.offset
        return (aware(max(theirs)), (link.peer.uuid or link.node).int) > (ours, link.node.int)

    def _date_of(self, pair: Pair) -> datetime:
        keys = [self._owners[end] for end in pair if end in self._owners]
        return max((self._dates[key] for key in keys if key in self._dates), default=max(self._dates.values()))


