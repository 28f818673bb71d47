"""
Identities: which row of REMOTE is which object of LOCAL, found for many at once.

For each object the first of these counts: the same key, where no database hands it out; a reference whose row still
exists; the natural key. Otherwise the object is new to REMOTE.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.keys import AnyField, Key, is_automatic, key_fields
from synchro.natural import natural_fields
from synchro.relations import target_of
from synchro.replay.identity.gone_objects import UnnamedRows
from synchro.replay.identity.models import is_known_by_nature, keeps_references, uses_same_key
from synchro.replay.identity.natural_errors import ambiguous, double
from synchro.replay.identity.natural_keys import ByColumns, LoggedKeys, allows_many, finder
from synchro.replay.identity.natural_methods import ByMethod
from synchro.replay.identity.originals import find_originals
from synchro.replay.identity.references import local_keys, remote_keys
from synchro.replay.log.changes import RowId
from synchro.replay.rows import Rows, as_key, as_values, real_spellings, select
from synchro.replay.session import Database, Session


@dataclass(slots=True)
class Identity:
    """REMOTE's row of an object."""

    #: REMOTE's key; None until REMOTE hands one out.
    remote: Key | None
    #: Whether REMOTE has the row.
    exists: bool
    #: Whether it was found by a reference that both sides keep already.
    is_remembered: bool = False
    #: The key of the row that a reference remembers, and that REMOTE has no more.
    gone: Key | None = None
    #: Whether it was found as a row that another node sent to REMOTE.
    is_recognized: bool = False

    @property
    def logged_key(self) -> Key | None:
        """The key by which REMOTE's log may name the object."""
        return self.remote if self.exists or self.gone is None else self.gone


