"""
Forward: entries of what others changed, in REMOTE's log, so that REMOTE's own runs pass it on.

Each entry keeps the node that made the change, the id of its entry there, and the time; the three together are its
sign (see `received`). A log never gets an entry whose sign it has. So each entry comes to each node once, and
is sent on from there once: however the nodes are connected, all of them come to rest. And they come to rest equal: what
counts in a column is the latest of the entries that a node has, and nodes that have sent each other all they had, have
the same ones.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from django.db.models import Model

from synchro.keys import Key, key_fields, to_text, value_from_text, value_to_text
from synchro.models import ADDITION, CHANGE, DELETION, M2M_CHANGE, ChangeLog
from synchro.natural import natural_fields
from synchro.registry import is_watched
from synchro.relations import ends_of_set, target_of
from synchro.replay.conflicts.members import changed_at
from synchro.replay.conflicts.versions import version_key
from synchro.replay.identity.identities import Identities
from synchro.replay.log.changes import Change, Changes, Entry, RowId, coalesce
from synchro.replay.log.entries import read_entries
from synchro.replay.log.names import has_sets, sets_named
from synchro.replay.log.received import PART, Received, Sign, about, sign_of
from synchro.replay.plan import Plan
from synchro.replay.session import Session


def drop_known(
    session: Session,
    received: Received,
    changes: Changes,
    identities: Identities,
    floor: int,
    own: Collection[RowId],
) -> list[Entry]:
    """
    Take out of `changes` what REMOTE has by another way, but for what is in the batch for other reasons (`own`); return
    the entries that are left. REMOTE's log is read from the id `floor` on.
    """
    signs = set(_signs_there(session, received, identities, floor))
    new = [entry for entry in received.entries if sign_of(entry, session.node) not in signs]
    if len(new) == len(received.entries):
        return new
    before, after = coalesce(received.entries), coalesce(new)
    for place in before.rows.keys() & changes.rows.keys() - set(own):
        if place in after.rows:
            changes.rows[place] = after.rows[place]
        else:
            del changes.rows[place]
    for m2m in before.sets.keys() & changes.sets.keys():
        if m2m in after.sets:
            changes.sets[m2m] = after.sets[m2m]
        else:
            del changes.sets[m2m]
    return new


def _signs_there(session: Session, received: Received, identities: Identities, floor: int) -> Iterator[Sign]:
    assert session.peer.uuid is not None
    objects: dict[type[Model], list[Key]] = {}
    for model, keys in received.by_object().items():
        found = identities.find(model, keys)
        several = [version_key(identity) for identity in found.values()]
        objects[model] = [key for key in several if _is_whole(key)]
    log = ChangeLog.objects.using(session.remote.alias).filter(id__gt=floor)
    for part in about(session.remote, log, objects):
        for entry in read_entries(session.remote, part, node=session.peer.uuid):
            yield sign_of(entry, session.peer.uuid)


def _is_whole(key: Key) -> bool:
    return key is not None and not (isinstance(key, tuple) and None in key)


def _natural_key(entry: Entry) -> str | None:
    """As the entry holds it, where it means the same on all nodes: no key of another row is among its values."""
    fields = natural_fields(entry.model)
    is_plain = fields is not None and all(target_of(field) is None for field in fields)
    return entry.natural_key if is_plain else None


def _without(change: Change, told: Change | None) -> Change:
    """What a change says beyond what is told anyway."""
    rest = change.copy()
    if told is None:
        return rest
    rest.deleted = None if told.deleted == change.deleted else change.deleted
    rest.whole = None if told.whole == change.whole else change.whole
    rest.fields = {name: date for name, date in change.fields.items() if told.fields.get(name) != date}
    return rest


def _told_by(change: Change) -> Iterator[tuple[int, tuple[str, ...] | None, datetime]]:
    """What entries would say of a change: the action, the fields, and when."""
    if change.deleted is not None:
        yield DELETION, None, change.deleted
        return
    if change.whole is not None:
        yield CHANGE, None, change.whole
    by_date: dict[datetime, list[str]] = {}
    for name, date in change.fields.items():
        by_date.setdefault(date, []).append(name)
    for date, names in by_date.items():
        yield CHANGE, tuple(names), date


class Forward:
    """To be made before REMOTE is written to, and written afterwards."""

    def __init__(
        self,
        session: Session,
        changes: Changes,
        plan: Plan,
        identities: Identities,
        entries: Sequence[Entry],
        quarantined: Collection[RowId],
        resting: Collection[RowId],
    ) -> None:
        self._session, self._changes, self._plan, self._identities = session, changes, plan, identities
        self._quarantined = quarantined
        self._left = {*resting, *((model, key) for model, keys in plan.left_out.items() for key in keys)}
        # Sets of an object that is set aside come and go without it, but for pairs that are left out themselves.
        self._entries = [e for e in entries if e.action == M2M_CHANGE or (e.model, e.key) not in self._left]
        #: What the batch does besides what its entries say, which is news of REMOTE's own to all others.
        self._more = list(self._unnamed())

    def _unnamed(self) -> Iterator[tuple[RowId, int, Key | None]]:
        """Such rows by LOCAL's keys, what becomes of them, and REMOTE's key where there is one."""
        for model, remotes in self._plan.stays.items():
            yield from (((model, None), CHANGE, remote) for remote in remotes)
        for model, keys in self._plan.puts.items():
            if is_watched(model):
                known = self._identities.known(model)
                for key in keys:
                    if not known[key].exists and not self._is_named(model, key):
                        yield (model, key), ADDITION, None
        for model, removals in self._plan.removals.items():
            if is_watched(model) and not model._meta.auto_created:
                for remote, local in removals.items():
                    if (model, local) not in self._changes.rows:
                        yield (model, local), DELETION, remote

    def _is_named(self, model: type[Model], key: Key) -> bool:
        if model._meta.auto_created:
            return changed_at(self._changes, model, key) is not None
        return (model, key) in self._changes.rows

    def write(self, number: int) -> None:
        """Write the entries of batch `number`, within its transaction: REMOTE's keys are known by now."""
        now = self._session.remote.backend.now()
        rows = [*self._received(now), *self._taken_up(now, number), *self._own(now)]
        ChangeLog.objects.using(self._session.remote.alias).bulk_create(rows, batch_size=PART)

    def _received(self, now: datetime) -> Iterator[ChangeLog]:
        for entry in self._entries:
            key = self._key_there(entry.model, entry.key)
            if key is not None:
                origin, number, made = sign_of(entry, self._session.node)
                yield self._row(
                    entry.model, key, entry.action, now,
                    fields=entry.fields, natural_key=_natural_key(entry), members=self._members(entry),
                    origin=origin, number=number, made=made, sender=self._session.node,
                )  # fmt: skip

    def _taken_up(self, now: datetime, number: int) -> Iterator[ChangeLog]:
        """Of what had been set aside, and was not passed on then; its own entries may have been pruned."""
        told = coalesce(self._entries).rows
        for model, key in set(self._quarantined) & self._changes.rows.keys() - self._left:
            change = _without(self._changes.rows[model, key], told.get((model, key)))
            if change.whole is not None and key in self._plan.removals.get(model, {}).values():
                change.deleted = change.whole
            there = self._key_there(model, key)
            for action, fields, made in _told_by(change) if there is not None else ():
                yield self._row(
                    model, there, action, now,
                    fields=fields, origin=self._session.node, number=-number, made=made, sender=self._session.node,
                )  # fmt: skip

    def _own(self, now: datetime) -> Iterator[ChangeLog]:
        for (model, key), action, remote in self._more:
            there = self._key_there(model, key) if remote is None else remote
            if there is not None and (model, key) not in self._left:
                yield self._row(model, there, action, now)

    def _row(self, model: type[Model], key: Key, action: int, now: datetime, **values: object) -> ChangeLog:
        kind = self._session.remote.content_type_id(model)
        return ChangeLog(
            content_type_id=kind, object_id=to_text(model, key), date=now, action=action, **values
        )

    def _key_there(self, model: type[Model], key: Key) -> Key | None:
        identity = self._identities.known(model).get(key)
        there = None if identity is None else identity.remote
        return there if _is_whole(there) else None

    def _members(self, entry: Entry) -> str | None:
        """The members that an entry names, by REMOTE's keys; those that REMOTE lacks have not come or gone there."""
        if entry.members is None or not has_sets(entry.model, entry.fields or ()):
            return None
        keys: set[Key] = set()
        for through, is_reverse in sets_named(entry.model, entry.fields or ()):
            far = (ends_of_set(through) or key_fields(through))[0 if is_reverse else 1]
            named = [value_from_text(far, text) for text in json.loads(entry.members)]
            members = [
                key
                for key in named
                if (through, (key, entry.key) if is_reverse else (entry.key, key)) not in self._left
            ]
            keys |= {*self._identities.translate(far, members).values()} - {None}
        return json.dumps([value_to_text(key) for key in keys])
