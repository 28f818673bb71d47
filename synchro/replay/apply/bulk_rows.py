"""Stock: the rows of one plain model, from LOCAL to REMOTE, many at a time and with nothing decided about any."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from django.db import DatabaseError, transaction
from django.db.models import Model

from synchro.backends import Backend
from synchro.keys import AnyField, Key, is_automatic, is_integer, key_fields, to_text
from synchro.registry import Table
from synchro.relations import generic_keys, points_at_rows
from synchro.replay.apply.bulk_plan import Names
from synchro.replay.apply.receivers import has_receivers_of_saves
from synchro.replay.columns import Codec, is_plain, narrow_columns, spells_all
from synchro.replay.identity.identities import Identity
from synchro.replay.identity.natural_keys import has_natural_key
from synchro.replay.rows import Rows, encode_keys
from synchro.replay.session import Database, Session
from synchro.replay.unreadable import is_about_the_server

#: A row as LOCAL's engine dumps it, its key first.
Line = Any


def can_pass(local: Database, remote: Database, model: type[Model]) -> bool:
    """Whether rows of `model` can go from one side to the other as they are, but for their own keys."""
    return (
        local.backend.passes_rows(remote.connection)
        and len(key_fields(model)) == 1
        and not has_natural_key(model)
        and not has_receivers_of_saves(model)
        and not generic_keys(model)
        and all(not points_at_rows(field) and is_plain(field) for field in Table(model).fields)
        and all(field.has_db_default() for field in Table(model).skipped)
        and spells_all(local, remote, model)
    )


def read(session: Session, rows: Rows, model: type[Model], keys: Collection[Key]) -> None:
    """Have `rows` know these rows of LOCAL, as lines where they can pass, else as values."""
    lines = (
        _read_lines(session.local, model, keys) if can_pass(session.local, session.remote, model) else None
    )
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


def _read_lines(side: Database, model: type[Model], keys: Iterable[Key]) -> dict[Key, Line] | None:
    """LOCAL's rows by key; None where the server spells a key in a way of its own, or one cannot be read."""
    wanted = {to_text(model, key): key for key in keys}
    encoded = encode_keys(model, wanted.values(), side)
    try:
        lines = side.backend.dump(model._meta.db_table, columns_of(model), encoded)
        keys = side.backend.dumped_keys(lines)
    except Exception as error:
        if is_about_the_server(side.backend, error):
            raise
        return None
    try:
        return {wanted[key]: line for key, line in zip(keys, lines, strict=True)}
    except KeyError:
        return None


