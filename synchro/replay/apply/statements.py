"""Insert and update groups of rows, and keep track of the keys of new ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from django.db.models import Model

from synchro.backends.abilities import reserved_keys
from synchro.keys import AnyField, Key, is_automatic, key_fields
from synchro.registry import Table
from synchro.replay.columns import Codec, default_of, narrow_columns
from synchro.replay.identity.identities import Identities
from synchro.replay.quarantine.remote_table import row_is_missing
from synchro.replay.rows import as_key, as_values, select
from synchro.replay.session import Database


@dataclass
class Group:
    """The rows of one model that are written together, as REMOTE will have them, in the order of `fields`."""

    model: type[Model]
    fields: tuple[AnyField, ...]
    #: By LOCAL's key.
    rows: dict[Key, list[Any]]
    #: Keys of the rows that REMOTE lacks, and for the others the names of the fields to write; None for all.
    new: list[Key]
    old: dict[Key, frozenset[str] | None]
    #: Rows in which a foreign key waits for a row that REMOTE has not got yet, or not got a key for.
    unsettled: set[Key]
    #: Those of them in which it cannot be empty meanwhile, so that it points at nothing.
    dangling: set[Key] = field(default_factory=set)

    def only(self, keys: Collection[Key]) -> Group:
        """The part of the group with these keys; rows are shared."""
        return Group(
            self.model,
            self.fields,
            {key: row for key, row in self.rows.items() if key in keys},
            [key for key in self.new if key in keys],
            {key: names for key, names in self.old.items() if key in keys},
            {key for key in self.unsettled if key in keys},
            {key for key in self.dangling if key in keys},
        )

    def part(self, keys: Iterable[Key]) -> Group:
        """`only` for a few keys that are known to be in the group, in this order."""
        rows = {key: self.rows[key] for key in keys}
        return Group(
            self.model,
            self.fields,
            rows,
            [key for key in rows if key not in self.old],
            {key: self.old[key] for key in rows if key in self.old},
            self.unsettled & rows.keys(),
            self.dangling & rows.keys(),
        )

    def joined(self, other: Group) -> Group:
        """This group and another part of the same model's rows."""
        return Group(
            self.model,
            self.fields,
            self.rows | other.rows,
            [*self.new, *other.new],
            self.old | other.old,
            self.unsettled | other.unsettled,
            self.dangling | other.dangling,
        )

    def is_written(self, key: Key, field: AnyField) -> bool:
        """Whether the column is to be written in this row, which REMOTE has."""
        names = self.old[key]
        return names is None or field.name in names


