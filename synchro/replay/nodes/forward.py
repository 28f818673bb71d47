"""
Forwarding: REMOTE's log gets entries of what others changed, so that REMOTE's own runs pass it on.

Each entry has the sign of the change (see `synchro.replay.log.received`), and a log never gets an entry whose sign it
has. So each entry comes to each node once, and is sent on once, however the nodes are connected. They end equal: in a
column the latest entry counts, and nodes that have sent each other all they had have the same entries.
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
from synchro.replay.identity.identities import Identities
from synchro.replay.log.changes import Change, Changes, Entry, RowId, coalesce
from synchro.replay.log.entries import read_entries
from synchro.replay.log.names import has_sets, sets_named
from synchro.replay.log.received import PART, Received, Sign, about, objects_of, sign_of
from synchro.replay.session import Session
from synchro.replay.work import BatchWork


def drop_known(
    session: Session,
    received: Received,
    changes: Changes,
    identities: Identities,
    floor: int,
    own: Collection[RowId],
) -> list[Entry]:
    """
    Take out of `changes` what REMOTE has by another way, and return the entries that are left.

    The rows `own` stay: they are in the batch for other reasons. REMOTE's log is read from the id `floor` on.
    """
    signs = set(_remote_signs(session, received, identities, floor))
    new = [entry for entry in received.entries if sign_of(entry, session.node) not in signs]
    if len(new) == len(received.entries):
        return new
    before, after = coalesce(received.entries), coalesce(new)
    for row_id in before.rows.keys() & changes.rows.keys() - set(own):
        if row_id in after.rows:
            changes.rows[row_id] = after.rows[row_id]
        else:
            del changes.rows[row_id]
    for m2m in before.sets.keys() & changes.sets.keys():
        if m2m in after.sets:
            changes.sets[m2m] = after.sets[m2m]
        else:
            del changes.sets[m2m]
    return new


def _remote_signs(session: Session, received: Received, identities: Identities, floor: int) -> Iterator[Sign]:
    assert session.peer.uuid is not None
    objects: dict[type[Model], list[Key]] = {}
    for model, keys in objects_of(received.entries).items():
        found = identities.find(model, keys)
        several = [identity.logged_key for identity in found.values()]
        objects[model] = [key for key in several if _is_complete(key)]
    log = ChangeLog.objects.using(session.remote.alias).filter(id__gt=floor)
    for part in about(session.remote, log, objects):
        for entry in read_entries(session.remote, part, node=session.peer.uuid):
            yield sign_of(entry, session.peer.uuid)


def _is_complete(key: Key) -> bool:
    return key is not None and not (isinstance(key, tuple) and None in key)


def _natural_key(entry: Entry) -> str | None:
    """Return an entry's natural key where it means the same on all nodes, without a key of another row in it."""
    fields = natural_fields(entry.model)
    is_plain = fields is not None and all(target_of(field) is None for field in fields)
    return entry.natural_key if is_plain else None


def _without(change: Change, passed_on: Change | None) -> Change:
    """Return what a change says beyond what is passed on anyway."""
    rest = change.copy()
    if passed_on is None:
        return rest
    rest.deleted = None if passed_on.deleted == change.deleted else change.deleted
    rest.whole = None if passed_on.whole == change.whole else change.whole
    rest.fields = {name: date for name, date in change.fields.items() if passed_on.fields.get(name) != date}
    return rest


