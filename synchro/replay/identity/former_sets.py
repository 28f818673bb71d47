"""
Former sets: entries of a many-to-many set whose rows are those of a model.

A set has a model of its own when its automatic table became that of a model while entries waited, or when the rows
of a symmetrical set were mirrored, of which Django sends no signal. What such an entry says of two objects it says of
the model's rows that join them: those that LOCAL has are to be compared as a whole. A pair that LOCAL has not any more
is a deletion, which finds REMOTE's row by its natural key, the pair.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from django.db import DatabaseError, transaction
from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.exceptions import NotReady
from synchro.keys import AnyField, Key, key_fields, value_to_text
from synchro.models import NamedTable
from synchro.natural import natural_fields
from synchro.registry import is_watched
from synchro.relations import ends_of_set, target_of
from synchro.replay.identity.identities import Identities, keeps_references, uses_same_key
from synchro.replay.log.changes import M2M, Change, Changes, SetChange
from synchro.replay.plan import Pair
from synchro.replay.rows import Rows, select
from synchro.replay.session import Database, Session


def name_rows(session: Session, changes: Changes) -> None:
    """Make of what `changes` says of such sets what it says of rows."""
    for m2m in [m2m for m2m in changes.sets if not m2m.through._meta.auto_created]:
        _Former(session, m2m, changes.sets.pop(m2m)).name_rows(changes)


def is_known_by_pair(model: type[Model]) -> bool:
    """Whether the rows of a set's model are found by the two objects that they join."""
    return keeps_references(model) and natural_fields(model) == ends_of_set(model)


def refuse_pairs_that_are_not_known(sender: Any, local: Any, **kwargs: Any) -> None:  # noqa: ARG001  a receiver takes them
    """
    Receive `synchro.replay.signals.starting`.

    Raise `NotReady` where the rows of what was an automatic table, which have other keys in each database, could not
    be found: they would be doubled, and what LOCAL deletes would stay.
    """
    for model in _made_of_tables(Database(local.alias)):
        ends = ends_of_set(model)
        if ends is not None and is_watched(model) and not is_known_by_pair(model):
            options: dict[str, Any] = {"IDENTITY": "reference"} if uses_same_key(model) else {}
            options["NATURAL_KEY"] = tuple(field.name for field in ends)
            raise NotReady(
                _(
                    "%(model)s was the automatic table of a many-to-many field. Its rows have other keys in each "
                    "database, and are known by the two objects that they join. Nothing was written. Say so in the "
                    "settings, and run synchronize again: SYNCHRO_MODEL_OPTIONS = {'%(model)s': %(options)s}."
                )
                % {"model": model._meta.label, "options": options}
            )


def _made_of_tables(side: Database) -> Iterator[type[Model]]:
    """The models whose tables `migrate` has seen under the name of an automatic one: that of an object and a field."""
    rows = NamedTable.objects.using(side.alias).filter(model__contains="_").exclude(successor=None)
    try:
        with transaction.atomic(using=side.alias):
            successors = list(rows.values_list("successor", flat=True).distinct())
    except DatabaseError:
        return  # its tables of synchro are older, which the handshake says
    for successor in successors:
        model = side.model_of(successor) if successor is not None else None
        if model is not None:
            yield model


class _Row(NamedTuple):
    key: Key
    #: As the model's foreign keys have them.
    pair: Pair


class _Former:
    """One set of one object."""

    def __init__(self, session: Session, m2m: M2M, change: SetChange) -> None:
        self._session, self._through, self._owner, self._change = session, m2m.through, m2m.key, change
        self._is_reverse = m2m.reverse
        ends = ends_of_set(m2m.through)
        assert ends is not None, "coalesce knows of no other sets"
        self._ends: tuple[AnyField, AnyField] = ends
        self._near = ends[1 if m2m.reverse else 0]
        self._named = {self._pair(member) for member in change.members}

    def name_rows(self, changes: Changes) -> None:
        present = list(self._present())
        for row in present:
            self._add(changes, row)
        if is_known_by_pair(self._through):
            pairs = self._named | (self._pairs_there() if self._change.whole else set())
            for pair in sorted(pairs - {row.pair for row in present}, key=repr):
                self._add_deletion(changes, pair)

    def _pair(self, member: Key) -> Pair:
        return (member, self._owner) if self._is_reverse else (self._owner, member)

    def _date(self, pair: Pair) -> datetime:
        dates = [self._change.changed_at(end) for end in pair]
        return max(date for date in (*dates, *self._change.dates()[:1]) if date is not None)

    def _present(self) -> Iterator[_Row]:
        """LOCAL's rows of which the entries say something; of a symmetrical set also the mirrored ones."""
        (own,) = key_fields(self._through)
        fields = [own, *self._ends]
        named = [*self._named, *(pair[::-1] for pair in self._named)]
        found = select(self._session.local, self._through, fields, self._ends, named)
        if self._change.whole:
            for end in self._ends if self._is_symmetrical() else (self._near,):
                found += select(self._session.local, self._through, fields, (end,), [(self._owner,)])
        for key, first, second in dict.fromkeys(map(tuple, found)):
            yield _Row(key, (first, second))

    def _is_symmetrical(self) -> bool:
        first, second = (target_of(end) for end in self._ends)
        return first is second

    def _pairs_there(self) -> set[Pair]:
        """LOCAL's names of the pairs that REMOTE has of this object."""
        owner, member = target_of(self._near), target_of(self._far)
        if owner is None or member is None:
            return set()
        identities = Identities(self._session, Rows(self._session.local), {})
        there = identities.remote_keys(owner, [self._owner]).get(self._owner)
        if there is None:
            return set()
        rows = select(self._session.remote, self._through, (self._far,), (self._near,), [(there,)])
        owners = identities.owners(member, {key for (key,) in rows})
        return {self._pair(key) for key in owners.values()}

    @property
    def _far(self) -> AnyField:
        return self._ends[0 if self._is_reverse else 1]

    def _add(self, changes: Changes, row: _Row) -> None:
        date = self._date(row.pair)
        known = changes.rows.setdefault((self._through, row.key), Change(self._through, row.key, date))
        known.date = max(known.date, date)
        known.whole = date if known.whole is None else max(known.whole, date)
        known.is_own = True

    def _add_deletion(self, changes: Changes, pair: Pair) -> None:
        texts = json.dumps([value_to_text(key) for key in pair])
        key, date = _key_of_none(texts), self._date(pair)
        changes.rows[self._through, key] = Change(
            self._through, key, date, whole=date, deleted=date, natural_key=texts, is_own=True
        )


def _key_of_none(texts: str) -> int:
    """A key that no row has, the same for the same pair each time: the row's own is not known."""
    return -1 - (int.from_bytes(hashlib.sha256(texts.encode()).digest()[:8]) >> 1)
