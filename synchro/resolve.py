"""
Take the other side of a conflict: LOCAL's row gets what the side had that lost, as a change of LOCAL like any other.

What is on record of a conflict are values for people to read. So only what can be made from them without a doubt is
written; all else is refused, with the reason.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connections, models, transaction
from django.db.models import Model
from django.utils import timezone
from django.utils.translation import gettext as _

from synchro.conf import LOCAL
from synchro.describe import label_of
from synchro.entries import NewEntry, write_entries
from synchro.exceptions import SynchroError
from synchro.keys import Key, from_text, key_fields, normalize
from synchro.models import CHANGE, DELETION, M2M_CHANGE, Conflict
from synchro.registry import Table, is_watched
from synchro.relations import target_of
from synchro.replay.columns import json_value
from synchro.replay.identity.models import keeps_references
from synchro.replay.identity.references import references
from synchro.replay.session import Database

#: Fields whose values on record say all that the column holds.
PLAIN = (
    models.IntegerField, models.CharField, models.TextField, models.BooleanField, models.DecimalField,
    models.FloatField, models.DateTimeField, models.DateField, models.TimeField, models.UUIDField,
    models.GenericIPAddressField, models.FileField,
)  # fmt: skip


class NotTaken(SynchroError):
    """The other side of a conflict cannot be taken; nothing was written."""


@dataclass(frozen=True)
class Field:
    """One field of a conflict, side by side; values as people read them, None where there is no row."""

    name: str
    local: Any
    remote: Any
    #: What LOCAL has at this moment.
    now: Any

    @property
    def differs(self) -> bool:
        return bool(_member_state(self.local) != _member_state(self.remote))

    @property
    def in_words(self) -> tuple[Any, Any, Any]:
        """The three values, as people read them."""
        return _in_words(self.local), _in_words(self.remote), _in_words(self.now)


class Resolution:
    """A conflict, and what it would be to take a side of it."""

    def __init__(self, conflict: Conflict) -> None:
        self.conflict = conflict
        self.model = Database(LOCAL).model_of(conflict.content_type_id)
        self._local, self._remote = _read(conflict.local_values), _read(conflict.remote_values)
        self.row = self._present_row()

    @property
    def others(self) -> tuple[str, ...]:
        """The sides that can be taken: the one that lost, or both of a merge."""
        decision = self.conflict.decision
        if decision == Conflict.MERGED:
            return (Conflict.LOCAL, Conflict.REMOTE)
        return (Conflict.REMOTE,) if decision == Conflict.LOCAL else (Conflict.LOCAL,)

    def only_other(self) -> str:
        """Return the side that can be taken; raise `NotTaken` where there is a choice."""
        if len(self.others) != 1:
            raise NotTaken(_("Both sides were merged: open it, and choose one."))
        return self.others[0]

    @property
    def fields(self) -> list[Field]:
        """The fields that the conflict is about, in the order of the table."""
        names = list(dict.fromkeys([*(self._local or {}), *(self._remote or {})]))
        return [
            Field(name, (self._local or {}).get(name), (self._remote or {}).get(name), self._now(name))
            for name in names
        ]

    @property
    def is_deleted(self) -> dict[str, bool]:
        """Whether each side had deleted the object."""
        return {"local": self._local is None, "remote": self._remote is None}

    @property
    def state(self) -> str:
        """What LOCAL has of these fields now, as a short text to compare."""
        names = sorted({*(self._local or {}), *(self._remote or {})})
        present = None if self.row is None else {name: self._now(name) for name in names}
        return hashlib.sha256(json.dumps(present, default=str).encode()).hexdigest()[:16]

    def take(self, side: str, expected: str) -> None:
        """
        Write the values of a side to LOCAL, if LOCAL still has what the person has seen (`expected`).

        Raises `NotTaken`.
        """
        try:
            self._take(side, expected)
        except IntegrityError as error:
            raise NotTaken(
                _("LOCAL refuses these values: another object has the same unique value, or one is missing.")
            ) from error

    def _take(self, side: str, expected: str) -> None:
        with transaction.atomic(using=LOCAL):
            Database(LOCAL).backend.begin_writing()
            self.row = self._present_row(locks=True)
            if side not in self.others:
                raise NotTaken(_("That side has won already."))
            if self.model is None or not is_watched(self.model):
                raise NotTaken(_("The model is not watched any more, so nothing would be synchronized."))
            if self.state != expected:
                raise NotTaken(
                    _("The object has changed since you opened the page. Look at it again, and decide then.")
                )
            self._write(self.model, side)

    def _write(self, model: type[Model], side: str) -> None:
        values = self._local if side == Conflict.LOCAL else self._remote
        if values is None:
            self._delete(model)
        elif any(_is_member(value) or "." in name for name, value in values.items()):
            self._set_members(model, values)
        elif self.row is None:
            self._bring_back(model, values, side)
        else:
            self._change(model, self.row, values, side)

    def _delete(self, model: type[Model]) -> None:
        if self.row is not None:
            self.row.delete(using=LOCAL)
            return
        write_entries(label_of(model), [NewEntry(self.conflict.object_id, DELETION)])

    def _bring_back(self, model: type[Model], values: Mapping[str, Any], side: str) -> None:
        missing = {field.name for field in Table(model).fields if field not in key_fields(model)} - {*values}
        if missing or self.conflict.fields is not None:
            raise NotTaken(
                _(
                    "LOCAL does not have the object any more, and the record does not have all of its fields "
                    "(%(names)s are missing). Add it on LOCAL by hand, with these values."
                )
                % {"names": ", ".join(sorted(missing)) or "-"}
            )
        if model._meta.parents or model._meta.auto_created:
            raise NotTaken(
                _("The object has rows in several tables. Add it on LOCAL by hand, with these values.")
            )
        names = {field.name for field in key_fields(model)}
        row = model(**self._attributes(model, {n: v for n, v in values.items() if n not in names}, side))
        key = from_text(model, self.conflict.object_id)
        for field, value in zip(key_fields(model), key if isinstance(key, tuple) else (key,), strict=True):
            setattr(row, field.attname, value)
        row.save(using=LOCAL, force_insert=True)

    def _change(self, model: type[Model], row: Model, values: Mapping[str, Any], side: str) -> None:
        keys = {field.name for field in key_fields(model)}
        wanted = {name: value for name, value in values.items() if name not in keys}
        for attname, value in self._attributes(model, wanted, side).items():
            setattr(row, attname, value)
        if wanted:
            row.save(using=LOCAL, update_fields=list(wanted))
        # LOCAL may have these values already, so that no trigger sees a change.
        fields = ",".join(wanted) if wanted else None
        write_entries(label_of(model), [NewEntry(self.conflict.object_id, CHANGE, fields)])

    def _attributes(self, model: type[Model], values: Mapping[str, Any], side: str) -> dict[str, Any]:
        by_name = {field.name: field for field in Table(model).fields}
        if unknown := {*values} - {*by_name}:
            raise NotTaken(
                _("The model has no field %(names)s any more.") % {"names": ", ".join(sorted(unknown))}
            )
        return {
            by_name[name].attname: self._value(by_name[name], value, side) for name, value in values.items()
        }

    def _value(self, field: Any, value: Any, side: str) -> Any:
        if value is None:
            return None
        target = target_of(field) if field.remote_field is not None else None
        if target is not None:
            return self._pointed_at(field, target, value, side)
        if not (isinstance(field, PLAIN) and type(field).__module__.startswith("django.db.models.")):
            raise NotTaken(
                _("The values of %(name)s cannot be made from what is on record. Change the object by hand.")
                % {"name": field.name}
            )
        try:
            return self._in_its_zone(field.to_python(value), side)
        except ValidationError as error:
            raise NotTaken(_("%(name)s cannot hold what is on record.") % {"name": field.name}) from error

    def _in_its_zone(self, value: Any, side: str) -> Any:
        """Return a moment with the time zone in which that side's database keeps it."""
        if not (settings.USE_TZ and isinstance(value, datetime) and timezone.is_naive(value)):
            return value
        alias = self.conflict.peer.alias if side == Conflict.REMOTE else LOCAL
        zone = connections[alias].timezone if alias in connections else UTC
        return timezone.make_aware(value, zone)

    def _pointed_at(self, field: Any, target: type[Model], value: Any, side: str) -> Any:
        """Return LOCAL's key of the row that a foreign key of that side points at."""
        value = key_fields(target)[0].to_python(value)
        if side == Conflict.REMOTE and keeps_references(target):
            key = normalize(key_fields(target)[0], value)
            known = references(Database(LOCAL), self.conflict.peer_id, target).find_by_other([key])
            if key not in known:
                raise NotTaken(
                    _("LOCAL does not know the object that %(name)s points at on the other side.")
                    % {"name": field.name}
                )
            value = known[key]
        if not target._base_manager.using(LOCAL).filter(pk=value).exists():
            raise NotTaken(
                _("LOCAL does not have the object that %(name)s points at.") % {"name": field.name}
            )
        return value

    def _set_members(self, model: type[Model], values: Mapping[str, Any]) -> None:
        """Have the member be in the set, or not, as that side had it. LOCAL's own key names it."""
        for name, value in values.items():
            own = (self._local or {}).get(name)
            field = next((each for each in model._meta.many_to_many if each.name == name), None)
            key = _key_of_member(own)
            if field is None or key is None or self.row is None or not _is_member(value):
                raise NotTaken(
                    _(
                        "LOCAL does not have the object that the conflict is about. Add it, and decide by hand."
                    )
                )
            through: Any = field.remote_field.through
            if not through._meta.auto_created:
                raise NotTaken(
                    _("The rows of %(name)s have values of their own. Decide by hand.") % {"name": name}
                )
            manager = getattr(self.row, name)
            (manager.add if "in" in value else manager.remove)(key)
            entry = NewEntry(self.conflict.object_id, M2M_CHANGE, name, None, json.dumps([str(key)]))
            write_entries(label_of(model), [entry])

    def _present_row(self, *, locks: bool = False) -> Model | None:
        if self.model is None:
            return None
        try:
            key: Key = from_text(self.model, self.conflict.object_id)
        except (ValueError, ValidationError):
            return None
        keys = key if isinstance(key, tuple) else (key,)
        wanted = dict(zip((field.attname for field in key_fields(self.model)), keys, strict=True))
        rows = self.model._base_manager.using(LOCAL).filter(**wanted)
        return (rows.select_for_update() if locks else rows).first()

    def _now(self, name: str) -> Any:
        if self.row is None or self.model is None:
            return None
        for field in Table(self.model).fields:
            if field.name == name:
                return json_value(field.value_from_object(self.row))
        return _members_now(self.row, name, _key_of_member((self._local or {}).get(name)))


