"""
Write the rows of one model to REMOTE in bulk.

REMOTE's rows are locked by being written. So whether REMOTE has changes of its own is asked once more after that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.db.models import Model

from synchro.exceptions import SynchroError
from synchro.keys import AnyField, Key, key_fields
from synchro.natural import natural_fields
from synchro.replay.apply.bulk.eligible import NotBulk, ends_of
from synchro.replay.apply.bulk.entries import Named
from synchro.replay.apply.bulk.rows import BulkRows
from synchro.replay.apply.deletions import delete_rows
from synchro.replay.apply.receivers import has_receivers_of_deletes
from synchro.replay.apply.server_cascades import made_by_hand
from synchro.replay.dependent_rows import is_depended_on
from synchro.replay.identity.identities import Identities, existing_keys
from synchro.replay.identity.models import keeps_references
from synchro.replay.identity.natural_keys import finder, has_natural_key
from synchro.replay.identity.successors import successors_of
from synchro.replay.plan import Plan
from synchro.replay.rows import as_key, select
from synchro.replay.session import Session


class BulkWriter(ABC):
    def __init__(self, session: Session, named: Named, plan: Plan, identities: Identities) -> None:
        self._session, self._named, self._plan, self._identities = session, named, plan, identities
        self._model = named.model
        #: LOCAL's keys of the rows that were written, and how many of them REMOTE did not have.
        self.written: set[Key] = set()
        self.added = 0

    @property
    def changed(self) -> int:
        """Return how many of the rows that were written REMOTE had."""
        return len(self.written) - self.added

    def put(self) -> None:
        """Write the rows that LOCAL has."""
        with self._refused_as_a_whole():
            self._put()
        self._plan.bulk[self._model] = self.written

    @abstractmethod
    def _put(self) -> None:
        """Write the rows that LOCAL has."""

    def plan_deletions(self) -> None:
        """Add to the plan what is to be deleted: the rows that LOCAL has not."""
        gone = [key for key in self._named.all_keys() if key not in self.written]
        if gone:
            with self._refused_as_a_whole():
                self._plan_deletions(gone)

    @abstractmethod
    def _plan_deletions(self, gone: Sequence[Key]) -> None:
        """Add to the plan the removal of these objects, of which LOCAL has no row."""

    def remove(self, keys: Sequence[Key]) -> int:
        """Delete these rows of REMOTE, and return how many there were. What points at them was removed before."""
        with self._refused_as_a_whole():
            if has_receivers_of_deletes(self._model) or is_depended_on(self._session, self._model, keys):
                raise NotBulk(self._model)
            if made_by_hand(self._session, self._model):
                raise NotBulk(self._model)  # the server would touch other rows
            count = delete_rows(self._session, self._model, keys)
            if count < len(keys) and keeps_references(self._model):
                raise NotBulk(self._model)  # REMOTE may know a row that it has lost by another key
            return count

    @contextmanager
    def _refused_as_a_whole(self) -> Iterator[None]:
        """Inside, an error that may be about a row is raised as `NotBulk`: object by object it is found out which."""
        try:
            yield
        except (NotBulk, SynchroError):
            raise
        except Exception as error:
            if self._session.remote.backend.is_transient(error) or isinstance(error, MemoryError):
                raise
            raise NotBulk(self._model) from error


class _Rows(BulkWriter):
    """Rows of a model."""

    def __init__(self, session: Session, named: Named, plan: Plan, identities: Identities) -> None:
        super().__init__(session, named, plan, identities)
        self._rows = BulkRows(session, named.model, identities)


class _SameKeys(_Rows):
    """The same row has the same key."""

    def _put(self) -> None:
        for names, keys in self._named.keys.items():
            is_new = self._named.are_born(keys)
            fields = self._rows.fields if is_new else self._rows.fields_named(names)
            for asked, rows in self._rows.read(list(keys), fields):
                self.written.update(asked if len(rows) == len(asked) else self._rows.keys_of(rows))
                if is_new:
                    self._rows.insert(rows)
                    self.added += len(rows)
                elif missing := self._rows.change(fields, rows):
                    self._rows.insert(self._rows.rows(missing, self._rows.fields))
                    self.added += len(missing)
        if self.added:
            self._rows.pass_sequence(max(self.written))
        self._identities.note_written(self._model, self.written, {})

    def _plan_deletions(self, gone: Sequence[Key]) -> None:
        if not self._named.born.isdisjoint(gone):
            raise NotBulk(
                self._model
            )  # what was born and is gone was never on REMOTE, whatever has its key there
        self._plan.deletions[self._model] = dict(zip(gone, gone, strict=True))


class _References(_Rows):
    """REMOTE hands out the keys, and they are remembered."""

    def __init__(self, session: Session, named: Named, plan: Plan, identities: Identities) -> None:
        super().__init__(session, named, plan, identities)
        self._is_natural = has_natural_key(named.model)

    def _put(self) -> None:
        for names, keys in self._named.keys.items():
            fields = self._rows.fields if self._named.are_born(keys) else self._rows.fields_named(names)
            for _asked, rows in self._rows.read(sorted(keys), fields):
                self._write(fields, rows)

    def _plan_deletions(self, gone: Sequence[Key]) -> None:
        # LOCAL's rows were read before: with what a run in the other direction brings comes its reference.
        remembered, copied = self._identities.candidates(self._model, gone)
        if not self._named.born.isdisjoint(copied):
            raise NotBulk(
                self._model
            )  # what was born and is gone was never on REMOTE, whatever has its key there
        remote_keys = remembered | copied
        if self._is_natural and (
            len(remote_keys) < len(gone)  # REMOTE may have it all the same
            or successors_of(
                self._session, self._model, remote_keys
            )  # made again: the row on REMOTE is another's by now
            or self._identities.matched(self._model, remote_keys.values())
            or self._is_made_again(remote_keys.values())
        ):
            raise NotBulk(self._model)
        if remote_keys:
            self._plan.obsolete_references[self._model] = list(remote_keys)
            self._plan.deletions[self._model] = {remote: key for key, remote in remote_keys.items()}

    def _is_made_again(self, remote: Collection[Key]) -> bool:
        """Return whether LOCAL has a row, of a later batch perhaps, with the natural key of one of these of REMOTE."""
        is_by_columns = natural_fields(self._model) is not None
        return is_by_columns and bool(self._identities.natural_owners(self._model, remote))

    def _write(self, fields: Sequence[AnyField], rows: Sequence[Any]) -> None:
        keys = self._rows.keys_of(rows)
        self.written.update(keys)
        remembered, copied = self._identities.candidates(self._model, keys)
        remote_keys = remembered | copied
        if self._is_natural and len(remote_keys) < len(keys):
            remote_keys |= self._by_natural_key([key for key in keys if key not in remote_keys])
        if len(remote_keys) < len(keys):
            self._add(
                {key: row for key, row in zip(keys, rows, strict=True) if key not in remote_keys}, fields
            )
            old = [(key, row) for key, row in zip(keys, rows, strict=True) if key in remote_keys]
            keys, rows = [key for key, _row in old], [row for _key, row in old]
        if rows and self._rows.change(fields, self._rows.with_keys(rows, [remote_keys[key] for key in keys])):
            raise NotBulk(self._model)  # a row that REMOTE has lost comes back under the key that it had
        self._identities.note_written(self._model, keys, copied)

    def _by_natural_key(self, keys: Sequence[Key]) -> dict[Key, Key]:
        """Return REMOTE's keys of those of these objects, of which no reference is known, that it has."""
        if finder(self._model) is not None:
            raise NotBulk(self._model)  # the model's own manager has to say that of each
        found = self._identities.by_natural_key(self._model, keys)
        if found is None:
            raise NotBulk(self._model)
        return found

    def _add(self, new: Mapping[Key, Any], fields: Sequence[AnyField]) -> None:
        """Insert these rows, by LOCAL's key, of which `fields` are there."""
        if len(fields) < len(self._rows.fields):
            rows = self._rows.rows(list(new), self._rows.fields)
            new = dict(zip(self._rows.keys_of(rows), rows, strict=True))
        keys = sorted(new)  # so that REMOTE's keys are in the order of LOCAL's
        remote_keys = self._rows.insert_with_new_keys([new[key] for key in keys])
        self._identities.note_written(self._model, keys, dict(zip(keys, remote_keys, strict=True)))
        self.added += len(keys)


