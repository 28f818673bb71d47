"""
Identify: which row of REMOTE is which object of LOCAL, in bulk.

For each object, the first that fits: the same key, where the database does not hand it out; a reference whose row
still exists; the natural key; otherwise it is new.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import MultipleObjectsReturned, ObjectDoesNotExist
from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _

from synchro.conf import conf
from synchro.exceptions import Ambiguous
from synchro.keys import AnyField, Key, from_text, is_automatic, key_fields, key_of, to_text
from synchro.models import Reference
from synchro.natural import natural_fields
from synchro.registry import Table
from synchro.replay.columns import to_attribute
from synchro.replay.link import Link
from synchro.replay.natural import allows_many, finder, values_from_entry
from synchro.replay.read import Rows, as_key, real_spellings, select
from synchro.replay.references import remote_keys

Naturals = Mapping[tuple[type[Model], Key], str]


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


def uses_same_key(model: type[Model]) -> bool:
    if model is ContentType:
        return False  # each database numbers them as its migrations happen to run
    identity = getattr(model, "SYNCHRO_IDENTITY", conf.identity)
    return identity == "pk"


def keeps_references(model: type[Model]) -> bool:
    """Whether rows of `model` may have another key on REMOTE, so that it has to be remembered."""
    fields = key_fields(model)
    return (
        len(fields) == 1 and is_automatic(fields[0]) and not uses_same_key(model) and model is not ContentType
    )


class Identities:
    """The identities found so far in a batch."""

    def __init__(self, link: Link, rows: Rows, naturals: Naturals) -> None:
        self._link = link
        self._rows = rows
        self._naturals = naturals
        self._known: dict[type[Model], dict[Key, Identity]] = {}
        #: REMOTE's rows that were found by a natural key, and LOCAL's keys of the objects that found them.
        self._taken: dict[type[Model], dict[Key, Key]] = {}

    def of(self, model: type[Model], key: Key) -> Identity:
        return self._known[model][key]

    def models(self) -> list[type[Model]]:
        return list(self._known)

    def replaced(self) -> dict[type[Model], list[Key]]:
        """REMOTE's keys of rows that references remember and that are gone, where the object has another row now."""
        found: dict[type[Model], list[Key]] = {}
        for model, known in self._known.items():
            if keeps_references(model):
                gone = [
                    i.gone for i in known.values() if i.gone is not None and i.exists and i.gone != i.remote
                ]
                if gone:
                    found[model] = gone
        return found

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
            remembered = remote_keys(self._link, model, keys)
            copied = self._link.baselines.get(model, 0)
            candidates = {key: remembered.get(key, key if key <= copied else None) for key in keys}
        elif is_automatic(key_fields(model)[0]) and not uses_same_key(model):
            candidates = dict.fromkeys(keys)
        else:
            own, *more = key_fields(model)
            real = {} if more else real_spellings(self._link.local, model, own, keys)
            candidates = {key: real.get(key, key) for key in keys}
        there = existing(self._link, model, [c for c in candidates.values() if c is not None], lock)
        found = {
            key: Identity(candidate, candidate in there, key in remembered and candidate in there)
            for key, candidate in candidates.items()
        }
        if is_automatic(key_fields(model)[0]) and not uses_same_key(model):
            self._look_by_natural_key(model, found, lock)
        return found

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

    def _look_by_natural_key(self, model: type[Model], found: dict[Key, Identity], lock: bool) -> None:
        missing = [key for key, identity in found.items() if not identity.exists]
        if not missing:
            return
        if natural_fields(model) is not None:
            there = self._by_natural_columns(model, missing, lock)
            there = self._without_successors(model, there)
        elif finder(model) is not None:
            there = self._by_natural_method(model, missing)
        else:
            there = {}
        if not there:
            return
        # A row that is gone and was known by its key comes back with it, so that all that names it is right again.
        here = self._rows.load(model, missing)
        owners = self._owners(model, {match for matches in there.values() for match in matches})
        # Objects that are gone on LOCAL may take what is left.
        for key in sorted(missing, key=lambda key: key not in here):
            identity = found[key]
            matches = [match for match in there.get(key, ()) if owners.setdefault(match, key) == key]
            for match in matches[1:]:
                del owners[match]
            if matches:
                match = self._only_one(model, key, matches)
                self._taken.setdefault(model, {})[match] = key
                identity.gone, identity.remote, identity.exists = identity.remote, match, True

    def _owners(self, model: type[Model], there: Collection[Key]) -> dict[Key, Key]:
        """
        Which of these rows of REMOTE are known to be objects of LOCAL: two objects are never one row.

        Such an object may have another natural key by now, or be equal only for REMOTE's collation.
        """
        if not there or not keeps_references(model):
            return {}
        highest = self._link.baselines.get(model, 0)
        copied = {key for key in there if key <= highest}
        here = self._rows.load(model, copied)
        owners = {key: key for key in copied if key in here or (model, key) in self._naturals}
        return owners | self._remembered_owners(model, there) | self._taken.get(model, {})

    def owners(self, model: type[Model], there: Collection[Key]) -> dict[Key, Key]:
        """LOCAL's keys of the objects that these rows of REMOTE are, as far as LOCAL knows."""
        if not keeps_references(model):
            return {key: key for key in there}
        highest = self._link.baselines.get(model, 0)
        found = {key: key for key in there if key <= highest}
        found |= self._remembered_owners(model, there)
        return found | {
            i.remote: key for key, i in self.known(model).items() if i.exists and i.remote in there
        }

    def _remembered_owners(self, model: type[Model], there: Collection[Key]) -> dict[Key, Key]:
        """By LOCAL's references, to which those of REMOTE lead without a search through all of them."""
        link, texts = self._link, [to_text(model, key) for key in there]
        ours = Reference.objects.using(link.local.alias).filter(
            peer_id=link.peer.pk, content_type_id=link.local.content_type_id(model)
        )
        owners: dict[Key, Key] = {}
        for part in _parts(texts):
            if link.peer_there is None:
                pairs = ours.filter(remote_object_id__in=part)
            else:
                theirs = Reference.objects.using(link.remote.alias).filter(
                    peer_id=link.peer_there.pk,
                    content_type_id=link.remote.content_type_id(model),
                    local_object_id__in=part,
                )
                pairs = ours.filter(
                    local_object_id__in=list(theirs.values_list("remote_object_id", flat=True))
                )
            for here, other in pairs.values_list("local_object_id", "remote_object_id"):
                owners[from_text(model, other)] = from_text(model, here)
        return owners | link.made.local_keys(model, there)

    def _by_natural_columns(self, model: type[Model], keys: list[Key], lock: bool) -> dict[Key, list[Key]]:
        """LOCAL's keys to REMOTE's, by one question for all."""
        fields = natural_fields(model) or ()
        wanted = self._natural_values(model, fields, keys, lock)
        whole = [values for values in wanted.values() if None not in values]
        pk = key_fields(model)
        there: dict[tuple[Any, ...], list[Key]] = {}
        rows = select(self._link.remote, model, [*pk, *fields], fields, list(dict.fromkeys(whole)), lock)
        for row in rows:
            there.setdefault(tuple(row[len(pk) :]), []).append(as_key(row[: len(pk)]))
        # REMOTE's collation may take two spellings for the same; NULL is equal to nothing in a list of values.
        strays = there.keys() - set(wanted.values())
        found = {}
        for key, values in wanted.items():
            matches = there.get(values, [])
            if not matches and (strays or None in values):
                matches = self._one_by_one(model, fields, values)
            if matches:
                found[key] = sorted(matches)
        return found

    def _without_successors(self, model: type[Model], found: dict[Key, list[Key]]) -> dict[Key, list[Key]]:
        """A deleted object's natural key may be that of one that LOCAL has now; REMOTE's row is that one's."""
        fields = natural_fields(model) or ()
        gone = {
            key: values
            for key in found
            if (text := self._naturals.get((model, key))) and not self._rows.load(model, [key])
            if (values := values_from_entry(model, text)) is not None and None not in values
        }
        if not gone:
            return found
        rows = select(self._link.local, model, fields, fields, list(dict.fromkeys(gone.values())))
        present = {tuple(row) for row in rows}
        return {key: matches for key, matches in found.items() if gone.get(key) not in present}

    def _natural_values(
        self, model: type[Model], fields: tuple[AnyField, ...], keys: list[Key], lock: bool
    ) -> dict[Key, tuple[Any, ...]]:
        """The natural keys of these objects as REMOTE would have them, from their rows or their deletions' entries."""
        places = [
            Table(model).fields.index(field) if field in Table(model).fields else None for field in fields
        ]
        here: dict[Key, tuple[Any, ...]] = {}
        rows = self._rows.load(model, keys)
        for key in keys:
            if key in rows and None not in places:
                here[key] = tuple(rows[key][place] for place in places if place is not None)
            elif key not in rows and (text := self._naturals.get((model, key))):
                values = values_from_entry(model, text)
                if values is not None:
                    here[key] = values
        for place, field in enumerate(fields):
            if target_of(field) is not None:
                parts = self.translate(field, {values[place] for values in here.values()}, lock)
                here = {
                    key: (*values[:place], parts[values[place]], *values[place + 1 :])
                    for key, values in here.items()
                    if values[place] is None or parts[values[place]] is not None
                }
        return here

    def _one_by_one(
        self, model: type[Model], fields: tuple[AnyField, ...], values: tuple[Any, ...]
    ) -> list[Key]:
        """By REMOTE's own comparison."""
        if not self._link.remote.engine.findable([values]):
            return []
        connection = self._link.remote.connection
        lookup = {
            field.attname: to_attribute(field, value, connection)
            for field, value in zip(fields, values, strict=True)
        }
        found: QuerySet[Model] = QuerySet(model, using=self._link.remote.alias).filter(**lookup)
        return [key_of(instance, model) for instance in found]

    def _only_one(self, model: type[Model], key: Key, matches: list[Key]) -> Key:
        if len(matches) > 1 and not allows_many(model):
            raise Ambiguous(
                _(
                    "%(model)s %(key)s: its natural key finds more than one row on REMOTE. Make the key unique there, "
                    "or say allow_many where the first one will do."
                )
                % {"model": model._meta.label, "key": to_text(model, key)}
            )
        return matches[0]

    def _by_natural_method(self, model: type[Model], keys: list[Key]) -> dict[Key, list[Key]]:
        """Where the model's own methods know the natural key, they are asked for each object."""
        manager = finder(model).db_manager(self._link.remote.alias)
        found = {}
        for key, natural in self._natural_keys(model, keys):
            if not self._link.remote.engine.findable([natural]):
                continue
            try:
                found[key] = [key_of(manager.get_by_natural_key(*natural), model)]
            except ObjectDoesNotExist:
                continue
            except MultipleObjectsReturned:
                self._only_one(model, key, [key, key])
        return found

    def _natural_keys(self, model: type[Model], keys: list[Key]) -> Iterable[tuple[Key, Any]]:
        here = set(self._rows.load(model, keys))
        local = self._link.local
        pk = key_fields(model)[0]
        for part in _parts([key for key in keys if key in here]):
            attributes = [to_attribute(pk, key, local.connection) for key in part]
            instances: Any = QuerySet(model, using=local.alias).filter(pk__in=attributes)
            for instance in instances:
                yield key_of(instance, model), instance.natural_key()
        for key in keys:
            if key not in here and (text := self._naturals.get((model, key))):
                yield key, json.loads(text, strict=False)


def target_of(field: AnyField) -> type[Model] | None:
    """
    The model whose key the column holds; None for a plain column, and for a foreign key to something else than the
    key, whose value is the same on both sides.
    """
    if field.remote_field is None or field.related_model is None:
        return None
    model: type[Model] = field.related_model._meta.concrete_model
    keys = key_fields(model)
    if len(keys) == 1 and field.target_field in (keys[0], model._meta.pk):
        return model
    return None


def existing(link: Link, model: type[Model], keys: Collection[Key], lock: bool) -> set[Key]:
    """Which of these keys REMOTE has."""
    fields = key_fields(model)
    if len(fields) == 1:
        values = [(key,) for key in dict.fromkeys(keys)]
        return {key for (key,) in select(link.remote, model, fields, fields, values, lock)}
    return {tuple(row) for row in select(link.remote, model, fields, fields, list(dict.fromkeys(keys)), lock)}


def _parts(values: list[Any], size: int = 5000) -> Iterable[list[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
