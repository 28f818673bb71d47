"""
Former sets: entries of a many-to-many set whose rows belong to a model of the project.

Either a migration made a model of the automatic table while entries waited, or Django mirrored the rows of a
symmetrical set, and sends no signal of that. What such an entry says of two objects is a change of the rows that join
them. A pair that LOCAL does not have any more is a deletion; its natural key, the pair, finds REMOTE's row.
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
from synchro.relations import ends_of_set, is_symmetrical, target_of
from synchro.replay.identity.identities import Identities, keeps_references, uses_same_key
from synchro.replay.log.changes import M2M, Change, Changes, SetChange
from synchro.replay.plan import Pair
from synchro.replay.rows import Rows, select
from synchro.replay.session import Database, Session


def name_rows(session: Session, changes: Changes) -> None:
    """Turn the changes of such sets into changes of rows."""
    for m2m in [m2m for m2m in changes.sets if not m2m.through._meta.auto_created]:
        _FormerSet(session, m2m, changes.sets.pop(m2m)).name_rows(changes)


def is_known_by_pair(model: type[Model]) -> bool:
    """Return whether the two objects that a row joins are its natural key."""
    return keeps_references(model) and natural_fields(model) == ends_of_set(model)


def refuse_pairs_that_are_not_known(sender: Any, local: Any, **kwargs: Any) -> None:  # noqa: ARG001  a receiver takes them
    """
    Receive `synchro.replay.signals.starting`.

    Raise `NotReady` where the rows of a former automatic table, which have other keys on REMOTE, could not be found
    there: they would be doubled, and what LOCAL deletes would stay.
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


def _made_of_tables(database: Database) -> Iterator[type[Model]]:
    """Yield the models whose tables had the name of an automatic table when an earlier `migrate` ran."""
    rows = NamedTable.objects.using(database.alias).filter(model__contains="_").exclude(successor=None)
    try:
        with transaction.atomic(using=database.alias):
            successors = list(rows.values_list("successor", flat=True).distinct())
    except DatabaseError:
        return  # synchro's tables are older here; the handshake says so
    for successor in successors:
        model = database.model_of(successor) if successor is not None else None
        if model is not None:
            yield model


class _Row(NamedTuple):
    key: Key
    #: The values of the model's foreign keys.
    pair: Pair


class _FormerSet:
    """The set of one object."""

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
            pairs = self._named | (self._remote_pairs() if self._change.whole else set())
            for pair in sorted(pairs - {row.pair for row in present}, key=repr):
                self._add_deletion(changes, pair)

    def _pair(self, member: Key) -> Pair:
        return (member, self._owner) if self._is_reverse else (self._owner, member)

    def _date(self, pair: Pair) -> datetime:
        dates = [self._change.changed_at(end) for end in pair]
        return max(date for date in (*dates, *self._change.dates()[:1]) if date is not None)

    def _present(self) -> Iterator[_Row]:
        """Yield LOCAL's rows that the entries are about; of a symmetrical set also the mirrored ones."""
        (own,) = key_fields(self._through)
        fields = [own, *self._ends]
        named = [*self._named, *(pair[::-1] for pair in self._named)]
        found = select(self._session.local, self._through, fields, self._ends, named)
        if self._change.whole:
            for end in self._ends if is_symmetrical(self._through) else (self._near,):
                found += select(self._session.local, self._through, fields, (end,), [(self._owner,)])
        for key, first, second in dict.fromkeys(map(tuple, found)):
            yield _Row(key, (first, second))

    def _remote_pairs(self) -> set[Pair]:
        """Return the pairs that REMOTE has of this object, by LOCAL's keys."""
        owner, member = target_of(self._near), target_of(self._far)
        if owner is None or member is None:
            return set()
        identities = Identities(self._session, Rows(self._session.local), {})
        remote = identities.remote_keys(owner, [self._owner]).get(self._owner)
        if remote is None:
            return set()
        rows = select(self._session.remote, self._through, (self._far,), (self._near,), [(remote,)])
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
        key, date = _stand_in_key(texts), self._date(pair)
        changes.rows[self._through, key] = Change(
            self._through, key, date, whole=date, deleted=date, natural_key=texts, is_own=True
        )


def _stand_in_key(texts: str) -> int:
    """Return a key that no row has, always the same for one pair: the row's own key is not known."""
    return -1 - (int.from_bytes(hashlib.sha256(texts.encode()).digest()[:8]) >> 1)
