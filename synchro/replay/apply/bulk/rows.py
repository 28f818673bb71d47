"""Read the rows of one model from LOCAL, and write them to REMOTE, thousands at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.db.models import Model

from synchro.backends.abilities import RawRows, raw_rows, reserved_keys
from synchro.keys import AnyField, Key, is_automatic, is_integer, key_fields
from synchro.registry import Table
from synchro.relations import points_at_rows, target_of
from synchro.replay.apply.bulk.eligible import NotBulk
from synchro.replay.apply.bulk.entries import Names
from synchro.replay.columns import Codec, is_plain, narrow_columns, spells_all
from synchro.replay.identity.identities import Identities
from synchro.replay.session import Session

#: Rows are read and written in parts of about so many bytes, of which the first has so many rows.
PART_BYTES, FIRST_PART = 16 * 2**20, 5_000


class _RawRows(NamedTuple):
    """Both databases, as such that read and write raw rows of each other."""

    local: RawRows
    remote: RawRows


class BulkRows:
    """
    Rows are as REMOTE takes them: as LOCAL's server spells them where both understand that, else values. The key comes
    first.
    """

    def __init__(self, session: Session, model: type[Model], identities: Identities) -> None:
        self._identities = identities
        self._model, self._table = model, model._meta.db_table
        #: The key, then what points at other rows, then all else.
        self.fields: list[AnyField] = sorted(_fields(model), key=_rank)
        self._own: str = self.fields[0].column
        self._session, self._local, self._remote = session, session.local.backend, session.remote.backend
        self._narrow = narrow_columns(session.remote, model)
        self._raw = self._raw_rows()

    def _raw_rows(self) -> _RawRows | None:
        """Return what reads and writes raw rows, where both databases can, and the columns go as they are."""
        session, local, remote = self._session, raw_rows(self._local), raw_rows(self._remote)
        if (
            local is not None
            and remote is not None
            and local.reads_raw_for(session.remote.connection)
            and all(map(_can_be_raw, self.fields))
            and spells_all(session.local, session.remote, self._model)
        ):
            return _RawRows(local, remote)
        return None

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
        if self._raw is not None:
            raw = self._raw.local.read_raw(self._table, columns, values)
            return self._translated_raw(self._raw.local, [f for f in fields if points_at_rows(f)], raw)
        codec = Codec(fields, self._session.local.connection)
        stored = self._local.select(self._table, columns, columns[:1], values, spelled=codec.spelled)
        rows = self._translated(fields, codec.decode_all(stored))
        return Codec(fields, self._session.remote.connection, self._narrow).encode_all(rows)

    def _translate(self, field: AnyField, values: Collection[Any]) -> Mapping[Any, Any]:
        """
        Return what these values of a foreign key are on REMOTE.

        Raises `NotBulk` where REMOTE lacks a row.
        """
        target = target_of(field)
        assert target is not None, f"{field} holds no keys"
        wanted = [value for value in values if value is not None]
        found = self._identities.remote_keys(target, wanted)
        if len(found) < len(wanted):
            raise NotBulk(self._model)
        return {None: None, **found}

    def _translated(
        self, fields: Sequence[AnyField], rows: Sequence[Sequence[Any]]
    ) -> Sequence[Sequence[Any]]:
        """The rows with REMOTE's keys in their foreign keys."""
        columns = [(place, f) for place, f in enumerate(fields) if points_at_rows(f)]
        if not columns or not rows:
            return rows
        found = [list(row) for row in rows]
        for place, field in columns:
            remote_keys = self._translate(field, {row[place] for row in found})
            for row in found:
                row[place] = remote_keys[row[place]]
        return found

    def _translated_raw(
        self, raw: RawRows, foreign: Sequence[AnyField], rows: Sequence[Any]
    ) -> Sequence[Any]:
        """The same for raw rows, in which these foreign keys follow the key."""
        if not foreign or not rows:
            return rows
        own, *columns = raw.raw_numbers(rows, 1 + len(foreign))
        translated = []
        for field, numbers in zip(foreign, columns, strict=True):
            found = self._translate(field, set(numbers))
            translated.append([found[number] for number in numbers])
        return rows if translated == columns else raw.with_raw_numbers(rows, [own, *translated])

    def keys_of(self, rows: Sequence[Any]) -> list[Key]:
        if self._raw is not None:
            return list(map(int, self._raw.remote.raw_keys(rows)))
        return [row[0] for row in rows]

    def with_keys(self, rows: Sequence[Any], keys: Sequence[Key]) -> Sequence[Any]:
        if self._raw is not None:
            return self._raw.remote.with_raw_keys(rows, keys)
        return [(key, *row[1:]) for key, row in zip(keys, rows, strict=True)]

    # -- REMOTE -------------------------------------------------------------------------------------------------

    def insert(self, rows: Sequence[Any]) -> None:
        insert = self._raw.remote.insert_raw if self._raw is not None else self._remote.insert
        insert(self._table, [f.column for f in self.fields], rows)

    def insert_with_new_keys(self, rows: Sequence[Any]) -> Sequence[Key]:
        """Insert the rows under keys that REMOTE hands out, and return these."""
        reserving = reserved_keys(self._remote)
        if reserving is not None:
            keys = reserving.reserve_keys(self._table, self._own, len(rows), above=0)
            self.insert(self.with_keys(rows, keys))
            return keys
        columns, values = [f.column for f in self.fields[1:]], [row[1:] for row in rows]
        return self._remote.insert_returning(self._table, columns, values, self._own)

    def change(self, fields: Sequence[AnyField], rows: Sequence[Any]) -> list[Key]:
        """Write these fields in the rows that REMOTE has, and return the keys of those that it lacks."""
        change = self._raw.remote.change_raw if self._raw is not None else self._remote.change
        return change(self._table, [f.column for f in fields], rows)

    def pass_sequence(self, highest: Key) -> None:
        """Have REMOTE hand out keys beyond this one, which was written."""
        if is_automatic(self.fields[0]):
            self._remote.pass_sequence(self._table, self._own, highest)


def _fields(model: type[Model]) -> list[AnyField]:
    (own,) = key_fields(model)
    return [own, *(field for field in Table(model).fields if field is not own)]


def _rank(field: AnyField) -> int:
    return 0 if field.primary_key else 1 if points_at_rows(field) else 2


def _can_be_raw(field: AnyField) -> bool:
    """Whether the column can go as it is, or with a number in the place of another."""
    return is_plain(field) and (not points_at_rows(field) or is_integer(field))


def _width(rows: Sequence[Any]) -> int:
    """About how many bytes a row has."""
    some = rows[:: len(rows) // 50 + 1]
    total = sum(len(row) if isinstance(row, bytes) else sum(map(_size, row)) for row in some)
    return max(1, total // len(some))


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes) else 8