class Identities:
    """The identities found so far in a batch."""

    def __init__(
        self,
        session: Session,
        local_rows: Rows,
        logged_keys: LoggedKeys,
        unidentified: Collection[RowId] = (),
        quarantined: Collection[RowId] = (),
    ) -> None:
        self._session, self._local_rows, self._logged_keys = session, local_rows, logged_keys
        #: Objects that are left out of the batch since their natural keys do not identify them.
        self._unidentified = unidentified
        #: Objects of LOCAL with changes in quarantine; LOCAL may have deleted them.
        self.quarantined = quarantined
        #: Objects that LOCAL has deleted, and whose natural keys are not known.
        self.unnamed = UnnamedRows()
        self._by_columns = ByColumns(session, local_rows, logged_keys, self.unnamed, self)
        self._by_method = ByMethod(session, local_rows, logged_keys, self.unnamed, self)
        self._known: dict[type[Model], dict[Key, Identity]] = {}
        #: LOCAL's and REMOTE's keys of objects that this batch wrote in bulk, and that no reference remembers yet.
        self._written: dict[type[Model], dict[Key, Key]] = {}
        #: LOCAL's keys of the objects that found REMOTE's rows by their natural keys, by REMOTE's keys.
        self._matched: dict[type[Model], dict[Key, Key]] = {}

    def of(self, model: type[Model], key: Key) -> Identity:
        """Return the identity of an object that was looked for before."""
        return self._known[model][key]

    def models(self) -> list[type[Model]]:
        """Return the models of which objects were looked for."""
        return list({**self._known, **self._written})

    def known(self, model: type[Model]) -> dict[Key, Identity]:
        """Return the identities of all objects of `model` that were looked for."""
        return self._known.setdefault(model, {})

    def find(self, model: type[Model], keys: Collection[Key], lock: bool = False) -> dict[Key, Identity]:
        """Return the identities of these objects of LOCAL; with `lock`, their rows on REMOTE are locked."""
        known, written = self.known(model), self._written.get(model)
        if written:
            found = {key: written[key] for key in keys if key in written and key not in known}
            known.update((key, Identity(remote, True)) for key, remote in found.items())
        new = [key for key in dict.fromkeys(keys) if key not in known]
        if new:
            known.update(self._look(model, new, lock))
        return {key: known[key] for key in keys}

    def candidates(self, model: type[Model], keys: Collection[Key]) -> tuple[dict[Key, Key], dict[Key, Key]]:
        """
        Return REMOTE's keys of those of these objects that are remembered, and of those that REMOTE had when LOCAL
        became a copy of it. REMOTE may have lost the rows.
        """
        remembered = remote_keys(self._session, model, keys)
        if written := self._written.get(model):
            remembered |= {key: written[key] for key in keys if key in written}
        baseline = self._session.baselines.get(model, 0)
        copied = {key: key for key in keys if key <= baseline and key not in remembered} if baseline else {}
        return remembered, copied

    def by_natural_key(self, model: type[Model], keys: Collection[Key]) -> dict[Key, Key] | None:
        """
        Return REMOTE's keys of those of these objects that it has by their natural keys, and lock these rows; None
        where a row of LOCAL cannot be read. No reference is known of the objects.
        """
        known = self.known(model)
        found = {key: known.get(key) or Identity(None, False) for key in keys}
        self._look_by_natural_key(model, found, lock=True)
        known.update(found)
        if not self._local_rows.unreadable.get(model, {}).keys().isdisjoint(keys):
            return None
        return {key: identity.remote for key, identity in found.items() if identity.exists}

    def matched(self, model: type[Model], remote: Collection[Key]) -> set[Key]:
        """Return those of these rows of REMOTE that were found by a natural key."""
        return self._matched.get(model, {}).keys() & set(remote)

    def note_written(self, model: type[Model], keys: Collection[Key], pairs: Mapping[Key, Key]) -> None:
        """
        Note that REMOTE has these objects now. `pairs` are LOCAL's and REMOTE's keys of those that no reference
        remembers.
        """
        if pairs:
            self._written.setdefault(model, {}).update(pairs)
        known = self.known(model)
        for key in known.keys() & set(keys) if known else ():
            known[key].remote, known[key].exists = pairs.get(key, known[key].remote), True

    def unremembered(self, model: type[Model]) -> dict[Key, Key]:
        """Return LOCAL's and REMOTE's keys of the objects that were identified and are not remembered yet."""
        return self._written.get(model, {}) | {
            key: identity.remote
            for key, identity in self._known.get(model, {}).items()
            if identity.exists and not identity.is_remembered and identity.remote is not None
        }

    def _look(self, model: type[Model], keys: list[Key], lock: bool) -> dict[Key, Identity]:
        remembered: dict[Key, Key] = {}
        own, *more = key_fields(model)
        if any(field.remote_field is not None for field in (own, *more)):
            candidates = self._by_parts(model, keys, lock)
        elif keeps_references(model):
            remembered, copied = self.candidates(model, keys)
            candidates = {key: remembered.get(key, copied.get(key)) for key in keys}
        elif is_automatic(own) and not uses_same_key(model):
            candidates = dict.fromkeys(keys)
        else:
            real = {} if more else real_spellings(self._session.local, model, own, keys)
            candidates = {key: real.get(key, key) for key in keys}
        existing = existing_keys(
            self._session.remote, model, [c for c in candidates.values() if c is not None], lock
        )
        recognized: set[Key] = set()
        if self._session.forwards and keeps_references(model):
            recognized = self._recognize(model, candidates, existing, lock)
        found = {
            key: Identity(
                candidate,
                candidate in existing,
                key in remembered and candidate in existing and key not in recognized,
                is_recognized=key in recognized,
            )
            for key, candidate in candidates.items()
        }
        if is_automatic(own) and not uses_same_key(model):
            self._look_by_natural_key(model, found, lock)
        return found

    def _recognize(
        self, model: type[Model], candidates: dict[Key, Key | None], existing: set[Key], lock: bool
    ) -> set[Key]:
        """
        Complete the `candidates`, and REMOTE's `existing` keys, by rows that other nodes sent to REMOTE.

        Return LOCAL's keys of the objects that were found so.
        """
        found = find_originals(self._session, model, [k for k, c in candidates.items() if c not in existing])
        existing |= existing_keys(
            self._session.remote, model, {c for several in found.values() for c in several}, lock
        )
        for key, several in found.items():
            known = [candidate for candidate in several if candidate in existing]
            if known or candidates[key] is None:
                candidates[key] = (known or several)[0]
        return {key for key in found if candidates[key] in existing}

    def _by_parts(self, model: type[Model], keys: list[Key], lock: bool) -> dict[Key, Key | None]:
        """Return REMOTE's keys where parts of a key are foreign keys: each part is its target's key on REMOTE."""
        columns = [
            self.translate(field, {as_values(key)[position] for key in keys}, lock)
            for position, field in enumerate(key_fields(model))
        ]
        candidates: dict[Key, Key | None] = {}
        for key in keys:
            values = [column[part] for column, part in zip(columns, as_values(key), strict=True)]
            candidates[key] = None if None in values else as_key(values)
        return candidates

    def translate(self, field: AnyField, values: Iterable[Any], lock: bool = False) -> dict[Any, Any]:
        """Return what the values of a column are on REMOTE; None for a key that REMOTE has yet to hand out."""
        target = target_of(field)
        if target is None:
            return {value: value for value in values}
        found = self.find(target, [value for value in values if value is not None], lock)
        return {value: None if value is None else found[value].remote for value in values}

    def remote_keys(self, model: type[Model], keys: Collection[Key], lock: bool = False) -> dict[Key, Key]:
        """Return REMOTE's keys of those of these objects of LOCAL that REMOTE has."""
        written = self._written.get(model, {})
        found = {key: written[key] for key in keys if key in written} if written else {}
        known = self.find(model, [key for key in keys if key not in found] if found else keys, lock)
        return found | {key: identity.remote for key, identity in known.items() if identity.exists}

    def _look_by_natural_key(self, model: type[Model], found: dict[Key, Identity], lock: bool) -> None:
        missing = [
            key
            for key, identity in found.items()
            if not identity.exists and (model, key) not in self._unidentified
        ]
        matches = self._matches(model, missing, lock) if missing else {}
        if not matches:
            return
        # A row that REMOTE lost and that was known by its key comes back with it: what names it is right again.
        missing = [key for key in missing if key in matches]
        present = self._local_rows.present(model, missing)
        owners = self._present_owners(model, {match for several in matches.values() for match in several})
        matched: list[Key] = []
        # Objects that LOCAL has deleted take what the others leave.
        for key in sorted(missing, key=lambda key: key not in present):
            identity = found[key]
            several = [match for match in matches[key] if owners.setdefault(match, key) == key]
            for match in several[1:]:
                del owners[match]
            if several:
                if len(several) > 1 and not allows_many(model):
                    raise ambiguous(model, [key], _("finds more than one row on REMOTE"))
                match = several[0]
                self._matched.setdefault(model, {})[match] = key
                identity.gone, identity.remote, identity.exists = identity.remote, match, True
                if key in present:
                    matched.append(key)
        self._refuse_doubles(model, matched)

    def _matches(self, model: type[Model], keys: list[Key], lock: bool) -> Mapping[Key, list[Key]]:
        """Return the keys of REMOTE's rows that have the natural keys of these objects of LOCAL."""
        if natural_fields(model) is not None:
            return self._by_columns.find(model, keys, lock)
        return self._by_method.find(model, keys, lock) if finder(model) is not None else {}

    def _refuse_doubles(self, model: type[Model], matched: list[Key]) -> None:
        """Raise `Ambiguous` where several rows of LOCAL have one natural key: any of them may be REMOTE's row."""
        if not matched or allows_many(model):
            return
        if natural_fields(model) is None:
            for key in matched:
                if self._by_method.is_double(model, key):
                    raise double(model, [key])
            return
        doubles = self._by_columns.doubles(model, matched)
        others = {other for several in doubles.values() for other in several}
        elsewhere = self._known_elsewhere(model, others - set(matched))
        for key, several in doubles.items():
            possible = [other for other in several if other not in elsewhere]
            if possible:
                raise double(model, [key, *possible])

    def _known_elsewhere(self, model: type[Model], keys: Collection[Key]) -> set[Key]:
        """Return those of these objects that are known to be another row of REMOTE."""
        if not keys or not keeps_references(model):
            return set()
        remembered, copied = self.candidates(model, keys)
        known = remembered | copied
        existing = existing_keys(self._session.remote, model, list(known.values()))
        return {key for key, remote in known.items() if remote in existing}

    def _present_owners(self, model: type[Model], remote: Collection[Key]) -> dict[Key, Key]:
        """
        Return LOCAL's keys of those of these rows of REMOTE that are known to be objects which LOCAL has.

        Two objects are never one row. The owner may have another natural key by now, or be equal only for REMOTE's
        collation. A row whose owner was deleted belongs to what LOCAL made again.
        """
        if not remote or not keeps_references(model):
            return {}
        baseline = self._session.baselines.get(model, 0)
        copied = {key for key in remote if key <= baseline}
        rows = self._local_rows.present(model, copied)
        owners = {key: key for key in copied if key in rows or (model, key) in self._logged_keys}
        owners |= {match: key for key, match in self._written.get(model, {}).items() if match in remote}
        owners |= local_keys(self._session, model, remote) | self._matched.get(model, {})
        present = self._local_rows.present(model, list(owners.values()))
        return {match: key for match, key in owners.items() if key in present}

    def owners(self, model: type[Model], remote: Collection[Key]) -> dict[Key, Key]:
        """Return LOCAL's keys of the objects that these rows of REMOTE are, as far as LOCAL knows."""
        if is_known_by_nature(model):
            found = self.natural_owners(model, remote)
            return found | local_keys(self._session, model, remote) if keeps_references(model) else found
        if not keeps_references(model):
            return {key: key for key in remote}
        baseline = self._session.baselines.get(model, 0)
        found = {key: key for key in remote if key <= baseline}
        found |= local_keys(self._session, model, remote)
        return found | {
            i.remote: key for key, i in self.known(model).items() if i.exists and i.remote in remote
        }

    def natural_owners(self, model: type[Model], remote: Collection[Key]) -> dict[Key, Key]:
        """Return LOCAL's keys of the rows that have the natural keys of these rows of REMOTE."""
        return self._by_columns.owners(model, remote)

    def made_again(self, model: type[Model], gone: Collection[Key]) -> dict[Key, Key]:
        """Return the keys of the rows that LOCAL made again, by their natural keys, with those of the deleted ones."""
        return self._by_columns.made_again(model, gone)


def existing_keys(
    database: Database, model: type[Model], keys: Collection[Key], lock: bool = False
) -> set[Key]:
    """Return which of these keys the database has; with `lock`, their rows are locked."""
    fields = key_fields(model)
    values = [as_values(key) for key in dict.fromkeys(keys)]
    return {as_key(row) for row in map(tuple, select(database, model, fields, fields, values, lock))}
