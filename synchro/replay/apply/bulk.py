"""
Wholesale: a batch of plain rows that REMOTE has left alone is replayed without a look at each object.

What the other steps decide for each object is the same for all of them here, so the log is read as keys, rows go from
one database to the other as they are, and statements over many rows find out which of them are new. Where a batch is
not as plain as that, nothing is written, and it goes the usual way.

REMOTE's rows are locked by being written. So whether REMOTE has changes of its own is asked after that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import Model

from synchro.exceptions import SynchroError
from synchro.keys import AnyField, Key
from synchro.relations import parents_first, target_of
from synchro.replay.apply.bulk_plan import BulkPlan, Named, NotBulk
from synchro.replay.apply.bulk_rows import BulkRows
from synchro.replay.apply.receivers import has_receivers_of_deletes
from synchro.replay.apply.server_cascades import made_by_hand
from synchro.replay.checkpoint import new_pairs
from synchro.replay.columns import look_at_columns
from synchro.replay.conflicts.remote_changes import has_remote_changes
from synchro.replay.dependent_rows import is_depended_on
from synchro.replay.identity.identities import Identities, keeps_references
from synchro.replay.identity.natural_keys import has_natural_key
from synchro.replay.identity.references import remote_keys
from synchro.replay.identity.successors import successors_of
from synchro.replay.log.remote_log import RemoteLog
from synchro.replay.plan import Plan, Tally
from synchro.replay.rows import Rows
from synchro.replay.session import Session


@dataclass(frozen=True)
class BulkOutcome:
    """What became of a parcel."""

    #: What its rows point at.
    identities: Identities
    tally: Tally = field(default_factory=Tally)
    #: The objects that are gone, of models with references.
    plan: Plan = field(default_factory=Plan)
    #: LOCAL's and REMOTE's keys of objects that are not remembered yet.
    pairs: dict[type[Model], dict[Key, Key]] = field(default_factory=dict)

    def translate(self, field: AnyField, values: Collection[Any]) -> Mapping[Any, Any]:
        """
        What these values of a foreign key are on REMOTE.

        Raises `NotBulk` where REMOTE lacks a row.
        """
        target = target_of(field)
        assert target is not None, f"{field} holds no keys"
        made = self.pairs.get(target, {})
        known = self.identities.find(target, [v for v in values if v is not None and v not in made])
        if not all(identity.exists for identity in known.values()):
            raise NotBulk
        return {None: None, **made, **{value: identity.remote for value, identity in known.items()}}


def apply_in_bulk(session: Session, log: RemoteLog, parcel: BulkPlan) -> BulkOutcome:
    """
    Write the batch, inside REMOTE's transaction.

    Raises `NotBulk` where it has to go the usual way; then nothing is written.
    """
    delivered = BulkOutcome(Identities(session, Rows(session.local), {}))
    backend = session.remote.backend
    try:
        with transaction.atomic(using=session.remote.alias):
            by_model = {named.model: named for named in parcel.named}
            look_at_columns(session.remote, by_model)
            ways = [_bulk_identity(session, by_model[model], delivered) for model in parents_first(by_model)]
            for way in ways:
                way.put()
            for way in reversed(ways):
                way.remove()
                way.count()
            if has_remote_changes(log, parcel.models, parcel.first):
                raise NotBulk  # noqa: TRY301  what was written is rolled back
    except (NotBulk, SynchroError):
        raise
    except Exception as error:
        # The usual way finds out which row it is about.
        if backend.is_transient(error) or isinstance(error, MemoryError):
            raise
        raise NotBulk from error
    for model, pairs in new_pairs(delivered.plan, delivered.identities).items():
        delivered.pairs.setdefault(model, {}).update(pairs)
    for model in [model for model, pairs in delivered.pairs.items() if not pairs]:
        del delivered.pairs[model]
    return delivered


class _BulkIdentity(ABC):
    """How the rows of one model get to REMOTE."""

    def __init__(self, session: Session, named: Named, delivered: BulkOutcome) -> None:
        self._session, self._named, self._delivered = session, named, delivered
        self._model = named.model
        self._stock = BulkRows(session, named.model, delivered)
        #: LOCAL's keys of the rows that were written, and how many of them REMOTE did not have.
        self._here: set[Key] = set()
        self._added = self._removed = 0

    @abstractmethod
    def put(self) -> None:
        """Write the rows that LOCAL has."""

    @abstractmethod
    def remove(self) -> None:
        """Delete the others. What points at them was removed before."""

    def count(self) -> None:
        tally = self._delivered.tally
        changed = len(self._here) - self._added
        for counts, number in (
            (tally.added, self._added),
            (tally.changed, changed),
            (tally.deleted, self._removed),
        ):
            if number:
                counts[self._model] = number

    def _gone(self) -> list[Key]:
        return [key for key in self._named.all_keys() if key not in self._here]

    def _delete(self, keys: Sequence[Key]) -> None:
        """Delete the rows with these keys of REMOTE."""
        if keys:
            if has_receivers_of_deletes(self._model) or is_depended_on(self._session, self._model, keys):
                raise NotBulk
            if made_by_hand(self._session, self._model):
                raise NotBulk  # the server would touch other rows
            self._removed = self._stock.delete(keys)


class _SameKeys(_BulkIdentity):
    """The same row has the same key."""

    def put(self) -> None:
        for names, keys in self._named.keys.items():
            is_new = self._named.are_born(keys)
            fields = self._stock.fields if is_new else self._stock.fields_named(names)
            for asked, rows in self._stock.read(list(keys), fields):
                self._here.update(asked if len(rows) == len(asked) else self._stock.keys_of(rows))
                if is_new:
                    self._stock.insert(rows)
                    self._added += len(rows)
                elif missing := self._stock.change(fields, rows):
                    self._stock.insert(self._stock.rows(missing, self._stock.fields))
                    self._added += len(missing)
        if self._added:
            self._stock.pass_sequence(max(self._here))

    def remove(self) -> None:
        gone = self._gone()
        if not self._named.born.isdisjoint(gone):
            raise NotBulk  # what was born and is gone was never on REMOTE, whatever has its key there
        self._delete(gone)


class _References(_BulkIdentity):
    """REMOTE hands out the keys, and they are remembered."""

    def __init__(self, session: Session, named: Named, delivered: BulkOutcome) -> None:
        super().__init__(session, named, delivered)
        #: LOCAL's and REMOTE's keys of those that have no reference yet.
        self._pairs = delivered.pairs.setdefault(named.model, {})

    def put(self) -> None:
        for names, keys in self._named.keys.items():
            fields = self._stock.fields if self._named.are_born(keys) else self._stock.fields_named(names)
            for _asked, rows in self._stock.read(sorted(keys), fields):
                self._write(fields, rows)

    def remove(self) -> None:
        gone = self._gone()
        there = self._find(gone)
        copies = self._copies(gone, there)
        if not self._named.born.isdisjoint(copies):
            raise NotBulk  # what was born and is gone was never on REMOTE, whatever has its key there
        there |= copies
        if len(there) < len(gone) and has_natural_key(self._model):
            raise NotBulk  # REMOTE may have it all the same
        if there and has_natural_key(self._model) and successors_of(self._session, self._model, there):
            raise NotBulk  # made again, so that the row on REMOTE is another's by now
        self._delete(list(there.values()))
        if self._removed < len(there):
            raise NotBulk  # REMOTE may know a row that it has lost by another key
        if there:
            self._delivered.plan.obsolete_references[self._model] = list(there)
            self._delivered.plan.deletions[self._model] = {other: own for own, other in there.items()}

    def _find(self, keys: Collection[Key]) -> dict[Key, Key]:
        """
        REMOTE's keys of those of these objects that are known.

        LOCAL's rows are to be read before: with what a run in the other direction brings comes its reference.
        """
        made = {key: self._pairs[key] for key in keys if key in self._pairs} if self._pairs else {}
        return remote_keys(self._session, self._model, keys) | made

    def _copies(self, keys: Collection[Key], known: Collection[Key]) -> dict[Key, Key]:
        """Those of these objects that are not known, and that are on REMOTE under the same key since one was copied."""
        copied = self._session.baselines.get(self._model, 0)
        return {key: key for key in keys if key <= copied and key not in known} if copied else {}

    def _write(self, fields: Sequence[AnyField], rows: Sequence[Any]) -> None:
        keys = self._stock.keys_of(rows)
        self._here.update(keys)
        there = self._find(keys)
        copies = self._copies(keys, there)
        there |= copies
        if len(there) < len(keys):
            self._add({key: row for key, row in zip(keys, rows, strict=True) if key not in there}, fields)
            old = [(key, row) for key, row in zip(keys, rows, strict=True) if key in there]
            keys, rows = [key for key, _row in old], [row for _key, row in old]
        if rows and self._stock.change(fields, self._stock.with_keys(rows, [there[key] for key in keys])):
            raise NotBulk  # a row that REMOTE has lost comes back under the key that it had
        self._pairs |= copies

    def _add(self, new: Mapping[Key, Any], fields: Sequence[AnyField]) -> None:
        """Insert these rows, by LOCAL's key, of which `fields` are there."""
        if has_natural_key(self._model):
            raise NotBulk  # it may be one that REMOTE has
        if len(fields) < len(self._stock.fields):
            rows = self._stock.rows(list(new), self._stock.fields)
            new = dict(zip(self._stock.keys_of(rows), rows, strict=True))
        keys = sorted(new)  # so that REMOTE's keys are in the order of LOCAL's
        there = self._stock.insert_with_new_keys([new[key] for key in keys])
        self._pairs.update(zip(keys, there, strict=True))
        self._added += len(keys)


def _bulk_identity(session: Session, named: Named, delivered: BulkOutcome) -> _BulkIdentity:
    kind = _References if keeps_references(named.model) else _SameKeys
    return kind(session, named, delivered)
