"""
Identify: which row of REMOTE is which object of LOCAL, in bulk.

For each object, the first that fits: the same key, where the database does not hand it out; a reference whose row
still exists; the natural key; otherwise it is new.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.conf import conf
from synchro.keys import AnyField, Key, is_automatic, key_fields
from synchro.model_options import model_option
from synchro.natural import KNOWN_BY_NATURE, natural_fields
from synchro.registry import is_watched
from synchro.relations import target_of
from synchro.replay.identity.gone_objects import UnnamedRows
from synchro.replay.identity.natural_keys import ByColumns, Naturals, allows_many, ambiguous, finder
from synchro.replay.identity.natural_methods import ByMethod
from synchro.replay.identity.originals import find_originals
from synchro.replay.identity.references import local_keys, remote_keys
from synchro.replay.log.changes import RowId
from synchro.replay.rows import Rows, as_key, as_values, real_spellings, select
from synchro.replay.session import Database, Session


@dataclass(slots=True)
class Identity:
    """The REMOTE row of an object."""

    #: Its key; None until REMOTE hands one out.
    remote: Key | None
    exists: bool
    #: Whether it was found by a reference that both sides keep already.
    is_remembered: bool = False
    #: The key of the row that a reference remembers and that is not there any more.
    gone: Key | None = None
    #: Whether it was found as a row that came there by another node.
    is_recognized: bool = False

    @property
    def logged_key(self) -> Key | None:
        """The key by which REMOTE's log may name the object."""
        return self.remote if self.exists or self.gone is None else self.gone


def is_known_by_nature(model: type[Model]) -> bool:
    """Whether rows of `model` are what their natural key says, whatever the settings say of keys."""
    return model._meta.label in KNOWN_BY_NATURE


def uses_same_key(model: type[Model]) -> bool:
    if is_known_by_nature(model):
        return False
    return bool(model_option(model, "IDENTITY", conf.identity) == "pk")


def keeps_references(model: type[Model]) -> bool:
    """
    Whether rows of `model` may have another key on REMOTE, so that it has to be remembered.

    A permission whose codename changes is still the same one, but only where that change is replayed.
    """
    fields = key_fields(model)
    if is_known_by_nature(model) and (model is ContentType or not is_watched(model)):
        return False
    return len(fields) == 1 and is_automatic(fields[0]) and not uses_same_key(model)


