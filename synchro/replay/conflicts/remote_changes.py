"""Theirs: what REMOTE did itself to the rows of a batch, by its log, by what was refused, or as must be presumed."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db.models import Model

from synchro.checkpoint import aware
from synchro.keys import Key
from synchro.relations import same_key_parents
from synchro.replay.conflicts.members import changed_at, ends_of
from synchro.replay.conflicts.policy import policy_for
from synchro.replay.conflicts.remote_log import RemoteLog
from synchro.replay.conflicts.versions import version_key
from synchro.replay.identity.identities import Identities
from synchro.replay.log.changes import Change, Changes
from synchro.replay.plan import Pair
from synchro.replay.session import Session

#: The shortest time that databases can tell.
MOMENT = timedelta(microseconds=1)


def their_changes(session: Session, log: RemoteLog, changes: Changes, identities: Identities) -> Changes:
    """What REMOTE did itself to the rows of the batch, by REMOTE's keys."""
    if session.peer_on_remote is None or not changes.rows:
        return Changes()
    wanted: dict[type[Model], list[Key]] = {}
    for (model, key), change in changes.rows.items():
        remote = version_key(identities.of(model, key))
        if remote is not None:
            wanted.setdefault(model, []).append(remote)
            # All tables of an object share its fate, though they may be deleted by different batches.
            for parent in same_key_parents(model) if change.deleted else ():
                if (parent, key) not in changes.rows:
                    wanted.setdefault(parent, []).append(remote)
    patient = {model: keys for model, keys in wanted.items() if policy_for(model).weighs_old_changes}
    found = log.unsent_changes(patient) if patient else Changes()
    since = min(aware(change.date) for change in changes.rows.values())
    if len(patient) < len(wanted) and log.has_news(since):
        recent = log.changes(since, {m: keys for m, keys in wanted.items() if m not in patient})
        # What the log says of a child stands for its parents' rows too, each of which has a policy of its own.
        found.rows = {place: c for place, c in found.rows.items() if place[0] in patient}
        found.rows |= {place: c for place, c in recent.rows.items() if place[0] not in patient}
    for model, keys in wanted.items():
        if model._meta.auto_created:
            found.rows |= _changed_members(log, model, keys, since, found)
    if log.may_have_lost(since):
        _presume(session, log, changes, identities, found)
    return found


def _presume(
    session: Session, log: RemoteLog, changes: Changes, identities: Identities, theirs: Changes
) -> None:
    """
    Count as changed by REMOTE too what LOCAL changed before REMOTE's log begins. Nobody knows when that was: it is
    taken for earlier than LOCAL's change, so that this arrives, and REMOTE's values are on record.
    """
    for (model, key), change in changes.rows.items():
        identity = identities.of(model, key)
        place = (model, version_key(identity))
        # What is new here and there all the same, was made on both sides.
        is_alone = change.is_born and not identity.exists
        if is_alone or place[1] is None or place in theirs.rows or not log.may_have_lost(change.date):
            continue
        dates = [date for date in (change.whole, *change.fields.values()) if date is not None]
        date = min(dates, default=change.date) + session.offset - MOMENT
        theirs.rows[place] = Change(*place, date, whole=date, deleted=date, is_presumed=True)


def _changed_members(
    log: RemoteLog, through: type[Model], pairs: Collection[Pair], since: datetime, known: Changes
) -> dict[tuple[type[Model], Key], Change]:
    """What REMOTE did to these pairs by what its log says of sets, where `known` has nothing newer."""
    ends = ends_of(through, pairs)
    is_patient = policy_for(through).weighs_old_changes
    said = log.unsent_changes(ends) if is_patient else log.changes(since, ends)
    found: dict[tuple[type[Model], Key], Change] = {}
    for pair in pairs:
        date, row = changed_at(said, through, pair), known.rows.get((through, pair))
        if date is not None and (row is None or row.date < date):
            # Such an entry does not tell whether it was removed. Where that counts, it is not there.
            found[through, pair] = Change(through, pair, date, whole=date, deleted=date)
    return found
