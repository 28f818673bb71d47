"""A table as SQL on each side: its rows with REMOTE's keys in them, so that both servers make the same digests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Model

from synchro.backends.base import quoted
from synchro.backends.digests import Column, ColumnType, Digests, kind_of
from synchro.keys import AnyField, Key, column_field, is_integer, key_fields
from synchro.registry import Table
from synchro.relations import generic_keys, points_at_rows, target_of
from synchro.replay.columns import Codec, is_plain
from synchro.replay.identity.identities import Identities
from synchro.replay.identity.models import is_known_by_nature, keeps_references
from synchro.replay.identity.references import joined
from synchro.replay.rows import Rows, as_key
from synchro.replay.session import Database, Session

#: The table's name in the statements.
T = "synchro_rows"
#: Of a model that is known by its natural key, at most how many rows are named in a statement.
MOST_NAMED = 1_000


@dataclass(frozen=True)
class Side:
    """One side's table, as SQL."""

    database: Database
    digests: Digests
    #: The table alone, and with what is joined with it.
    table: str
    source: str
    #: SQL of the row's own key, as the codec reads it, and of the column, where it is one whole number.
    own_key: str
    codec: Codec
    number: str | None
    #: SQL of REMOTE's key: as text, and as number where it is one; NULL where it is not known.
    remote_key: str
    remote_number: str | None
    #: SQL of the row's digest.
    digest: str

    def rows(self, sql: str) -> Sequence[tuple[Any, ...]]:
        """Return what the statement gives, in which a percent sign is doubled."""
        with self.digests.session(), self.database.connection.cursor() as cursor:
            cursor.execute(sql, [])
            found: Sequence[tuple[Any, ...]] = cursor.fetchall()
            return found

    def keys(self, rows: Sequence[Sequence[Any]]) -> list[Key]:
        """Return the keys of rows that were read as `own_key`."""
        return [as_key(row) for row in self.codec.decode_all(rows)]


@dataclass(frozen=True)
class Sides:
    """Both sides of a table."""

    local: Side
    remote: Side

    @property
    def is_by_number(self) -> bool:
        """Return whether the key is the same whole number on both sides, so that an index finds ranges of it."""
        return self.local.number is not None and self.remote.number is not None

    def both(self) -> tuple[Side, Side]:
        return self.local, self.remote


def sides_of(session: Session, model: type[Model]) -> Sides | None:
    """Return the table of `model` on both sides; None where REMOTE's keys cannot be found by SQL."""
    if generic_keys(model) or is_known_by_nature(model):
        return None
    local = _Maker(session, model, session.local, translates=True)
    remote = _Maker(session, model, session.remote, translates=False)
    if not local.is_possible or not remote.is_possible:
        return None
    return Sides(local.side(remote), remote.side(local))