class Identities:
    """The identities found so far in a batch."""

    def __init__(
        self,
        session: Session,
        rows: Rows,
        naturals: Naturals,
        unsought: Collection[RowId] = (),
        quarantined: Collection[RowId] = (),
    ) -> None:
        self._session = session
        self._rows = rows
        self._naturals = naturals
        #: Objects that are left out of the batch, perhaps for their natural keys.
        self._unsought = unsought
        #: Objects of LOCAL with changes in quarantine; LOCAL may have deleted them.
        self.quarantined = quarantined
        #: Objects that LOCAL has deleted, and whose natural keys are not known.
        self.unnamed = UnnamedRows()
        self._by_columns = ByColumns(session, rows, naturals, self.unnamed, self)
        self._by_method = ByMethod(session, rows, naturals, self.unnamed, self)
        self._known: dict[type[Model], dict[Key, Identity]] = {}
        #: REMOTE's rows that were found by a natural key, and LOCAL's keys of the objects that found them.
        self._taken: dict[type[Model], dict[Key, Key]] = {}

    def of(self, model: type[Model], key: Key) -> Identity:
        return self._known[model][key]

    def models(self) -> list[type[Model]]:
        return list(self._known)

    def known(self, model: type[Model]) -> dict[Key, Identity]:
        return self._known.setdefault(model, {})

    def find(self, model: type[Model], keys: Collection[Key], lock: bool = False) -> dict[Key, Identity]:
        """
        The identities of these objects of LOCAL. With `lock`, their REMOTE rows cannot change any more until the
        end of the transaction.
        """
        known = self.known(model)
        new = [key for key in dict.fromkeys(keys) if key not in known]
        if new:
            found = self._look(model, new, lock)
            known.update(found)
        return {key: known[key] for key in keys}

    def _look(self, model: type[Model], keys: list[Key], lock: bool) -> dict[Key, Identity]:
        remembered: dict[Key, Key] = {}
        if any(field.remote_field is not None for field in key_fields(model)):
            candidates = self._by_parts(model, keys, lock)
        elif keeps_references(model):
            remembered = remote_keys(self._session, model, keys)
            copied = self._session.baselines.get(model, 0)
            candidates = {key: remembered.get(key, key if key <= copied else None) for key in keys}
        elif is_automatic(key_fields(model)[0]) and not uses_same_key(model):
            candidates = dict.fromkeys(keys)
        else:
            own, *more = key_fields(model)
            real = {} if more else real_spellings(self._session.local, model, own, keys)
            candidates = {key: real.get(key, key) for key in keys}
        there = existing_keys(
            self._session.remote, model, [c for c in candidates.values() if c is not None], lock
        )
        recognized: set[Key] = set()
        if self._session.forwards and keeps_references(model):
            recognized = self._recognize(model, candidates, there, lock)
        found = {
            key: Identity(
                candidate,
                candidate in there,
                key in remembered and candidate in there and key not in recognized,
                is_recognized=key in recognized,
            )
            for key, candidate in candidates.items()
        }
        if is_automatic(key_fields(model)[0]) and not uses_same_key(model):
            self._look_by_natural_key(model, found, lock)
        return found

    def _recognize(
        self, model: type[Model], candidates: dict[Key, Key | None], there: set[Key], lock: bool
    ) -> set[Key]:
        """
        Complete the `candidates`, and the rows that are `there`, by rows that came to REMOTE by other nodes; return the
        keys of those that were found so.
        """
        found = find_originals(self._session, model, [k for k, c in candidates.items() if c not in there])
        there |= existing_keys(
            self._session.remote, model, {c for several in found.values() for c in several}, lock
        )
        for key, several in found.items():
            known = [candidate for candidate in several if candidate in there]
            if known or candidates[key] is None:
                candidates[key] = (known or several)[0]
        return {key for key in found if candidates[key] in there}

    def _by_parts(self, model: type[Model], keys: list[Key], lock: bool) -> dict[Key, Key | None]:
        """Keys that are foreign keys, or have some among their parts: each part is its target's key there."""
        fields = key_fields(model)
        columns: list[dict[Any, Any]] = []
        for place, field in enumerate(fields):
            parts = {key if len(fields) == 1 else key[place] for key in keys}
            columns.append(self.translate(field, parts, lock))
        candidates: dict[Key, Key | None] = {}
        for key in keys:
            values = [
                column[part]
                for column, part in zip(columns, (key,) if len(fields) == 1 else key, strict=True)
            ]
            candidates[key] = None if None in values else as_key(values)
        return candidates

    def translate(self, field: AnyField, values: Iterable[Any], lock: bool = False) -> dict[Any, Any]:
        """What the values of a column are on REMOTE; None for a key that REMOTE has yet to hand out."""
        target = target_of(field)
        if target is None:
            return {value: value for value in values}
        found = self.find(target, [value for value in values if value is not None], lock)
        return {value: None if value is None else found[value].remote for value in values}

    def remote_keys(self, model: type[Model], keys: Collection[Key], lock: bool = False) -> dict[Key, Key]:
        """REMOTE's keys of those of these objects of LOCAL that REMOTE has."""
        found = self.find(model, keys, lock)
        return {key: identity.remote for key, identity in found.items() if identity.exists}

    def _look_by_natural_key(self, model: type[Model], found: dict[Key, Identity], lock: bool) -> None:
        missing = [
            key
            for key, identity in found.items()
            if not identity.exists and (model, key) not in self._unsought
        ]
        if not missing:
            return
        if natural_fields(model) is not None:
            there = self._by_columns.find(model, missing, lock)
        elif finder(model) is not None:
            there = self._by_method.find(model, missing, lock)
        else:
            there = {}
        if not there:
            return
        # A row that is gone and was known by its key comes back with it, so that all that names it is right again.
        here = self._rows.load(model, missing)
        owners = self._owners(model, {match for matches in there.values() for match in matches})
        # What LOCAL deleted and made again has the row of the old one.
        present = self._rows.load(model, list(owners.values()))
        owners = {match: key for match, key in owners.items() if key in present}
        matched: list[Key] = []
        # Objects that are gone on LOCAL may take what is left.
        for key in sorted(missing, key=lambda key: key not in here):
            identity = found[key]
            matches = [match for match in there.get(key, ()) if owners.setdefault(match, key) == key]
            for match in matches[1:]:
                del owners[match]
            if matches:
                if len(matches) > 1 and not allows_many(model):
                    raise ambiguous(model, [key], _("finds more than one row on REMOTE"))
                match = matches[0]
                self._taken.setdefault(model, {})[match] = key
                identity.gone, identity.remote, identity.exists = identity.remote, match, True
                if key in here:
                    matched.append(key)
        self._refuse_doubles(model, matched)

    def _refuse_doubles(self, model: type[Model], matched: list[Key]) -> None:
        """Where LOCAL has several rows with one natural key, nobody can say which of them REMOTE's row is."""
        if not matched or allows_many(model):
            return
        problem = _("is that of several rows of LOCAL and of one of REMOTE")
        if natural_fields(model) is None:
            for key in matched:
                if self._by_method.is_double(model, key):
                    raise ambiguous(model, [key], problem)
            return
        doubles = self._by_columns.doubles(model, matched)
        others = {other for several in doubles.values() for other in several}
        elsewhere = self._known_elsewhere(model, others - set(matched))
        for key, several in doubles.items():
            open_ones = [other for other in several if other not in elsewhere]
            if open_ones:
                raise ambiguous(model, [key, *open_ones], problem)

    def _known_elsewhere(self, model: type[Model], keys: Collection[Key]) -> set[Key]:
        """Those of these objects that are known to be another row of REMOTE."""
        if not keys or not keeps_references(model):
            return set()
        copied = self._session.baselines.get(model, 0)
        known = remote_keys(self._session, model, keys)
        there = {key: known.get(key, key if key <= copied else None) for key in keys}
        present = existing_keys(self._session.remote, model, [k for k in there.values() if k is not None])
        return {key for key, remote in there.items() if remote in present}

    def _owners(self, model: type[Model], there: Collection[Key]) -> dict[Key, Key]:
        """
        Which of these rows of REMOTE are known to be objects of LOCAL: two objects are never one row.

        Such an object may have another natural key by now, or be equal only for REMOTE's collation.
        """
        if not there or not keeps_references(model):
            return {}
        highest = self._session.baselines.get(model, 0)
        copied = {key for key in there if key <= highest}
        here = self._rows.load(model, copied)
        owners = {key: key for key in copied if key in here or (model, key) in self._naturals}
        return owners | local_keys(self._session, model, there) | self._taken.get(model, {})

    def owners(self, model: type[Model], there: Collection[Key]) -> dict[Key, Key]:
        """Return LOCAL's keys of the objects that these rows of REMOTE are, as far as LOCAL knows."""
        if is_known_by_nature(model):
            found = self.natural_owners(model, there)
            return found | local_keys(self._session, model, there) if keeps_references(model) else found
        if not keeps_references(model):
            return {key: key for key in there}
        highest = self._session.baselines.get(model, 0)
        found = {key: key for key in there if key <= highest}
        found |= local_keys(self._session, model, there)
        return found | {
            i.remote: key for key, i in self.known(model).items() if i.exists and i.remote in there
        }

    def natural_owners(self, model: type[Model], there: Collection[Key]) -> dict[Key, Key]:
        """Return LOCAL's keys of the rows that have the natural keys of these rows of REMOTE."""
        return self._by_columns.owners(model, there)

    def made_again(self, model: type[Model], gone: Collection[Key]) -> dict[Key, Key]:
        """Of rows that LOCAL deleted, those that it has made again, by their natural keys, with the new rows' keys."""
        return self._by_columns.made_again(model, gone)


def existing_keys(
    database: Database, model: type[Model], keys: Collection[Key], lock: bool = False
) -> set[Key]:
    """Return which of these keys the database has; with `lock`, their rows are locked."""
    fields = key_fields(model)
    values = [as_values(key) for key in dict.fromkeys(keys)]
    return {as_key(row) for row in map(tuple, select(database, model, fields, fields, values, lock))}
