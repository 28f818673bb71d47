"""Owners: which object of LOCAL a row of REMOTE is, as far as LOCAL knows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from django.db.models import Model

from synchro.keys import AnyField, Key, key_fields, to_text
from synchro.models import ADDITION, DELETION, ChangeLog
from synchro.relations import target_of
from synchro.replay.identity.identities import Identities, existing_keys
from synchro.replay.identity.models import keeps_references
from synchro.replay.log.pending import ids_pending_for
from synchro.replay.plan import Pair
from synchro.replay.rows import as_key, as_values
from synchro.replay.session import Session

#: How many objects one statement asks about.
PART = 10_000


def known_owners(
    session: Session, identities: Identities, model: type[Model], remote_keys: Collection[Key]
) -> dict[Key, Key]:
    """
    Return LOCAL's keys of those of these rows of REMOTE that are objects which LOCAL has or had.

    The others may be REMOTE's own, which must not be taken for objects that LOCAL has deleted.
    """
    if not remote_keys:
        return {}
    if keeps_references(model):
        return identities.owners(model, remote_keys)
    fields = key_fields(model)
    found = owners_by_parts(session, identities, fields, remote_keys, {})
    known = _known_by_the_same_key(session, identities, model, set(found.values()))
    return {remote: local for remote, local in found.items() if local in known}


def owners_by_parts(
    session: Session,
    identities: Identities,
    fields: Sequence[AnyField],
    remote_keys: Collection[Key],
    given: Mapping[AnyField, Mapping[Any, Any]],
) -> dict[Key, Key]:
    """Return LOCAL's keys, part by part of the key's `fields`; `given` has what is known of some parts."""
    parts = [
        given.get(field)
        or _local_parts(session, identities, field, {as_values(k)[position] for k in remote_keys})
        for position, field in enumerate(fields)
    ]
    found: dict[Key, Key] = {}
    for key in remote_keys:
        values = [part.get(value) for part, value in zip(parts, as_values(key), strict=True)]
        if None not in values:
            found[key] = as_key(values)
    return found


def pair_owners(
    identities: Identities, through: type[Model], remote_pairs: Collection[Pair]
) -> dict[Pair, Pair]:
    """Return LOCAL's keys of these rows of an automatic table, with None for an object that LOCAL does not know."""
    if not remote_pairs:
        return {}
    owners: list[Mapping[Key, Key]] = []
    for position, field in enumerate(key_fields(through)):
        target, ends = (
            target_of(field),
            {pair[position] for pair in remote_pairs if pair[position] is not None},
        )
        owners.append({end: end for end in ends} if target is None else identities.owners(target, ends))
    first, second = owners
    return {pair: (first.get(pair[0]), second.get(pair[1])) for pair in remote_pairs}


def _local_parts(
    session: Session, identities: Identities, field: AnyField, values: Collection[Any]
) -> Mapping[Any, Any]:
    """Return what these values of a part of a key are on LOCAL."""
    target = target_of(field)
    return {v: v for v in values} if target is None else known_owners(session, identities, target, values)


def _known_by_the_same_key(
    session: Session, identities: Identities, model: type[Model], keys: set[Key]
) -> set[Key]:
    """Return those that LOCAL has, has deleted since, or has quarantined."""
    known = existing_keys(session.local, model, keys)
    known |= {key for key in keys if (model, key) in identities.quarantined}
    missing = {to_text(model, key): key for key in keys - known}
    return known | {missing[text] for text in _deleted_since(session, model, list(missing))}


def _deleted_since(session: Session, model: type[Model], texts: list[str]) -> Iterator[str]:
    """Yield those that LOCAL had when the first batch began that REMOTE lacks, and has deleted since."""
    if not texts:
        return
    pending = ids_pending_for(session)
    entries = ChangeLog.objects.using(session.local.alias).filter(
        id__gte=pending.first,
        content_type=session.local.content_type_id(model),
        action__in=(ADDITION, DELETION),
    )
    for start in range(0, len(texts), PART):
        first_actions: dict[str, int] = {}
        found = entries.filter(object_id__in=texts[start : start + PART]).order_by("id")
        for number, text, action in found.values_list("id", "object_id", "action"):
            if number in pending:
                first_actions.setdefault(text, action)
        yield from (text for text, action in first_actions.items() if action == DELETION)