def write_lines(
    side: Database,
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
                several = _with_their_keys(side.backend, lines, identities, new)
                side.backend.insert_dumped(table, columns, several)
            for names, keys in _by_names(old).items():
                values = columns_named(model, names)
                if values:
                    several = _with_their_keys(side.backend, lines, identities, keys)
                    _require(side.backend.update_dumped(table, columns, values, several), several)
    except _Missing:
        return False  # the usual way finds out which
    except DatabaseError as error:
        # The transaction may be gone as a whole (SQLite's full disk), or the server is.
        if is_about_the_server(side.backend, error):
            raise
        return False
    return True


class _Missing(Exception):
    """REMOTE lacks a row that was to be changed."""


def _require(found: int, lines: Sequence[Line]) -> None:
    if found < len(lines):
        raise _Missing


def _with_their_keys(
    backend: Backend, lines: Mapping[Key, Line], identities: Mapping[Key, Identity], keys: Collection[Key]
) -> list[Line]:
    if all(identities[key].remote == key for key in keys):
        return [lines[key] for key in keys]
    # Keys that differ were handed out by REMOTE, so they are integers.
    own = [identities[key].remote or 0 for key in keys]
    return list(backend.with_keys([lines[key] for key in keys], own))


def _by_names(old: Mapping[Key, frozenset[str] | None]) -> dict[frozenset[str] | None, list[Key]]:
    found: dict[frozenset[str] | None, list[Key]] = {}
    for key, names in old.items():
        found.setdefault(names, []).append(key)
    return found


def columns_named(model: type[Model], names: frozenset[str] | None) -> list[str]:
    """The columns of these fields, all but the key's for None."""
    fields = [field for field in Table(model).fields if field not in key_fields(model)]
    return [field.column for field in fields if names is None or field.name in names]


#: Rows are read and written in parts of about so many bytes, of which the first has so many rows.
PART_BYTES, FIRST_PART = 16 * 2**20, 5_000


class Targets(Protocol):
    def translate(self, field: AnyField, values: Collection[Any]) -> Mapping[Any, Any]:
        """What these values of a foreign key are on REMOTE."""


class BulkRows:
    """Rows are as REMOTE takes them: what its engine dumps where they can pass, else values. Their key comes first."""

    def __init__(self, session: Session, model: type[Model], targets: Targets) -> None:
        self._targets = targets
        self._model, self._table = model, model._meta.db_table
        #: The key, then what points at other rows, then all else.
        self.fields: list[AnyField] = sorted(fields_of(model), key=_rank)
        self._own: str = self.fields[0].column
        self._here, self._local = session.local.connection, session.local.backend
        self._there, self._remote = session.remote.connection, session.remote.backend
        self._narrow = narrow_columns(session.remote, model)
        self._passes = (
            self._local.passes_rows(self._there)
            and all(map(_can_pass, self.fields))
            and spells_all(session.local, session.remote, model)
        )

    def fields_named(self, names: Names) -> list[AnyField]:
        """The key's, and those with these names; all for None."""
        return [f for f in self.fields if f is self.fields[0] or names is None or f.name in names]

    # -- LOCAL --------------------------------------------------------------------------------------------------

    def read(
        self, keys: Sequence[Key], fields: Sequence[AnyField]
    ) -> Iterator[tuple[Sequence[Key], Sequence[Any]]]:
        """Part by part: keys that were asked for, and the rows with these that there are."""
        start, size = 0, FIRST_PART
        while start < len(keys):
            asked = keys[start : start + size]
            rows = self.rows(asked, fields)
            start += size
            if rows:
                yield asked, rows
                size = max(1, PART_BYTES // _width(rows))

    def rows(self, keys: Sequence[Key], fields: Sequence[AnyField]) -> Sequence[Any]:
        """The rows with these keys, in any order."""
        columns, values = [f.column for f in fields], [(key,) for key in keys]
        if self._passes:
            lines = self._local.dump(self._table, columns, values)
            return self._translated_lines([f for f in fields if points_at_rows(f)], lines)
        codec = Codec(fields, self._here)
        stored = self._local.select(self._table, columns, columns[:1], values, spelled=codec.spelled)
        rows = self._translated(fields, codec.decode_all(stored))
        return Codec(fields, self._there, self._narrow).encode_all(rows)

    def _translated(
        self, fields: Sequence[AnyField], rows: Sequence[Sequence[Any]]
    ) -> Sequence[Sequence[Any]]:
        """The rows with REMOTE's keys in their foreign keys."""
        columns = [(place, f) for place, f in enumerate(fields) if points_at_rows(f)]
        if not columns or not rows:
            return rows
        found = [list(row) for row in rows]
        for place, field in columns:
            there = self._targets.translate(field, {row[place] for row in found})
            for row in found:
                row[place] = there[row[place]]
        return found

    def _translated_lines(self, foreign: Sequence[AnyField], lines: Sequence[Any]) -> Sequence[Any]:
        """The same for rows of `dump`, in which these foreign keys follow the key."""
        if not foreign or not lines:
            return lines
        own, *columns = self._local.dumped_numbers(lines, 1 + len(foreign))
        there = []
        for field, numbers in zip(foreign, columns, strict=True):
            found = self._targets.translate(field, set(numbers))
            there.append([found[number] for number in numbers])
        return lines if there == columns else self._local.with_numbers(lines, [own, *there])

    def keys_of(self, rows: Sequence[Any]) -> list[Key]:
        return list(map(int, self._remote.dumped_keys(rows))) if self._passes else [row[0] for row in rows]

    def with_keys(self, rows: Sequence[Any], keys: Sequence[Key]) -> Sequence[Any]:
        if self._passes:
            return self._remote.with_keys(rows, keys)
        return [(key, *row[1:]) for key, row in zip(keys, rows, strict=True)]

    # -- REMOTE -------------------------------------------------------------------------------------------------

    def insert(self, rows: Sequence[Any]) -> None:
        insert = self._remote.insert_dumped if self._passes else self._remote.insert
        insert(self._table, [f.column for f in self.fields], rows)

    def insert_with_new_keys(self, rows: Sequence[Any]) -> Sequence[Key]:
        """Insert the rows under keys that REMOTE hands out, and return these."""
        if self._remote.reserves_keys:
            keys = self._remote.reserve_keys(self._table, self._own, len(rows), above=0)
            self.insert(self.with_keys(rows, keys))
            return keys
        columns, values = [f.column for f in self.fields[1:]], [row[1:] for row in rows]
        return self._remote.insert_returning(self._table, columns, values, self._own)

    def change(self, fields: Sequence[AnyField], rows: Sequence[Any]) -> list[Key]:
        """Write these fields in the rows that REMOTE has, and return the keys of those that it lacks."""
        change = self._remote.change_dumped if self._passes else self._remote.change
        return change(self._table, [f.column for f in fields], rows)

    def delete(self, keys: Sequence[Key]) -> int:
        return self._remote.delete(self._table, [self._own], [(key,) for key in keys])

    def pass_sequence(self, highest: Key) -> None:
        """Have REMOTE hand out keys beyond this one, which was written."""
        if is_automatic(self.fields[0]):
            self._remote.pass_sequence(self._table, self._own, highest)


def _rank(field: AnyField) -> int:
    return 0 if field.primary_key else 1 if points_at_rows(field) else 2


def _can_pass(field: AnyField) -> bool:
    """Whether the column can go as it is, or with a number in the place of another."""
    return is_plain(field) and (not points_at_rows(field) or is_integer(field))


def _width(rows: Sequence[Any]) -> int:
    """About how many bytes a row has."""
    some = rows[:: len(rows) // 50 + 1]
    total = sum(len(row) if isinstance(row, bytes) else sum(map(_size, row)) for row in some)
    return max(1, total // len(some))


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes) else 8
