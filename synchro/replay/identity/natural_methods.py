"""
Natural keys by the model's own methods, which others wrote: each object is looked for by itself.

Such methods know of one database. So what a manager finds counts only if it says that it comes from REMOTE, and if
REMOTE has a row with that key.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from django.core.exceptions import MultipleObjectsReturned, ObjectDoesNotExist
from django.db.models import Model, QuerySet
from django.utils.translation import gettext as _

from synchro.exceptions import SynchroError, WrongDatabase
from synchro.keys import Key, key_fields, key_of
from synchro.natural_parts import NamedRow, from_json, named_rows, natural_parts, natural_values
from synchro.natural_rows import columns_in_entry
from synchro.relations import target_of
from synchro.replay.columns import spelt_alike, to_attribute
from synchro.replay.guests.guard import Guest, guarded
from synchro.replay.identity.gone_objects import NO_VALUE, GoneObjects, UnnamedRows
from synchro.replay.identity.natural_errors import (
    ambiguous,
    double,
    in_words,
    name_of,
    unfound,
    unmade,
    wrong_database,
)
from synchro.replay.identity.natural_keys import LoggedKeys, Translates, allows_many, finder
from synchro.replay.log.changes import RowId
from synchro.replay.rows import Rows, as_values, select
from synchro.replay.session import Database, Session

#: A natural key, each part a value or a `NamedRow` of LOCAL.
Parts = Sequence[Any]


class ByMethod:
    """Finds the rows of REMOTE that have the natural keys of objects of LOCAL."""

    def __init__(
        self,
        session: Session,
        rows: Rows,
        logged_keys: LoggedKeys,
        unnamed: UnnamedRows,
        identities: Translates,
    ) -> None:
        self._session, self._rows, self._logged_keys, self._identities = (
            session,
            rows,
            logged_keys,
            identities,
        )
        self._unnamed = unnamed
        self._gone = GoneObjects(session.local, logged_keys)
        #: REMOTE's objects that natural keys name.
        self._objects: dict[type[Model], dict[Key, Model]] = {}

    def find(self, model: type[Model], keys: Sequence[Key], lock: bool) -> dict[Key, list[Key]]:
        """
        Return REMOTE's keys of the rows that have the natural keys of these objects, by LOCAL's keys.

        Raises `Unidentified` where a method of the model raises, or looks into another database.
        """
        present = self._rows.load(model, keys)
        # What cannot be read looks empty to the method.
        readable = [key for key in present if not self._rows.unreadable_fields(model, key)]
        parts = self._of_present(model, readable)
        gone = self._of_gone(model, [key for key in keys if key not in present])
        remote = self._remote_values(model, parts | gone, lock)
        manager = self._manager(model, remote)
        found: dict[Key, Key] = {}
        for key, values in remote.items():
            if not self._session.remote.backend.findable([values]):
                continue
            match = self._ask(model, manager, key, values)
            if match is None or not self._is_alike(match, (parts | gone)[key], is_gone=key in gone):
                continue
            if key not in gone or not self._is_made_again(model, key, gone[key]):
                found[key] = key_of(match, model)
        self._refuse_doubles(model, found, parts)
        pk, matches = key_fields(model), [as_values(key) for key in dict.fromkeys(found.values())]
        existing = {key for (key,) in select(self._session.remote, model, pk, pk, matches, lock)}
        return {key: [match] for key, match in found.items() if match in existing}

    def is_double(self, model: type[Model], key: Key) -> bool:
        """
        Return whether LOCAL itself has several rows with the natural key of this object, which LOCAL has.

        Raises `Unidentified` where the manager raises another error than Django's own, and so does not say.
        """
        for instance in self._instances(model, [key]):
            try:
                match = self._ask_local(model, key, partial(natural_values, instance))
            except MultipleObjectsReturned:
                return True
            # One that hides the row, as what is deleted softly, may show another one.
            return isinstance(match, model) and key_of(match, model) != key
        return False

    def _is_made_again(self, model: type[Model], key: Key, parts: Parts) -> bool:
        """Return whether LOCAL has another row with the natural key of this deleted one: REMOTE's row is that one's."""
        try:
            return isinstance(self._ask_local(model, key, lambda: map(self._local_part, parts)), model)
        except MultipleObjectsReturned:
            return True

    def _ask_local(self, model: type[Model], key: Key, values: Callable[[], Iterable[Any]]) -> Any:
        """Return what LOCAL's manager finds by this natural key of an object; None where it finds nothing."""
        local = self._session.local
        manager = finder(model).db_manager(local.alias)
        guest = Guest(f"{name_of(manager)}.get_by_natural_key()", model, key)
        try:
            with guarded(local.alias, guest):
                return manager.get_by_natural_key(*values())
        except ObjectDoesNotExist:
            return None
        except MultipleObjectsReturned:
            raise
        except WrongDatabase as error:
            raise wrong_database(model, manager, [key]) from error
        except Exception as error:
            _let_pass(local, error)
            raise unfound(model, manager, key, error) from error

    def _local_part(self, part: Any) -> Any:
        """Return a part of a natural key as LOCAL's manager takes it."""
        if isinstance(part, list):
            return tuple(map(self._local_part, part))
        if not isinstance(part, NamedRow):
            return part
        key = to_attribute(key_fields(part.model)[0], part.key, self._session.local.connection)
        if part.field is None:
            return QuerySet(part.model, using=self._session.local.alias).get(pk=key)
        return part.spelled if target_of(part.field) is None else key

    # -- what natural keys are ------------------------------------------------------------------------------

    def _instances(self, model: type[Model], keys: Sequence[Key], size: int = 5000) -> Iterator[Model]:
        pk, local = key_fields(model)[0], self._session.local
        for start in range(0, len(keys), size):
            attributes = [to_attribute(pk, key, local.connection) for key in keys[start : start + size]]
            yield from QuerySet(model, using=local.alias).filter(pk__in=attributes)

    def _of_present(self, model: type[Model], keys: Sequence[Key]) -> dict[Key, Parts]:
        found: dict[Key, Parts] = {}
        failed: dict[Key, Exception] = {}
        for instance in self._instances(model, keys):
            key = key_of(instance, model)
            try:
                found[key] = natural_parts(instance, self._session.local.model_of)
            except Exception as error:  # noqa: BLE001  code of others
                _let_pass(self._session.local, error)
                failed[key] = error
        if failed:
            raise unmade(model, failed)
        return found

    def _of_gone(self, model: type[Model], keys: Sequence[Key]) -> dict[Key, Parts]:
        found: dict[Key, Parts] = {}
        for key in keys:
            parts = self._of_gone_object(model, key, self._logged_keys.get((model, key), ""))
            if parts is not None:
                found[key] = parts
        return found

    def _of_gone_object(self, model: type[Model], key: Key, text: str) -> Parts | None:
        """Return the natural key that the entry holds, or that the model's method makes of what the entry holds."""
        try:
            if text and columns_in_entry(text) is None:
                return from_json(model, text)
        except NO_VALUE:  # the model has changed since
            text = ""
        instance = self._gone.make(model, key) if text else None
        if instance is None:
            self._unnamed.note((model, key))
            return None
        cause, missing = "", set[RowId]()
        for is_complete in (False, True):
            if is_complete:
                missing = self._gone.complete(instance)
            try:
                return natural_parts(instance, self._session.local.model_of)
            except Exception as error:  # noqa: BLE001  code of others
                _let_pass(self._session.local, error)
                cause = _("its natural_key() raised %s") % in_words(error)
        self._unnamed.note((model, key), cause, missing)
        return None

    def _remote_values(
        self, model: type[Model], parts: Mapping[Key, Parts], lock: bool
    ) -> dict[Key, list[Any]]:
        """Return these natural keys as REMOTE has them, without those that name a row which REMOTE lacks."""
        wanted: dict[type[Model], set[Key]] = {}
        for several in parts.values():
            for row in named_rows(several):
                wanted.setdefault(row.model, set()).add(row.key)
        remote = {
            # An object cannot be known by its own key, which is what is to be found out.
            target: {}
            if target is model and keys & parts.keys()
            else self._identities.remote_keys(target, keys, lock)
            for target, keys in wanted.items()
        }
        self._load_objects(parts.values(), remote)
        found = {}
        for key, several in parts.items():
            try:
                found[key] = [self._remote_part(part, remote) for part in several]
            except _Lacking:
                self._unnamed.note_by((model, key), {(row.model, row.key) for row in named_rows(several)})
        return found

    def _remote_part(self, part: Any, remote: Mapping[type[Model], Mapping[Key, Key]]) -> Any:
        if isinstance(part, list):
            return tuple(self._remote_part(each, remote) for each in part)
        if not isinstance(part, NamedRow):
            return part
        key = remote[part.model].get(part.key)
        if key is None:
            raise _Lacking
        connection = self._session.remote.connection
        if part.field is None:
            if key not in self._objects.get(part.model, {}):
                raise _Lacking
            return self._objects[part.model][key]
        if target_of(part.field) is not None:
            return to_attribute(part.field, key, connection)
        return spelt_alike(part.field, part.model, key, part.spelled, connection)

    def _load_objects(
        self, several: Iterable[Parts], remote: Mapping[type[Model], Mapping[Key, Key]]
    ) -> None:
        wanted: dict[type[Model], set[Key]] = {}
        for parts in several:
            for row in named_rows(parts):
                if row.field is None and row.key in remote[row.model]:
                    wanted.setdefault(row.model, set()).add(remote[row.model][row.key])
        for model, keys in wanted.items():
            known = self._objects.setdefault(model, {})
            new = [
                to_attribute(key_fields(model)[0], key, self._session.remote.connection)
                for key in keys - known.keys()
            ]
            found: Any = QuerySet(model, using=self._session.remote.alias).filter(pk__in=new)
            known |= {key_of(instance): instance for instance in found}

    # -- the manager ----------------------------------------------------------------------------------------

    def _manager(self, model: type[Model], asked: Collection[Key]) -> Any:
        manager = finder(model).db_manager(self._session.remote.alias)
        if asked and is_forgetful(manager, self._session.remote.alias):
            raise wrong_database(model, manager, asked)
        return manager

    def _ask(self, model: type[Model], manager: Any, key: Key, values: Sequence[Any]) -> Model | None:
        guest = Guest(f"{name_of(manager)}.get_by_natural_key()", model, key)
        try:
            with guarded(self._session.remote.alias, guest, refuses_reads=True):
                match = manager.get_by_natural_key(*values)
        except ObjectDoesNotExist:
            return None
        except WrongDatabase as error:
            raise wrong_database(model, manager, [key]) from error
        except MultipleObjectsReturned:
            if allows_many(model):
                return None
            raise ambiguous(model, [key], _("finds more than one row on REMOTE")) from None
        except SynchroError:
            raise
        except Exception as error:
            _let_pass(self._session.remote, error)
            raise unfound(model, manager, key, error) from error
        if not isinstance(match, model):
            return None
        if match._state.db != self._session.remote.alias:
            raise wrong_database(model, manager, [key])
        return match

    def _is_alike(self, match: Model, parts: Parts, is_gone: bool) -> bool:
        """
        Return whether both objects' natural keys are made of the same parts.

        An older entry may hold the key of another row without saying so, and a key means nothing without its model.
        """
        if not is_gone and not any(row.field is not None for row in named_rows(parts)):
            return True
        try:
            remote_parts = natural_parts(match, self._session.remote.model_of)
        except Exception as error:  # noqa: BLE001  code of others
            _let_pass(self._session.remote, error)
            return False
        return _shape(remote_parts) == _shape(parts)

    def _refuse_doubles(
        self, model: type[Model], found: Mapping[Key, Key], parts: Mapping[Key, Parts]
    ) -> None:
        """Raise `Ambiguous` where several objects that LOCAL has have one natural key and one row of REMOTE."""
        if allows_many(model):
            return
        first: dict[Key, Key] = {}
        for key, match in found.items():
            if key in parts and (other := first.setdefault(match, key)) != key and parts[other] == parts[key]:
                raise double(model, [other, key])


class _Lacking(Exception):
    """A natural key names a row that REMOTE does not have."""


def is_forgetful(manager: Any, alias: str) -> bool:
    """Return whether a manager that was given a database asks another one."""
    try:
        return bool(manager.get_queryset().db != alias)
    except Exception:  # noqa: BLE001  code of others; it will say so when it is asked for a row
        return False


def _shape(parts: Parts) -> list[Any]:
    return [_shape_of(part) for part in parts]


def _shape_of(part: Any) -> Any:
    if isinstance(part, NamedRow):
        return part.model, part.field is None
    return _shape(part) if isinstance(part, list) else None


def _let_pass(database: Database, error: Exception) -> None:
    """Raise what is about the connection or the server, and not about the object."""
    if isinstance(error, SynchroError) or database.backend.is_transient(error):
        raise error
