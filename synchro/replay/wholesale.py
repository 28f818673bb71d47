"""
Wholesale: a batch of plain rows that REMOTE has left alone is replayed without a look at each object.

What the other steps decide for each object is the same for all of them here, so the log is read as keys, rows go from
one database to the other as they are, and statements over many rows find out which of them are new. Where a batch is
not as plain as that, nothing is written, and it goes the usual way.

REMOTE's rows are locked by being written. So whether REMOTE has changes of its own is asked after that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DatabaseError, transaction
from django.db.models import Model

from synchro.keys import AnyField, Key
from synchro.replay.acknowledge import new_pairs
from synchro.replay.delete import dependents, pointing_at
from synchro.replay.identify import Identities, keeps_references, target_of
from synchro.replay.link import Link
from synchro.replay.listeners import hears_deletes
from synchro.replay.log import Log
from synchro.replay.natural import has_natural_key
from synchro.replay.order import parents_first
from synchro.replay.parcel import Named, NotPlain, Parcel
from synchro.replay.read import Rows, select
from synchro.replay.references import remote_keys
from synchro.replay.resolve import Plan
from synchro.replay.stock import Stock, Targets
from synchro.replay.write import Tally


@dataclass(frozen=True)
class Delivered:
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

        Raises `NotPlain` where REMOTE lacks a row.
        """
        target = target_of(field)
        assert target is not None, f"{field} holds no keys"
        made = self.pairs.get(target, {})
        known = self.identities.find(target, [v for v in values if v is not None and v not in made])
        if not all(identity.exists for identity in known.values()):
            raise NotPlain
        return {None: None, **made, **{value: identity.remote for value, identity in known.items()}}


def deliver(link: Link, log: Log, parcel: Parcel) -> Delivered:
    """
    Write the batch, inside REMOTE's transaction.

    Raises `NotPlain` where it has to go the usual way; then nothing is written.
    """
    delivered = Delivered(Identities(link, Rows(link.local), {}))
    engine = link.remote.engine
    try:
        with transaction.atomic(using=link.remote.alias):
            by_model = {named.model: named for named in parcel.named}
            for named in map(by_model.__getitem__, parents_first(by_model)):
                way = _deliver_by_reference if keeps_references(named.model) else _deliver_by_same_key
                way(link, named, delivered)
            if not log.is_quiet_about(parcel.models, parcel.first):
                raise NotPlain
    except (DatabaseError, ValidationError, ValueError, ArithmeticError) as error:
        if engine.is_passing(error):
            raise
        raise NotPlain from error
    for model, pairs in new_pairs(delivered.plan, delivered.identities).items():
        delivered.pairs.setdefault(model, {}).update(pairs)
    return delivered


def _deliver_by_same_key(link: Link, named: Named, delivered: Delivered) -> None:
    stock = Stock(link, named.model, delivered)
    here: set[Key] = set()
    added = 0
    for names, keys in named.keys.items():
        is_new = named.are_born(keys)
        fields = stock.fields if is_new else stock.fields_named(names)
        for asked, rows in stock.read(list(keys), fields):
            here.update(asked if len(rows) == len(asked) else stock.keys_of(rows))
            if is_new:
                stock.insert(rows)
                added += len(rows)
            elif missing := stock.change(fields, rows):
                stock.insert(stock.rows(missing, stock.fields))
                added += len(missing)
    if added:
        stock.pass_sequence(max(here))
    gone = [key for key in named.all_keys() if key not in here]
    if gone and not named.born.isdisjoint(gone):
        raise NotPlain  # what was born and is gone was never on REMOTE, whatever has its key there
    deleted = _delete(link, stock, named.model, gone)
    _count(delivered.tally, named.model, added, len(here) - added, deleted)


def _deliver_by_reference(link: Link, named: Named, delivered: Delivered) -> None:
    rows = _Remembered(link, named, delivered)
    rows.put()
    gone = [key for key in named.all_keys() if key not in rows.here]
    there = rows.find(gone)
    copies = rows.copies(gone, there)
    if not named.born.isdisjoint(copies):
        raise NotPlain  # what was born and is gone was never on REMOTE, whatever has its key there
    there |= copies
    if len(there) < len(gone) and has_natural_key(named.model):
        raise NotPlain  # REMOTE may have it all the same
    if _delete(link, rows.stock, named.model, list(there.values())) < len(there):
        raise NotPlain  # REMOTE may know a row that it has lost by another key
    if there:
        delivered.plan.forgotten[named.model] = list(there)
        delivered.plan.removals[named.model] = {remote: local for local, remote in there.items()}
    if rows.pairs:
        delivered.pairs[named.model] = rows.pairs
    _count(delivered.tally, named.model, rows.added, len(rows.here) - rows.added, len(there))