class _Members(BulkWriter):
    """Rows of an automatic many-to-many table, which are nothing but pairs of keys."""

    #: The pairs that REMOTE did not have.
    _new: Collection[Key] = ()

    @property
    def changed(self) -> int:
        return len(self.written & self._named.keys.get(None, {}).keys() - set(self._new))

    def _put(self) -> None:
        ends, remote = key_fields(self._model), self._session.remote
        named = list(self._named.all_keys())
        self.written = {as_key(row) for row in select(self._session.local, self._model, ends, ends, named)}
        remote_keys = self._translated(self.written)
        if len(remote_keys) < len(self.written):
            raise NotBulk(self._model)  # what REMOTE lacks of an end comes along
        present = existing_keys(remote, self._model, list(remote_keys.values()), lock=True)
        self._new = {pair for pair, key in remote_keys.items() if key not in present}
        rows = [remote_keys[pair] for pair in self._new]
        remote.backend.insert(self._model._meta.db_table, [field.column for field in ends], rows)
        self.added = len(rows)

    def _plan_deletions(self, gone: Sequence[Key]) -> None:
        remote_keys = {remote: pair for pair, remote in self._translated(gone).items()}
        present = existing_keys(self._session.remote, self._model, list(remote_keys), lock=True)
        if present:
            self._plan.deletions[self._model] = {remote: remote_keys[remote] for remote in present}

    def _translated(self, pairs: Collection[Key]) -> dict[Key, Key]:
        """Return these pairs in REMOTE's keys, but for those of which it lacks an end."""
        first, second = (
            self._identities.remote_keys(target, {pair[place] for pair in pairs})
            for place, target in enumerate(ends_of(self._model))
        )
        return {
            (near, far): (first[near], second[far]) for near, far in pairs if near in first and far in second
        }


def bulk_writer(session: Session, named: Named, plan: Plan, identities: Identities) -> BulkWriter:
    """Return what writes these rows."""
    kind: type[BulkWriter] = _References if keeps_references(named.model) else _SameKeys
    if named.model._meta.auto_created:
        kind = _Members
    return kind(session, named, plan, identities)


def bulk_writers(
    session: Session, named: Mapping[type[Model], Named], plan: Plan, identities: Identities
) -> dict[type[Model], BulkWriter]:
    """Return what writes the rows of these models."""
    return {model: bulk_writer(session, each, plan, identities) for model, each in named.items()}