class _Maker:
    """Puts a side together."""

    def __init__(self, session: Session, model: type[Model], database: Database, translates: bool) -> None:
        self._session, self._model, self._database, self._translates = session, model, database, translates
        self.digests = database.backend.digests("L" if translates else "R")
        self._joins: list[str] = []
        with self.digests.session():
            self._types = self.digests.types(Table(model).name)
            own, table = key_fields(model), Table(model)
            self._keys = [self._column(field, is_key=True) for field in own]
            self._values = [self._column(field) for field in table.fields if field not in own]
            self.is_possible = None not in (*self._keys, *self._values)
            self.columns = [column for column in (*self._keys, *self._values) if column is not None]

    def side(self, other: _Maker) -> Side:
        """Return this side, whose digests are those of the `other` one, too."""
        database, digests, own = self._database, self.digests, key_fields(self._model)
        with digests.session():
            keys = [column for column in self._keys if column is not None]
            remote_key = digests.text(keys)
            is_number = len(keys) == 1 and is_integer(own[0])
            is_looked_up = any(column.is_spelled for column in keys)
            number = keys[0].sql if is_number else None
            if number is not None and is_looked_up:
                number = digests.as_number.format(number)
            if is_looked_up:
                # A row whose key on REMOTE is not known has no text.
                known = " AND ".join(f"{column.sql} IS NOT NULL" for column in keys)
                remote_key = f"CASE WHEN {known} THEN {remote_key} END"
            # A number is the seed of the server's own digest, which needs no key beside it.
            first = len(keys) if is_number else 0
            digest = digests.own_row(
                self.columns[first:], other.columns[first:], number, remote_key, other.digests.connection
            )
        codec = Codec(own, database.connection)
        table = f"{quoted(database.connection, Table(self._model).name)} AS {T}"
        return Side(
            database,
            digests,
            table,
            table + "".join(self._joins),
            ", ".join(codec.spelled.get(f.column, "{}").format(self._sql(f)) for f in own),
            codec,
            self._sql(own[0]) if is_number and not keys[0].is_spelled else None,
            remote_key,
            number,
            digest or digests.row(self.columns),
        )

    def _sql(self, field: AnyField) -> str:
        return f"{T}.{quoted(self._database.connection, field.column)}"

    def _type(self, field: AnyField) -> ColumnType | None:
        return self._types.get(field.column.lower())

    def _column(self, field: AnyField, is_key: bool = False) -> Column | None:
        """Return the column with REMOTE's keys in it; None where these cannot be found by SQL."""
        target, type_ = column_field(field), self._type(field)
        sql = self._sql(field)
        plain = Column(
            sql,
            type_,
            kind_of(field) if is_plain(field) else None,
            getattr(target, "max_digits", None),
            getattr(target, "decimal_places", None),
        )
        way: _Way | None = _SAME
        if points_at_rows(field):
            model = target_of(field)
            way = _SAME if model is None else _way_of(self._session, model)
        elif is_key and keeps_references(self._model):
            way = _Way(self._model)
        if way is _SAME:
            return plain
        if way is None or not is_integer(field):
            return None
        if not self._translates:
            spelled = self.digests.spelled(plain)
            return None if spelled is None else self._spelled(self.digests.as_text.format(spelled[0]))
        other = self._looked_up(way, sql)
        text = self.digests.as_text.format(other)
        if is_key:
            return self._spelled(text)
        return self._spelled(
            f"CASE WHEN {sql} IS NOT NULL THEN COALESCE({text}, {self.digests.stranger}) END"
        )

    def _spelled(self, sql: str) -> Column:
        return Column(sql, is_spelled=True)

    def _looked_up(self, way: _Way, sql: str) -> str:
        """Return SQL of REMOTE's key of the row that LOCAL's key names."""
        if way.named is not None:
            cases = "".join(f" WHEN {key:d} THEN {other:d}" for key, other in way.named.items())
            return f"CASE {sql}{cases} END" if cases else "NULL"
        name = f"synchro_{len(self._joins)}"
        join, other = joined(self._database, self._session.peer.pk, way.model, sql, name)
        self._joins.append(join)
        baseline = self._session.baselines.get(way.model, 0)
        return f"COALESCE({other}, CASE WHEN {sql} <= {baseline:d} THEN {sql} END)" if baseline else other


@dataclass(frozen=True)
class _Way:
    """How REMOTE's keys of the rows of a model are found."""

    model: type[Model]
    #: LOCAL's keys to REMOTE's, of a model with few rows; None where references have them.
    named: Mapping[int, int] | None = None


#: In place of a way: the key is the same on both sides.
_SAME = _Way(Model)


def _way_of(session: Session, model: type[Model]) -> _Way | None:
    if is_known_by_nature(model):
        return _named(session, model)
    if keeps_references(model):
        return _Way(model)
    own = key_fields(model)
    if len(own) == 1 and points_at_rows(own[0]):
        target = target_of(own[0])
        return _SAME if target is None else _way_of(session, target)
    return _SAME if len(own) == 1 else None


def _named(session: Session, model: type[Model]) -> _Way | None:
    own = key_fields(model)[0]
    query = model._base_manager.using(session.local.alias).values_list(own.attname, flat=True)
    keys = list(query[: MOST_NAMED + 1])
    if len(keys) > MOST_NAMED or not is_integer(own):
        return None
    found = Identities(session, Rows(session.local), {}).find(model, keys)
    return _Way(model, {key: i.remote for key, i in found.items() if i.exists and i.remote is not None})
