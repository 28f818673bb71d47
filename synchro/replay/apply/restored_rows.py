"""
Insert again, as they were, rows that code of others deleted on REMOTE and that LOCAL has.

A server may look at each row by itself, whether what it points at is there already. So what others point at comes
first; where rows point at each other in a circle, they do so once all are there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from django.db import IntegrityError, transaction
from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.exceptions import Culprit, Refused
from synchro.keys import AnyField, Key, to_text
from synchro.relations import parents_first
from synchro.replay.columns import Codec
from synchro.replay.guests.guard import Guest
from synchro.replay.guests.recorder import columns
from synchro.replay.guests.touched import Touched
from synchro.replay.identity.identities import existing_keys
from synchro.replay.log.changes import RowId
from synchro.replay.log.pending import pending_entries
from synchro.replay.rows import select
from synchro.replay.session import Database, Session

#: By REMOTE's keys: LOCAL's key, and the row as it was, in the order of `columns`.
Lost: TypeAlias = dict[Key, tuple[Key, list[Any]]]


class RestoredRows:
    """
    The rows to insert again, `deleted` are those that are gone, each with LOCAL's keys of those that LOCAL knows.

    What a later batch is about comes back with that one, unless another row needs it now.
    """

    def __init__(
        self,
        session: Session,
        deleted: Mapping[type[Model], Mapping[Key, Touched]],
        owners: Mapping[type[Model], Mapping[Key, Key]],
    ) -> None:
        self._session, self._deleted = session, deleted
        lost = {model: self._lost(model, owners[model]) for model in deleted}
        later = {model: self._later(model, rows) for model, rows in lost.items()}
        self._rows: dict[type[Model], Lost] = {model: {} for model in lost}
        needed = _Needed(lost)
        waiting = [(model, key) for model, rows in lost.items() for key in rows if key not in later[model]]
        while waiting:
            model, key = waiting.pop()
            if key not in self._rows[model]:
                self._rows[model][key] = lost[model][key]
                waiting += needed.by(model, lost[model][key][1])

    def _lost(self, model: type[Model], owners: Mapping[Key, Key]) -> Lost:
        """Those that LOCAL has."""
        present = existing_keys(self._session.local, model, list(owners.values())) if owners else set()
        before = self._deleted[model]
        return {
            remote_key: (key, list(before[remote_key].before))
            for remote_key, key in owners.items()
            if key in present
        }

    def _later(self, model: type[Model], lost: Lost) -> set[Key]:
        entries = (
            pending_entries(self._session, [(model, key) for key, _row in lost.values()]) if lost else []
        )
        keys = {entry.key for entry in entries}
        return {remote_key for remote_key, (key, _row) in lost.items() if key in keys}

    def insert(self) -> dict[type[Model], dict[Key, list[Any]]]:
        """
        Insert them, and return those that still lack references to rows which come later, as they are to be.

        Raises `Refused` where one cannot be inserted.
        """
        rest: dict[type[Model], dict[Key, list[Any]]] = {}
        for model in parents_first(self._rows):
            rows = {key: row for key, (_own, row) in self._rows[model].items()}
            if rows and self._insert(model, rows) is not None:
                rest[model] = self._insert_in_order(model, rows)
        return {model: rows for model, rows in rest.items() if rows}

    def _insert_in_order(self, model: type[Model], rows: dict[Key, list[Any]]) -> dict[Key, list[Any]]:
        """What others of the rows point at first; where none is left that points at nothing, without the reference."""
        incomplete: dict[Key, list[Any]] = {}
        while rows:
            missing = self._missing(model, rows)
            free = {key: row for key, row in rows.items() if not missing[key]}
            if not free:
                key, row = next(iter(rows.items()))
                incomplete[key] = row
                free = {key: [None if place in missing[key] else value for place, value in enumerate(row)]}
            error = self._insert(model, free)
            if error is not None:
                remote_key = next(iter(free))
                lost = f"{model._meta.label} {to_text(model, self._rows[model][remote_key][0])}"
                raise refused_deletion(self._deleted[model][remote_key].guest, lost) from error
            rows = {key: row for key, row in rows.items() if key not in free}
        return incomplete

    def _missing(self, model: type[Model], rows: Mapping[Key, Sequence[Any]]) -> dict[Key, set[int]]:
        """The places of the columns in which a row points at one that REMOTE lacks."""
        found: dict[Key, set[int]] = {key: set() for key in rows}
        for place, column in enumerate(columns(model)):
            if column.remote_field is None or not column.db_constraint:
                continue
            lacking = lacking_values(
                self._session.remote, column.target_field, {row[place] for row in rows.values()} - {None}
            )
            for key, row in rows.items():
                if row[place] in lacking:
                    found[key].add(place)
        return found

    def _insert(self, model: type[Model], rows: Mapping[Key, Sequence[Any]]) -> IntegrityError | None:
        """Insert them all, or none and return why not."""
        remote, fields = self._session.remote, columns(model)
        encoded = Codec(fields, remote.connection).encode_all([list(row) for row in rows.values()])
        try:
            with transaction.atomic(using=remote.alias):
                remote.backend.insert(model._meta.db_table, [field.column for field in fields], encoded)
        except IntegrityError as error:
            return error
        return None


def lacking_values(database: Database, target: AnyField, values: Collection[Any]) -> set[Any]:
    """Those of these values of a column that no row has."""

    def found(some: Collection[Any]) -> list[Sequence[Any]]:
        return select(database, target.model, [target], [target], [(value,) for value in some])

    missing = set(values) - {value for (value,) in found(values)}
    return {value for value in missing if not found([value])}  # the database may find it spelled otherwise


class _Needed:
    """Finds the lost rows that others point at."""

    def __init__(self, lost: Mapping[type[Model], Lost]) -> None:
        self._lost = lost
        self._by_value: dict[AnyField, dict[Any, Key]] = {}

    def by(self, model: type[Model], row: Sequence[Any]) -> Iterator[RowId]:
        for value, column in zip(row, columns(model), strict=True):
            if value is None or column.remote_field is None or not column.db_constraint:
                continue
            key = self._index(column.target_field).get(value)
            if key is not None:
                yield column.target_field.model, key

    def _index(self, field: AnyField) -> dict[Any, Key]:
        if field not in self._by_value:
            rows = self._lost.get(field.model, {})
            place = columns(field.model).index(field) if rows else 0
            self._by_value[field] = {row[place]: key for key, (_own, row) in rows.items()}
        return self._by_value[field]


def refused_deletion(guest: Guest, row: str) -> Refused:
    """Return the error about code of others that has deleted this row, or so many of this table."""
    names = {**guest.names(), "row": row}
    text = _(
        "%(model)s %(key)s: %(code)s ran for REMOTE's object and deleted %(row)s there, which LOCAL has, and which "
        "cannot be brought back. The batch was rolled back. Leave it out: %(setting)s."
    )
    cause = _("%(code)s deleted %(row)s on REMOTE, which LOCAL has")
    culprits = [] if guest.key is None else [Culprit(guest.model, guest.key, cause % names)]
    return Refused(text % names, culprits)
