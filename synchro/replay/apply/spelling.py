"""
Rename rows whose key got another spelling, where LOCAL's collation takes both spellings for equal.

On MySQL and MariaDB the case of a key can be corrected while what points at it keeps the old spelling. Such a row is
not deleted: it has another name. So REMOTE's row, and what points at it there, get the new spelling; and a foreign key
goes to REMOTE as its target is spelled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.db.models import Model

from synchro.backends.base import quoted
from synchro.keys import AnyField, Key, column_field, is_text, key_fields
from synchro.registry import watched_models
from synchro.relations import generic_keys, relations
from synchro.replay.apply.deletions import delete_rows
from synchro.replay.identity.identities import existing_keys
from synchro.replay.log.changes import Change, Changes
from synchro.replay.rows import Rows, encode_keys, real_spellings
from synchro.replay.session import Session

__all__ = ["follow_respelled"]


def follow_respelled(session: Session, changes: Changes, rows: Rows) -> None:
    """
    Give REMOTE's rows the keys as LOCAL spells them now, where the entries name them by an earlier spelling.

    What was to be said of the earlier spelling is said of the present one.
    """
    for model, keys in changes.by_model().items():
        own, *more = key_fields(model)
        if more or own.remote_field is not None:
            continue
        present = rows.present(model, keys)
        pairs = real_spellings(session.local, model, own, {key for key in keys if key not in present})
        if pairs:
            renamed = _rename(session, model, pairs)
            for old, new in pairs.items():
                _take_over(changes, model, old, new, exists=old in renamed)
            rows.load(model, list(pairs.values()))


def _take_over(changes: Changes, model: type[Model], old: Key, new: Key, exists: bool) -> None:
    earlier = changes.rows.pop((model, old))
    change = changes.rows.get((model, new))
    if change is None:
        changes.rows[model, new] = Change(model, new, earlier.date, whole=earlier.date, entry=earlier.entry)
    elif exists:
        changes.rows[model, new] = replace(change, is_born=False, deleted=None)


def _rename(session: Session, model: type[Model], pairs: Mapping[Key, Key]) -> set[Key]:
    """Return the keys that REMOTE had; its rows have the new ones now, and so has what points at them."""
    present = existing_keys(session.remote, model, [*pairs, *pairs.values()], lock=True)
    backend = session.remote.backend
    found = {old: new for old, new in pairs.items() if old in present}
    if not found:
        return set()
    (own,) = key_fields(model)
    with backend.without_foreign_key_checks():
        for old, new in found.items():
            if new not in present:
                _set(session, model, own, old, new)
            _repoint(session, model, old, new)
    delete_rows(session, model, [old for old, new in found.items() if new in present])
    return set(found)


def _repoint(session: Session, model: type[Model], old: Key, new: Key) -> None:
    (own,) = key_fields(model)
    for child, column, _rule in relations(model):
        if child._meta.proxy or not child._meta.managed or column.model is not child:
            continue
        if column.target_field is own or column_field(column) is column_field(own):
            _set(session, child, column, old, new)
            if column.primary_key:
                _repoint(session, child, old, new)
    for child in watched_models():
        for generic in generic_keys(child):
            names = (generic.ct_field, generic.fk_field)
            columns: list[AnyField] = [child._meta.get_field(name) for name in names]
            kind, column = columns
            if is_text(column) and column.model is child:
                _set(session, child, column, old, new, {kind.column: session.remote.content_type_id(model)})


def _set(
    session: Session,
    model: type[Model],
    column: AnyField,
    old: Key,
    new: Key,
    where: Mapping[str, int] | None = None,
) -> None:
    """Set the column to `new` where it is `old`, and other columns have these numbers."""
    connection = session.remote.connection
    table, name = quoted(connection, model._meta.db_table), quoted(connection, column.column)
    values: Sequence[Any] = [new, old]
    if column.remote_field is not None or column.primary_key:
        values = [key for (key,) in encode_keys(column_field(column).model, values, session.remote)]
    others = "".join(
        f" AND {quoted(connection, other)} = {number:d}" for other, number in (where or {}).items()
    )
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {name} = %s WHERE {name} = %s{others}", values)
