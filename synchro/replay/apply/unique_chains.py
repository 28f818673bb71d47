"""
Follow chains of rows in which each takes over a unique value of the next.

Where each row of a long chain takes over the value of the next, one question for each would take for ever. So what the
log says of the model next is looked at as well, ever more of it: the chain is mostly about those rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.db.models import Model, UniqueConstraint

from synchro.conf import conf
from synchro.keys import AnyField, Key, from_text, key_fields
from synchro.models import ChangeLog
from synchro.registry import Table, is_watched, same_key_children
from synchro.replay.identity.identities import Identities
from synchro.replay.identity.models import keeps_references
from synchro.replay.identity.owners import known_owners
from synchro.replay.identity.references import remote_keys
from synchro.replay.log.pending import ids_pending_for
from synchro.replay.rows import as_key, as_values, select
from synchro.replay.session import Session

#: How many questions are asked one after the other before the log is looked at, and how many of its entries at most.
PATIENCE, MOST_AHEAD = 3, 200_000

#: A value of each column of a unique set, with the number of the set.
Wanted = tuple[int, tuple[Any, ...]]


def holders(
    session: Session,
    identities: Identities,
    model: type[Model],
    rows: Mapping[Key, Sequence[Any]],
    local_keys: Collection[Key],
    asked: Collection[Key],
) -> set[Key]:
    """
    LOCAL's keys of the objects whose REMOTE rows hold unique values of `rows` (as they are to be written), of those
    that hold what these are to get, and so on; without `local_keys`, by REMOTE's keys, and those that are `asked`
    about.
    """
    if not is_watched(model):
        return set()
    chain = _Chain(session, identities, model, local_keys, asked)
    chain.follow(chain.wanted_by(Table(model).fields, rows.values()))
    return chain.found


class _Chain:
    def __init__(
        self,
        session: Session,
        identities: Identities,
        model: type[Model],
        local_keys: Collection[Key],
        asked: Collection[Key],
    ) -> None:
        self._session, self._identities, self._model = session, identities, model
        self._own = key_fields(model)
        self._sets = list(_unique_sets(model))
        self._columns = list(dict.fromkeys(field for fields in self._sets for field in fields))
        self._seen, self._asked = set(local_keys), asked
        #: LOCAL's keys.
        self.found: set[Key] = set()
        #: What is known beforehand: who holds a value on REMOTE, LOCAL's key of it, and what that is to get.
        self._holders: dict[Wanted, Key] = {}
        self._owners: dict[Key, Key] = {}
        self._wanted: dict[Key, list[Wanted]] = {}
        self._ahead = _Ahead(session, model)

    def wanted_by(self, fields: Sequence[AnyField], rows: Iterable[Sequence[Any]]) -> list[Wanted]:
        places = [[fields.index(field) for field in several] for several in self._sets]
        return [
            (number, values)
            for row in rows
            for number, several in enumerate(places)
            if None not in (values := tuple([row[place] for place in several]))
        ]

    def follow(self, wanted: Collection[Wanted]) -> None:
        asked = 0
        while wanted:
            remote_keys = self._held(wanted)
            asked += 1
            owners = known_owners(
                self._session, self._identities, self._model, remote_keys - self._owners.keys()
            )
            owners |= {key: self._owners[key] for key in remote_keys & self._owners.keys()}
            if asked > PATIENCE:
                self._look_ahead(self._ahead.next())
            wanted = self._go_on(self._take(owners))

    def _held(self, wanted: Collection[Wanted]) -> set[Key]:
        """REMOTE's keys of rows that hold these values, and have not been looked at."""
        found: set[Key] = set()
        for number, fields in enumerate(self._sets):
            values = [value for place, value in wanted if place == number]
            found |= {
                as_key(row) for row in select(self._session.remote, self._model, self._own, fields, values)
            }
        found -= self._seen
        self._seen |= found
        return found

    def _take(self, owners: Mapping[Key, Key]) -> list[Wanted]:
        """Note these objects; return what they are to get."""
        new = {key for key in owners.values() if key not in self._asked and key not in self.found}
        self.found |= new
        known = {key: self._wanted[key] for key in new if key in self._wanted}
        known |= self._read_wanted([key for key in new if key not in known])
        return [each for several in known.values() for each in several]

    def _go_on(self, wanted: list[Wanted]) -> list[Wanted]:
        """Follow what is known beforehand; return what has to be asked for."""
        unknown: list[Wanted] = []
        while wanted:
            each = wanted.pop()
            remote_key = self._holders.get(each)
            if remote_key is None:
                unknown.append(each)
            elif remote_key not in self._seen:
                self._seen.add(remote_key)
                key = self._owners[remote_key]
                if key not in self._asked and key not in self.found:
                    self.found.add(key)
                    wanted += self._wanted.get(key, ())
        return unknown

    def _look_ahead(self, keys: Sequence[Key]) -> None:
        """Get to know these objects: what they have on REMOTE, and what they are to get."""
        remote_keys = _remote_keys(self._session, self._model, keys)
        self._wanted |= self._read_wanted(list(remote_keys))
        self._owners |= {other: key for key, other in remote_keys.items()}
        values = [as_values(key) for key in remote_keys.values()]
        fields = [*self._own, *self._columns]
        for row in select(self._session.remote, self._model, fields, self._own, values):
            key = as_key(row[: len(self._own)])
            self._holders |= dict.fromkeys(self.wanted_by(fields, [row]), key)

    def _read_wanted(self, keys: Collection[Key]) -> dict[Key, list[Wanted]]:
        """What LOCAL's rows are to get on REMOTE, as they are now."""
        fields = [*self._own, *self._columns]
        rows = select(self._session.local, self._model, fields, self._own, [as_values(key) for key in keys])
        found = [list(row) for row in rows]
        for place, field in enumerate(fields):
            if place >= len(self._own) and field.remote_field is not None:
                translated = self._identities.translate(field, {row[place] for row in found})
                for row in found:
                    row[place] = translated[row[place]]
        return {as_key(row[: len(self._own)]): self.wanted_by(fields, [row]) for row in found}


