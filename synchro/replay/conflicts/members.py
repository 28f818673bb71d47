"""
Members of sets: an entry that says "the tags of this article changed" becomes pairs to write and pairs to delete.

LOCAL's present set is compared with REMOTE's, by REMOTE's keys.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Model

from synchro.keys import AnyField, Key, key_fields
from synchro.last_check import aware
from synchro.relations import is_symmetrical, target_of
from synchro.replay.conflicts.policy import policy_for, winner_of
from synchro.replay.conflicts.remote_changes import changes_of_members, ends_of
from synchro.replay.identity.identities import Identities
from synchro.replay.identity.owners import pair_owners
from synchro.replay.log.changes import SetChange
from synchro.replay.plan import MemberConflict, Pair, Plan
from synchro.replay.rows import select
from synchro.replay.session import Database
from synchro.replay.work import BatchWork


@dataclass(frozen=True)
class View:
    """An automatic many-to-many table seen from the model at one of its ends."""

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

    def pairs(self, database: Database, owners: Collection[Key], named: Collection[Pair]) -> set[Pair]:
        """Return the database's pairs of these owners, and those of the `named` ones that it has."""
        values = [(key,) for key in owners]
        found = select(database, self.through, self.fields, (self.near,), values)
        if is_symmetrical(self.through):
            far = self.fields[0 if self.reverse else 1]
            found += select(database, self.through, self.fields, (far,), values)
        found += select(database, self.through, self.fields, self.fields, list(named))
        return {(first, second) for first, second in found}


def resolve_members(work: BatchWork) -> None:
    """Add to the plan what brings the sets of the batch from REMOTE's state to LOCAL's."""
    views: dict[View, dict[Key, SetChange]] = {}
    for m2m, change in work.changes.sets.items():
        views.setdefault(View(m2m.through, m2m.reverse), {})[m2m.key] = change
    for view, sets in views.items():
        _resolve_view(work, view, sets)


def _resolve_view(work: BatchWork, view: View, sets: Mapping[Key, SetChange]) -> None:
    plan, through = work.plan, view.through
    added, removed = _differences(work, view, sets)
    resolver = _MemberResolver(work, view, [*added.values(), *removed])
    for pair, remote in added.items():
        if resolver.local_wins(pair, remote, is_local_member=True):
            plan.write(through, pair)
        else:
            plan.keep_remote(through, pair)
    names = pair_owners(work.identities, through, [pair for pair in removed if resolver.is_conflict(pair)])
    for remote in removed:
        if remote not in names or resolver.local_wins(names[remote], remote, is_local_member=False):
            plan.delete(through, remote, None)
        else:
            plan.keep_remote(through, None)


def _differences(
    work: BatchWork, view: View, sets: Mapping[Key, SetChange]
) -> tuple[dict[Pair, Pair], set[Pair]]:
    """Return the pairs that only LOCAL has, with REMOTE's keys, and those that only REMOTE has."""
    identities = work.identities
    owners = identities.find(view.owner, list(sets))
    whole = [key for key, change in sets.items() if change.whole]
    named = _named(view, sets)
    local = _translate(view, view.pairs(work.session.local, whole, named), identities)
    remote_owners = [owners[key].remote for key in whole if owners[key].exists]
    remote_named = [pair for pair in _translate(view, named, identities).values() if None not in pair]
    remote = view.pairs(work.session.remote, remote_owners, remote_named)
    added = {pair: other for pair, other in local.items() if other not in remote}
    return added, remote - set(local.values())


def name_deleted_pairs(plan: Plan, identities: Identities, through: type[Model]) -> None:
    """Complete the plan by LOCAL's keys of the pairs to delete, where LOCAL knows both objects."""
    deletions = plan.deletions.get(through, {})
    nameless = [pair for pair, local in deletions.items() if local is None]
    for remote, local in pair_owners(identities, through, nameless).items():
        if None not in local:
            deletions[remote] = local


def _named(view: View, sets: Mapping[Key, SetChange]) -> set[Pair]:
    """Return the pairs that entries name."""
    pairs = {view.pair(owner, member) for owner, change in sets.items() for member in change.members}
    return pairs | {pair[::-1] for pair in pairs} if is_symmetrical(view.through) else pairs


def _translate(view: View, pairs: Iterable[Pair], identities: Identities) -> dict[Pair, Pair]:
    several = list(pairs)
    first, second = (
        identities.translate(field, {pair[position] for pair in several})
        for position, field in enumerate(view.fields)
    )
    return {pair: (first[pair[0]], second[pair[1]]) for pair in several}


class _MemberResolver:
    """Decides about the pairs that only one side has, by what REMOTE itself has done to them."""

    def __init__(self, work: BatchWork, view: View, remote_pairs: Collection[Pair]) -> None:
        self._work, self._through = work, view.through
        self._policy = policy_for(view.through)
        self._dates = [aware(date) for change in work.changes.sets.values() for date in change.dates()]
        self._remote_dates = dict(self._read_remote_dates(remote_pairs))

    def _read_remote_dates(self, pairs: Collection[Pair]) -> Iterator[tuple[Pair, datetime]]:
        """Yield those of these pairs that REMOTE changed as well, with the times."""
        if self._work.session.peer_on_remote is None or not pairs:
            return
        named = {pair for pair in pairs if None not in pair}
        wanted = {self._through: named, **ends_of(self._through, pairs)}
        said = changes_of_members(self._work.log, self._through, wanted, min(self._dates))
        for pair in pairs:
            if (date := said.member_changed_at(self._through, pair)) is not None:
                yield pair, date

    def is_conflict(self, remote: Pair) -> bool:
        """Return whether REMOTE has changed the pair as well."""
        return remote in self._remote_dates

    def local_wins(self, pair: Pair, remote: Pair, is_local_member: bool) -> bool:
        """Return whether LOCAL's change of a pair stands; what was decided about a conflict is noted in the plan."""
        if not self.is_conflict(remote):
            return True
        # Of two objects that had the row one after the other, entries may name either.
        local_date = self._work.changes.member_changed_at(self._through, pair) or max(self._dates)
        remote_date = self._remote_dates[remote]
        is_local = self._policy.local_wins(self._work.session, local_date, remote_date)
        self._work.plan.note_member(
            self._through,
            MemberConflict(pair, remote, is_local_member, local_date, remote_date, winner_of(is_local)),
        )
        return is_local
