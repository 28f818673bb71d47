"""
Membership: pairs of an automatic many-to-many table. Triggers log them as rows, signals as members of a set.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db.models import Model

from synchro.keys import Key, key_fields
from synchro.registry import set_field
from synchro.relations import target_of
from synchro.replay.coalesce import M2M, Changes
from synchro.replay.identify import Identities

#: The keys of the objects at both ends, that which declares the field first; None for one that a side does not have.
Pair = tuple[Key, Key]


def is_symmetrical(through: type[Model]) -> bool:
    return bool(set_field(through).remote_field.symmetrical)


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