def _as_entries(change: Change) -> Iterator[tuple[int, tuple[str, ...] | None, datetime]]:
    """Yield what entries would say of a change: the action, the fields, and when."""
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
    """The entries of a batch for REMOTE's log. To be made before REMOTE is written to; `write` is called afterwards."""

    def __init__(
        self,
        work: BatchWork,
        entries: Sequence[Entry],
        quarantined: Collection[RowId],
        resting: Collection[RowId],
    ) -> None:
        self._session, self._batch = work.session, work.batch
        self._changes, self._plan, self._identities = work.changes, work.plan, work.identities
        self._quarantined = quarantined
        self._left_out = {
            *resting,
            *((model, key) for model, keys in work.plan.quarantined.items() for key in keys),
        }
        # Sets of an object in quarantine are replayed without it, but for pairs that are left out themselves.
        self._entries = [
            e for e in entries if e.action == M2M_CHANGE or (e.model, e.key) not in self._left_out
        ]
        #: What the batch does besides what its entries say, which is news of REMOTE's own to all others.
        self._more = list(self._unnamed())

    def _unnamed(self) -> Iterator[tuple[RowId, int, Key | None]]:
        """Yield rows that no entry names, by LOCAL's keys, with what is done to them and REMOTE's key, if any."""
        for model, remotes in self._plan.withheld_deletions.items():
            yield from (((model, None), CHANGE, remote) for remote in remotes)
        for model, keys in self._plan.writes.items():
            if is_watched(model):
                known = self._identities.known(model)
                for key in keys:
                    if not known[key].exists and not self._is_named(model, key):
                        yield (model, key), ADDITION, None
        for model, deletions in self._plan.deletions.items():
            if is_watched(model) and not model._meta.auto_created:
                for remote, local in deletions.items():
                    if (model, local) not in self._changes.rows:
                        yield (model, local), DELETION, remote

    def _is_named(self, model: type[Model], key: Key) -> bool:
        if model._meta.auto_created:
            return self._changes.member_changed_at(model, key) is not None
        return (model, key) in self._changes.rows

    def write(self) -> None:
        """Write the entries within the batch's transaction, when all new rows have their keys of REMOTE."""
        now = self._session.remote.backend.now()
        rows = [*self._received(now), *self._from_quarantine(now), *self._own(now)]
        ChangeLog.objects.using(self._session.remote.alias).bulk_create(rows, batch_size=PART)

    def _received(self, now: datetime) -> Iterator[ChangeLog]:
        for entry in self._entries:
            key = self._remote_key(entry.model, entry.key)
            if key is not None:
                origin, number, made = sign_of(entry, self._session.node)
                yield self._row(
                    entry.model, key, entry.action, now,
                    fields=entry.fields, natural_key=_natural_key(entry), members=self._members(entry),
                    origin=origin, number=number, made=made, sender=self._session.node,
                )  # fmt: skip

    def _from_quarantine(self, now: datetime) -> Iterator[ChangeLog]:
        """Yield entries of changes that were in quarantine, and were not passed on: theirs may have been pruned."""
        passed_on = coalesce(self._entries).rows
        for model, key in set(self._quarantined) & self._changes.rows.keys() - self._left_out:
            change = _without(self._changes.rows[model, key], passed_on.get((model, key)))
            if change.whole is not None and key in self._plan.deletions.get(model, {}).values():
                change.deleted = change.whole
            remote_key = self._remote_key(model, key)
            for action, fields, made in _as_entries(change) if remote_key is not None else ():
                yield self._row(
                    model, remote_key, action, now,
                    fields=fields, made=made,
                    origin=self._session.node, number=-self._batch.number, sender=self._session.node,
                )  # fmt: skip

    def _own(self, now: datetime) -> Iterator[ChangeLog]:
        for (model, key), action, remote in self._more:
            remote_key = self._remote_key(model, key) if remote is None else remote
            if remote_key is not None and (model, key) not in self._left_out:
                yield self._row(model, remote_key, action, now)

    def _row(self, model: type[Model], key: Key, action: int, now: datetime, **values: object) -> ChangeLog:
        kind = self._session.remote.content_type_id(model)
        return ChangeLog(
            content_type_id=kind, object_id=to_text(model, key), date=now, action=action, **values
        )

    def _remote_key(self, model: type[Model], key: Key) -> Key | None:
        identity = self._identities.known(model).get(key)
        remote_key = None if identity is None else identity.remote
        return remote_key if _is_complete(remote_key) else None

    def _members(self, entry: Entry) -> str | None:
        """Return the members that an entry names, by REMOTE's keys, without those that REMOTE lacks."""
        if entry.members is None or not has_sets(entry.model, entry.fields or ()):
            return None
        keys: set[Key] = set()
        for through, is_reverse in sets_named(entry.model, entry.fields or ()):
            far = (ends_of_set(through) or key_fields(through))[0 if is_reverse else 1]
            named = [value_from_text(far, text) for text in json.loads(entry.members)]
            members = [
                key
                for key in named
                if (through, (key, entry.key) if is_reverse else (entry.key, key)) not in self._left_out
            ]
            keys |= {*self._identities.translate(far, members).values()} - {None}
        return json.dumps([value_to_text(key) for key in keys])