def _members_now(row: Model, name: str, key: Any) -> Any:
    field = next((each for each in row._meta.many_to_many if each.name == name), None)
    if field is None or key is None:
        return None
    is_in = getattr(row, name).filter(pk=key).exists()
    return {"in" if is_in else "out": key}


def _key_of_member(value: Any) -> Any:
    return next(iter(value.values())) if _is_member(value) else None


def _is_member(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in ("in", "out")


def _member_state(value: Any) -> Any:
    """Return whether a member is in the set, whatever its key; any other value as it is."""
    return next(iter(value)) if _is_member(value) else value


def _in_words(value: Any) -> Any:
    if not _is_member(value):
        return value
    ((state, key),) = value.items()
    return (_("in the set: %(key)s") if state == "in" else _("not in the set: %(key)s")) % {"key": key}


def _read(text: str | None) -> dict[str, Any] | None:
    return None if text is None else json.loads(text)


def take_all(conflicts: Collection[Conflict]) -> tuple[int, list[str]]:
    """Take the other side of several; return how many were taken, and why the others were not."""
    taken, refused = 0, []
    for conflict in conflicts:
        resolution = Resolution(conflict)
        try:
            resolution.take(resolution.only_other(), resolution.state)
            taken += 1
        except NotTaken as error:
            refused.append(f"{conflict}: {error}")
    return taken, refused