class Statements:
    def __init__(self, remote: Database, identities: Identities) -> None:
        self._identities = identities
        self._remote, self._connection, self._backend = remote, remote.connection, remote.backend
        #: Highest explicit key written, by model: the database must not hand it out again.
        self._highest: dict[type[Model], int] = {}

    # -- keys ---------------------------------------------------------------------------------------------------

    def reserve_keys(self, puts: Mapping[type[Model], Iterable[Key]]) -> None:
        """Where REMOTE can hand out keys beforehand, every foreign key is known before the first row is written."""
        reserving = reserved_keys(self._backend)
        if reserving is None:
            return
        for model, planned in puts.items():
            if not is_automatic(key_fields(model)[0]):
                continue
            known = self._identities.known(model)
            identities = [known[key] for key in planned]
            new = [identity for identity in identities if identity.remote is None]
            explicit = [identity.remote for identity in identities if identity.remote is not None]
            if new:
                table, column = model._meta.db_table, key_fields(model)[0].column
                above = max(explicit, default=0)
                keys = reserving.reserve_keys(table, column, len(new), above)
                for identity, key in zip(new, keys, strict=True):
                    identity.remote = key

    def learn_keys(self, group: Group, keys: Sequence[Key]) -> None:
        """New rows got these keys from REMOTE."""
        place = group.fields.index(key_fields(group.model)[0])
        for local, remote in zip(group.new, keys, strict=True):
            self._identities.of(group.model, local).remote = remote
            group.rows[local][place] = remote

    def note_explicit(self, group: Group) -> None:
        """New rows brought keys of their own."""
        (own, *more) = key_fields(group.model)
        if not more and is_automatic(own):
            known = self._identities.known(group.model)
            keys: list[Any] = [known[key].remote for key in group.new]
            self._highest[group.model] = max([self._highest.get(group.model, 0), *keys])

    def pass_sequences(self) -> None:
        """Have REMOTE hand out keys beyond those that were written."""
        for model, highest in self._highest.items():
            table, column = model._meta.db_table, key_fields(model)[0].column
            self._backend.pass_sequence(table, column, highest)

    # -- rows ---------------------------------------------------------------------------------------------------

    def insert(self, group: Group) -> None:
        """Insert the new rows: those whose keys are known, and those that REMOTE gives their keys now."""
        waiting = {key for key in group.new if self._identities.of(group.model, key).remote is None}
        known = group.only(set(group.new) - waiting)
        if known.new:
            self._insert_rows(known, list(group.fields))
            self.note_explicit(known)
        if waiting:
            own = key_fields(group.model)
            handed_out = group.only(waiting)
            keys = self._insert_rows(handed_out, [f for f in group.fields if f not in own], own[0].column)
            self.learn_keys(handed_out, keys)

    def _insert_rows(self, group: Group, fields: list[AnyField], returning: str | None = None) -> list[int]:
        """Insert these columns, and the defaults of skipped ones; return the values of the column that is asked for."""
        extra = [f for f in Table(group.model).skipped if not f.has_db_default()]
        columns = [f.column for f in (*fields, *extra)]
        rows: Sequence[Sequence[Any]] = self._encoded(group, fields, group.new)
        if extra:
            rows = [[*row, *(default_of(group.model, f, self._connection) for f in extra)] for row in rows]
        table = group.model._meta.db_table
        if returning is None:
            self._backend.insert(table, columns, rows)
            return []
        return self._backend.insert_returning(table, columns, rows, returning)

    def _encoded(
        self, group: Group, fields: Sequence[AnyField], keys: Iterable[Key]
    ) -> Sequence[Sequence[Any]]:
        """These fields of the rows as REMOTE's driver takes them."""
        rows: list[Any] = [group.rows[key] for key in keys]
        if tuple(fields) != group.fields:
            places = [group.fields.index(f) for f in fields]
            pick = itemgetter(*places) if len(places) > 1 else lambda row: (row[places[0]],)
            rows = list(map(pick, rows))
        return Codec(fields, self._connection, narrow_columns(self._remote, group.model)).encode_all(rows)

    def update(self, group: Group, keys: Iterable[Key]) -> None:
        """Write these rows, which REMOTE has: the columns that are to be written in each."""
        own = key_fields(group.model)
        by_fields: dict[frozenset[str] | None, list[Key]] = {}
        for key in keys:
            by_fields.setdefault(group.old.get(key), []).append(key)
        for names, several in by_fields.items():
            fields = [f for f in group.fields if f in own or names is None or f.name in names]
            if len(fields) == len(own):
                continue
            rows = self._encoded(group, fields, several)
            columns = [f.column for f in fields]
            found = self._backend.update(group.model._meta.db_table, columns, [f.column for f in own], rows)
            if found < len(rows):
                self._refuse_missing(group, several)

    def _refuse_missing(self, group: Group, keys: Iterable[Key]) -> None:
        """
        Raise the error that names those of these rows that REMOTE was to have and has not.

        Raises `Refused`.
        """
        own, known = key_fields(group.model), self._identities.known(group.model)
        remote = {key: known[key].remote for key in keys}
        values = [as_values(remote_key) for remote_key in dict.fromkeys(remote.values())]
        present = {as_key(row) for row in select(self._remote, group.model, own, own, values)}
        raise row_is_missing(
            group.model, [key for key, remote_key in remote.items() if remote_key not in present]
        )

    @contextmanager
    def unchecked(self, group: Group) -> Iterator[None]:
        """Inside, foreign keys of the group may wait for rows that are written later."""
        if not group.dangling:
            yield
            return
        with self._backend.without_foreign_key_checks():
            yield