class _Remembered:
    """Writes LOCAL's rows of a model to which REMOTE gives keys of its own."""

    def __init__(self, link: Link, named: Named, targets: Targets) -> None:
        self._link, self._named = link, named
        self.stock = Stock(link, named.model, targets)
        #: LOCAL's keys of the rows that were written, and how many of them REMOTE did not have.
        self.here: set[Key] = set()
        self.added = 0
        #: LOCAL's and REMOTE's keys of those that have no reference yet.
        self.pairs: dict[Key, Key] = {}

    def put(self) -> None:
        for names, keys in self._named.keys.items():
            fields = self.stock.fields if self._named.are_born(keys) else self.stock.fields_named(names)
            for _asked, rows in self.stock.read(sorted(keys), fields):
                self._write(fields, rows)

    def find(self, keys: Collection[Key]) -> dict[Key, Key]:
        """
        REMOTE's keys of those of these objects that are known.

        LOCAL's rows are to be read before: with what a run in the other direction brings comes its reference.
        """
        made = {key: self.pairs[key] for key in keys if key in self.pairs} if self.pairs else {}
        return remote_keys(self._link, self._named.model, keys) | made

    def copies(self, keys: Collection[Key], known: Collection[Key]) -> dict[Key, Key]:
        """Those of these objects that are not known, and that are on REMOTE under the same key since one was copied."""
        copied = self._link.baselines.get(self._named.model, 0)
        return {key: key for key in keys if key <= copied and key not in known} if copied else {}

    def _write(self, fields: Sequence[AnyField], rows: Sequence[Any]) -> None:
        keys = self.stock.keys_of(rows)
        self.here.update(keys)
        there = self.find(keys)
        copies = self.copies(keys, there)
        there |= copies
        if len(there) < len(keys):
            self._add({key: row for key, row in zip(keys, rows, strict=True) if key not in there}, fields)
            old = [(key, row) for key, row in zip(keys, rows, strict=True) if key in there]
            keys, rows = [key for key, _row in old], [row for _key, row in old]
        if rows and self.stock.change(fields, self.stock.with_keys(rows, [there[key] for key in keys])):
            raise NotPlain  # a row that REMOTE has lost comes back under the key that it had
        self.pairs |= copies

    def _add(self, new: Mapping[Key, Any], fields: Sequence[AnyField]) -> None:
        """Insert these rows, by LOCAL's key, of which `fields` are there."""
        if has_natural_key(self._named.model):
            raise NotPlain  # it may be one that REMOTE has
        if len(fields) < len(self.stock.fields):
            rows = self.stock.rows(list(new), self.stock.fields)
            new = dict(zip(self.stock.keys_of(rows), rows, strict=True))
        keys = sorted(new)  # so that REMOTE's keys are in the order of LOCAL's
        there = self.stock.insert_with_new_keys([new[key] for key in keys])
        self.pairs.update(zip(keys, there, strict=True))
        self.added += len(keys)


def _delete(link: Link, stock: Stock, model: type[Model], keys: Sequence[Key]) -> int:
    """Delete the rows with these keys of REMOTE, and return how many there were."""
    if not keys:
        return 0
    if hears_deletes(model) or is_depended_on(link, model, keys):
        raise NotPlain
    return stock.delete(keys)


def is_depended_on(link: Link, model: type[Model], keys: Sequence[Key]) -> bool:
    """Whether REMOTE may have rows that point at one of these."""
    if any(hasattr(f, "bulk_related_objects") for f in model._meta.private_fields):
        return True
    columns = {column for _child, column, _rule in dependents(model)}
    columns |= {column for column, _rule in pointing_at(model)}
    return any(
        target_of(column) is not model
        or select(link.remote, column.model, [column], [column], [(key,) for key in keys])
        for column in columns
    )


def _count(tally: Tally, model: type[Model], added: int, changed: int, deleted: int) -> None:
    for counts, number in ((tally.added, added), (tally.changed, changed), (tally.deleted, deleted)):
        if number:
            counts[model] = number