class _Ahead:
    """Objects of a model that the log names from the first batch on that REMOTE lacks, ever more of them at once."""

    def __init__(self, session: Session, model: type[Model]) -> None:
        self._session, self._model = session, model
        self._at: int | None = None
        self._taken, self._size = 0, 2 * conf.batch_size

    def next(self) -> list[Key]:
        if self._taken >= MOST_AHEAD or len(key_fields(self._model)) > 1:
            return []
        if self._at is None:
            self._at = ids_pending_for(self._session).first - 1
        local = self._session.local
        types = [local.content_type_id(model) for model in (self._model, *same_key_children(self._model))]
        entries = ChangeLog.objects.using(local.alias).filter(id__gt=self._at, content_type_id__in=types)
        found = list(entries.order_by("id").values_list("id", "object_id")[: self._size])
        if found:
            self._at = found[-1][0]
        self._taken = self._taken + len(found) if len(found) == self._size else MOST_AHEAD
        self._size = min(2 * self._size, MOST_AHEAD)
        return [from_text(self._model, text) for text in dict.fromkeys(text for _id, text in found)]


def _remote_keys(session: Session, model: type[Model], keys: Sequence[Key]) -> dict[Key, Key]:
    """REMOTE's keys of these objects, as far as they are easily known."""
    if keeps_references(model):
        highest = session.baselines.get(model, 0)
        return {key: key for key in keys if key <= highest} | remote_keys(session, model, keys)
    return {} if any(f.remote_field is not None for f in key_fields(model)) else {key: key for key in keys}


def _unique_sets(model: type[Model]) -> Iterator[tuple[AnyField, ...]]:
    """The synchronized fields, in groups, that the model declares unique, be it under a condition."""
    synchronized = Table(model).fields
    for field in synchronized:
        if field.unique and not field.primary_key:
            yield (field,)
    constraints = [c.fields for c in model._meta.constraints if isinstance(c, UniqueConstraint)]
    names = [*model._meta.unique_together, *constraints]
    for several in names:
        fields = tuple(model._meta.get_field(name) for name in several)
        if fields and set(fields) <= set(synchronized):
            yield fields
