"""LOCAL's rows as REMOTE should have them, and what differs from them there."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db.models import JSONField, Model

from synchro.keys import AnyField, Key, column_field, key_fields, normalize
from synchro.registry import Table
from synchro.relations import generic_keys, points_at_rows
from synchro.replay.identity.identities import Identities, Identity, existing_keys
from synchro.replay.rows import Rows, generic_places, generic_targets, generic_value, real_spellings
from synchro.replay.session import Session
from synchro.verify.results import DIFFERENT, MISSING, Difference


class _NoValue:
    """In place of what LOCAL's row should have on REMOTE: nothing there is equal to it."""

    def __init__(self, words: str) -> None:
        self._words = words

    def __repr__(self) -> str:
        return self._words


#: The key of a row that REMOTE does not have, and a value that cannot be read.
ABSENT: Final = _NoValue("a row that REMOTE lacks")
UNREADABLE: Final = _NoValue("a value that cannot be read")
UNREADABLE_ON_REMOTE: Final = _NoValue("a value that cannot be read")


@dataclass(frozen=True)
class _Nowhere:
    """In place of a generic key of LOCAL that names a row which LOCAL does not have: on REMOTE it is to name none."""

    target: type[Model]


def compare_rows(
    session: Session, model: type[Model], keys: Collection[Key], local: Rows, remote: Rows
) -> tuple[int, list[Difference]]:
    """
    Return how many of these rows LOCAL has, and those of them that REMOTE has not, or not alike.

    LOCAL's rows are read first.
    """
    present = local.load(model, keys)
    identities = Identities(session, local, {})
    found = identities.find(model, list(present))
    expected = _expected(session, model, present, identities, local)
    respelled = _respelled(session, model, found)
    remote_keys = {key: respelled.get(key, i.remote if i.exists else None) for key, i in found.items()}
    there = _readable(model, remote, [key for key in remote_keys.values() if key is not None])
    _settle_what_points_nowhere(
        session, {key: (row, there.get(remote_keys[key])) for key, row in expected.items()}
    )
    differences = []
    own = key_fields(model)
    fields = [(place, f) for place, f in enumerate(Table(model).fields) if f not in own]
    for key, row in expected.items():
        identity, other = found[key], there.get(remote_keys[key])
        if other is None:
            differences.append(Difference(MISSING, key, None, logged_key=identity.logged_key))
            continue
        unlike = [(place, f) for place, f in fields if not _is_equal(f, row[place], other[place])]
        names = [f.name for _place, f in unlike]
        values = [(row[place], other[place]) for place, _f in unlike]
        if key in respelled:
            names.insert(0, own[0].name)
            values.insert(0, (key, respelled[key]))
        if names:
            differences.append(
                Difference(
                    DIFFERENT,
                    key,
                    remote_keys[key],
                    tuple(names),
                    tuple(values),
                    logged_key=remote_keys[key],
                    is_respelled=key in respelled,
                )
            )
    return len(present), differences


def _respelled(session: Session, model: type[Model], found: Mapping[Key, Identity]) -> dict[Key, Key]:
    """Return REMOTE's keys of objects that it spells otherwise and takes for equal; no other row can have them."""
    own, *more = key_fields(model)
    if more or own.remote_field is not None:
        return {}
    missing = {i.remote: key for key, i in found.items() if not i.exists and i.remote is not None}
    pairs = real_spellings(session.remote, model, own, missing)
    return {missing[expected]: spelled for expected, spelled in pairs.items()}


def _readable(model: type[Model], remote: Rows, keys: Collection[Key]) -> dict[Key, Sequence[Any]]:
    """Return these rows of REMOTE; in place of values that cannot be read stands one that is equal to nothing."""
    rows = remote.load(model, keys)
    for key, faults in remote.unreadable.get(model, {}).items():
        if key in rows:
            row = list(rows[key])
            for column, _cause in faults:
                row[Table(model).fields.index(column)] = UNREADABLE_ON_REMOTE
            rows[key] = row
    return rows


def _expected(
    session: Session,
    model: type[Model],
    present: Mapping[Key, Sequence[Any]],
    identities: Identities,
    local: Rows,
) -> dict[Key, list[Any]]:
    """Return LOCAL's rows with REMOTE's keys in them."""
    rows = {key: list(row) for key, row in present.items()}
    for place, column in enumerate(Table(model).fields):
        if points_at_rows(column):
            translated = identities.translate(column, {row[place] for row in present.values()})
            for row in rows.values():
                if row[place] is not None:
                    value = translated[row[place]]
                    row[place] = ABSENT if value is None else value
    for generic in generic_keys(model):
        for place, key, value in _generic(session, model, generic, present, identities, local):
            rows[key][place] = value
    for key, faults in local.unreadable.get(model, {}).items():
        for column, _cause in faults if key in rows else ():
            rows[key][Table(model).fields.index(column)] = UNREADABLE
    return rows


def _generic(
    session: Session,
    model: type[Model],
    generic: Any,
    present: Mapping[Key, Sequence[Any]],
    identities: Identities,
    local: Rows,
) -> Iterator[tuple[int, Key, Any]]:
    """Yield what the key of a generic foreign key should be on REMOTE: its place, the row's key, the value."""
    places = generic_places(model, generic)
    if places is None:
        return
    column = Table(model).fields[places[1]]
    targets = generic_targets(session, model, generic, present.values())
    for key, row in present.items():
        target = session.local.model_of(row[places[0]]) if row[places[0]] is not None else None
        wanted = targets.get(target, {}).get(row[places[1]]) if target is not None else None
        if target is None or wanted is None:
            continue
        identity = identities.find(target, [wanted])[wanted]
        if identity.remote is None:
            is_there = wanted in local.present(target, [wanted])
            yield places[1], key, ABSENT if is_there else _Nowhere(target)
        else:
            yield places[1], key, generic_value(column, target, identity.remote, row[places[1]], session)


def _settle_what_points_nowhere(
    session: Session, pairs: Mapping[Key, tuple[list[Any], Sequence[Any] | None]]
) -> None:
    """Have LOCAL's rows expect what REMOTE's have by generic keys that lead nowhere in both."""
    for row, other in pairs.values():
        for place, value in enumerate(row):
            if isinstance(value, _Nowhere):
                is_row = other is not None and _is_row(session, value.target, other[place])
                row[place] = ABSENT if other is None or is_row else other[place]


def _is_row(session: Session, target: type[Model], value: Any) -> bool:
    try:
        key = normalize(key_fields(target)[0], value)
    except (ValidationError, ValueError, TypeError, ArithmeticError):
        return False
    return key is not None and bool(existing_keys(session.remote, target, [key]))


def _is_equal(field: AnyField, expected: Any, found: Any) -> bool:
    if isinstance(column_field(field), JSONField) and isinstance(expected, str) and isinstance(found, str):
        return _is_same_json(json.loads(expected), json.loads(found))
    return _is_same(expected, found)


def _is_same(one: Any, other: Any) -> bool:
    # What is no number is equal to nothing, not even to itself.
    return bool(one == other or (one != one and other != other))


def _is_same_json(one: Any, other: Any) -> bool:
    """For Python, though not for JSON, true is 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same_json(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same_json, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and _is_same(one, other)
