"""
Identify: which row of REMOTE is which object of LOCAL, in bulk.

For each object, the first that fits: the same key, where the database does not hand it out; a reference whose row
still exists; the natural key; otherwise it is new.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.conf import conf
from synchro.keys import AnyField, Key, from_text, is_automatic, key_fields, to_text
from synchro.model_options import model_option
from synchro.models import Reference
from synchro.natural import KNOWN_BY_NATURE, natural_fields
from synchro.registry import is_watched
from synchro.relations import target_of
from synchro.replay.identity.natural_keys import ByColumns, Naturals, allows_many, ambiguous, finder
from synchro.replay.identity.natural_methods import ByMethod
from synchro.replay.identity.originals import find_originals
from synchro.replay.identity.references import remote_keys
from synchro.replay.identity.unnamed import UnnamedRows
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
        #: LOCAL's and REMOTE's keys of objects that this batch wrote, or found, and that no reference remembers yet.
        self._written: dict[type[Model], dict[Key, Key]] = {}
        #: REMOTE's rows that were found by a natural key, and LOCAL's keys of the objects that found them.
        self._taken: dict[type[Model], dict[Key, Key]] = {}

    def of(self, model: type[Model], key: Key) -> Identity:
        return self._known[model][key]

    def models(self) -> list[type[Model]]:
        return list({**self._known, **self._written})

    def known(self, model: type[Model]) -> dict[Key, Identity]:
        return self._known.setdefault(model, {})

    def find(self, model: type[Model], keys: Collection[Key], lock: bool = False) -> dict[Key, Identity]:
        """
        The identities of these objects of LOCAL. With `lock`, their REMOTE rows cannot change any more until the
        end of the transaction.
        """
        known, written = self.known(model), self._written.get(model, {})
        if written:
            known |= {
                key: Identity(written[key], True) for key in keys if key in written and key not in known
            }
        new = [key for key in dict.fromkeys(keys) if key not in known]
        if new:
            found = self._look(model, new, lock)
            known.update(found)
        return {key: known[key] for key in keys}

    def candidates(self, model: type[Model], keys: Collection[Key]) -> tuple[dict[Key, Key], dict[Key, Key]]:
        """
        Return REMOTE's keys of those of these objects that are remembered, and of those that REMOTE had when one side
        was copied from the other.
        """
        remembered = remote_keys(self._session, model, keys)
        if written := self._written.get(model):
            remembered |= {key: written[key] for key in keys if key in written}
        highest = self._session.baselines.get(model, 0)
        copied = {key: key for key in keys if key <= highest and key not in remembered} if highest else {}
        return remembered, copied

    def by_natural_key(self, model: type[Model], keys: Collection[Key]) -> dict[Key, Key]:
        """
        Return REMOTE's keys of those of these objects that it has by their natural keys; these rows cannot change any
        more until the end of the transaction. No reference is known of these objects.
        """
        known = self.known(model)
        found = {key: known.get(key) or Identity(None, False) for key in keys}
        self._look_by_natural_key(model, found, lock=True)
        known |= found
        return {key: identity.remote for key, identity in found.items() if identity.exists}

    def taken(self, model: type[Model], remote: Collection[Key]) -> set[Key]:
        """Return those of these rows of REMOTE that were found by a natural key."""
        return self._taken.get(model, {}).keys() & set(remote)

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
        if any(field.remote_field is not None for field in key_fields(model)):
            candidates = self._by_parts(model, keys, lock)
        elif keeps_references(model):
            remembered, copied = self.candidates(model, keys)
            candidates = {key: remembered.get(key, copied.get(key)) for key in keys}
        elif is_automatic(key_fields(model)[0]) and not uses_same_key(model):
            candidates = dict.fromkeys(keys)
        else:
            own, *more = key_fields(model)
            real = {} if more else real_spellings(self._session.local, model, own, keys)
            candidates = {key: real.get(key, key) for key in keys}
        there = existing(self._session, model, [c for c in candidates.values() if c is not None], lock)
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
        there |= existing(self._session, model, {c for several in found.values() for c in several}, lock)
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
        written = self._written.get(model, {})
        found = {key: written[key] for key in keys if key in written} if written else {}
        known = self.find(model, [key for key in keys if key not in found] if found else keys, lock)
        return found | {key: identity.remote for key, identity in known.items() if identity.exists}

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
        missing = [key for key in missing if key in there]
        here = self._rows.present(model, missing)
        owners = self._owners(model, {match for matches in there.values() for match in matches})
        # What LOCAL deleted and made again has the row of the old one.
        present = self._rows.present(model, list(owners.values()))
        owners = {match: key for match, key in owners.items() if key in present}
        matched: list[Key] = []
        # Objects that are gone on LOCAL may take what is left.
        for key in sorted(missing, key=lambda key: key not in here):
            identity = found[key]
            matches = [match for match in there[key] if owners.setdefault(match, key) == key]
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
        remembered, copied = self.candidates(model, keys)
        there = remembered | copied
        present = existing(self._session, model, list(there.values()), lock=False)
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
        here = self._rows.present(model, copied)
        owners = {key: key for key in copied if key in here or (model, key) in self._naturals}
        owners |= {remote: key for key, remote in self._written.get(model, {}).items() if remote in there}
        return owners | self._remembered_owners(model, there) | self._taken.get(model, {})

    def owners(self, model: type[Model], there: Collection[Key]) -> dict[Key, Key]:
        """LOCAL's keys of the objects that these rows of REMOTE are, as far as LOCAL knows."""
        if is_known_by_nature(model):
            found = self.natural_owners(model, there)
            return found | self._remembered_owners(model, there) if keeps_references(model) else found
        if not keeps_references(model):
            return {key: key for key in there}
        highest = self._session.baselines.get(model, 0)
        found = {key: key for key in there if key <= highest}
        found |= self._remembered_owners(model, there)
        return found | {
            i.remote: key for key, i in self.known(model).items() if i.exists and i.remote in there
        }

    def natural_owners(self, model: type[Model], there: Collection[Key]) -> dict[Key, Key]:
        """LOCAL's keys of the rows that have the natural keys of these rows of REMOTE, where columns make these."""
        fields, pk = natural_fields(model) or (), key_fields(model)
        remote = {
            row[0]: tuple(row[1:])
            for row in select(self._session.remote, model, [*pk, *fields], pk, [(key,) for key in there])
        }
        for place, field in enumerate(fields):
            target = target_of(field)
            if target is not None:
                here = self.owners(target, {values[place] for values in remote.values()})
                remote = {
                    key: (*values[:place], here[values[place]], *values[place + 1 :])
                    for key, values in remote.items()
                    if values[place] in here
                }
        whole = [values for values in remote.values() if None not in values]
        rows = select(self._session.local, model, [*pk, *fields], fields, list(dict.fromkeys(whole)))
        local = {tuple(row[1:]): row[0] for row in rows}
        return {key: local[values] for key, values in remote.items() if values in local}

    def _remembered_owners(self, model: type[Model], there: Collection[Key]) -> dict[Key, Key]:
        """By LOCAL's references, to which those of REMOTE lead without a search through all of them."""
        session, texts = self._session, [to_text(model, key) for key in there]
        ours = Reference.objects.using(session.local.alias).filter(
            peer_id=session.peer.pk, content_type_id=session.local.content_type_id(model)
        )
        owners: dict[Key, Key] = {}
        for part in _parts(texts):
            if session.peer_on_remote is None:
                pairs = ours.filter(remote_object_id__in=part)
            else:
                theirs = Reference.objects.using(session.remote.alias).filter(
                    peer_id=session.peer_on_remote.pk,
                    content_type_id=session.remote.content_type_id(model),
                    local_object_id__in=part,
                )
                pairs = ours.filter(
                    local_object_id__in=list(theirs.values_list("remote_object_id", flat=True))
                )
            for here, other in pairs.values_list("local_object_id", "remote_object_id"):
                owners[from_text(model, other)] = from_text(model, here)
        return owners | session.state.new_references.local_keys(model, there)

    def made_again(self, model: type[Model], gone: Collection[Key]) -> dict[Key, Key]:
        """Of rows that LOCAL deleted, those that it has made again, by their natural keys, with the new rows' keys."""
        return self._by_columns.made_again(model, gone)


def existing(session: Session, model: type[Model], keys: Collection[Key], lock: bool) -> set[Key]:
    """Which of these keys REMOTE has."""
    return _existing(session.remote, model, keys, lock)


def existing_here(session: Session, model: type[Model], keys: Collection[Key]) -> set[Key]:
    """Which of these keys LOCAL has."""
    return _existing(session.local, model, keys)


def _existing(side: Database, model: type[Model], keys: Collection[Key], lock: bool = False) -> set[Key]:
    fields = key_fields(model)
    values = [as_values(key) for key in dict.fromkeys(keys)]
    return {as_key(row) for row in map(tuple, select(side, model, fields, fields, values, lock))}


def _parts(values: list[Any], size: int = 5000) -> Iterable[list[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
