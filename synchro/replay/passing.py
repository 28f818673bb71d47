"""
Pass: rows in which nothing has to be translated go to REMOTE as LOCAL's server spells them.

They never become values. Where REMOTE refuses them, the usual way is taken instead, which knows what to do then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from django.db import DatabaseError, transaction
from django.db.models import Model

from synchro.engines import Engine
from synchro.keys import AnyField, Key, key_fields, to_text
from synchro.registry import Table, generic_keys
from synchro.relations import points_at_rows
from synchro.replay.columns import is_plain
from synchro.replay.identify import Identity
from synchro.replay.link import Link, Side
from synchro.replay.listeners import hears_saves
from synchro.replay.narrow import spells_all
from synchro.replay.natural import has_natural_key
from synchro.replay.read import Rows, encode_keys
from synchro.replay.unreadable import is_about_the_server

#: A row as LOCAL's engine dumps it, its key first.
Line = Any


def can_pass(local: Side, remote: Side, model: type[Model]) -> bool:
    """Whether rows of `model` can go from one side to the other as they are, but for their own keys."""
    return (
        local.engine.passes_rows(local.connection, remote.connection)
        and len(key_fields(model)) == 1
        and not has_natural_key(model)
        and not hears_saves(model)
        and not generic_keys(model)
        and all(not points_at_rows(field) and is_plain(field) for field in Table(model).fields)
        and all(field.has_db_default() for field in Table(model).skipped)
        and spells_all(local, remote, model)
    )


def read(link: Link, rows: Rows, model: type[Model], keys: Collection[Key]) -> None:
    """Have `rows` know these rows of LOCAL, as lines where they can pass, else as values."""
    lines = _read_lines(link.local, model, keys) if can_pass(link.local, link.remote, model) else None
    if lines is None:
        rows.load(model, keys)
    else:
        rows.lines[model] = lines


def fields_of(model: type[Model]) -> list[AnyField]:
    """The fields of a `Line`."""
    (own,) = key_fields(model)
    return [own, *(field for field in Table(model).fields if field is not own)]


def columns_of(model: type[Model]) -> list[str]:
    """The columns of a `Line`."""
    return [field.column for field in fields_of(model)]


def _read_lines(side: Side, model: type[Model], keys: Iterable[Key]) -> dict[Key, Line] | None:
    """LOCAL's rows by key; None where the server spells a key in a way of its own, or one cannot be read."""
    wanted = {to_text(model, key): key for key in keys}
    encoded = encode_keys(model, wanted.values(), side)
    try:
        lines = side.engine.dump(side.connection, model._meta.db_table, columns_of(model), encoded)
        keys = side.engine.dumped_keys(lines)
    except Exception as error:
        if is_about_the_server(side.engine, error):
            raise
        return None
    try:
        return {wanted[key]: line for key, line in zip(keys, lines, strict=True)}
    except KeyError:
        return None


def write_lines(
    side: Side,
    model: type[Model],
    lines: Mapping[Key, Line],
    identities: Mapping[Key, Identity],
    new: Sequence[Key],
    old: Mapping[Key, frozenset[str] | None],
) -> bool:
    """Write these rows to REMOTE; False where it refuses one of them, and then nothing is written."""
    table, columns = model._meta.db_table, columns_of(model)
    try:
        with transaction.atomic(using=side.alias):
            if new:
                several = _with_their_keys(side.engine, lines, identities, new)
                side.engine.insert_dumped(side.connection, table, columns, several)
            for names, keys in _by_names(old).items():
                values = columns_named(model, names)
                if values:
                    several = _with_their_keys(side.engine, lines, identities, keys)
                    _require(
                        side.engine.update_dumped(side.connection, table, columns, values, several), several
                    )
    except _Missing:
        return False  # the usual way finds out which
    except DatabaseError as error:
        # The transaction may be gone as a whole (SQLite's full disk), or the server is.
        if is_about_the_server(side.engine, error):
            raise
        return False
    return True


class _Missing(Exception):
    """REMOTE lacks a row that was to be changed."""


def _require(found: int, lines: Sequence[Line]) -> None:
    if found < len(lines):
        raise _Missing


def _with_their_keys(
    engine: Engine, lines: Mapping[Key, Line], identities: Mapping[Key, Identity], keys: Collection[Key]
) -> list[Line]:
    if all(identities[key].remote == key for key in keys):
        return [lines[key] for key in keys]
    # Keys that differ were handed out by REMOTE, so they are integers.
    own = [identities[key].remote or 0 for key in keys]
    return list(engine.with_keys([lines[key] for key in keys], own))


def _by_names(old: Mapping[Key, frozenset[str] | None]) -> dict[frozenset[str] | None, list[Key]]:
    found: dict[frozenset[str] | None, list[Key]] = {}
    for key, names in old.items():
        found.setdefault(names, []).append(key)
    return found


def columns_named(model: type[Model], names: frozenset[str] | None) -> list[str]:
    """The columns of these fields, all but the key's for None."""
    fields = [field for field in Table(model).fields if field not in key_fields(model)]
    return [field.column for field in fields if names is None or field.name in names]
