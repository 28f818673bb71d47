"""Remote changes: what REMOTE did itself to the rows of a batch, by its log, by its quarantine, or as is presumed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from django.db.models import Model

from synchro.keys import Key, key_fields
from synchro.last_check import aware
from synchro.relations import ends_of_set, same_key_parents, target_of
from synchro.replay.conflicts.policy import policy_for
from synchro.replay.log.changes import Change, Changes, RowId
from synchro.replay.log.loads import date_of_loaded, load_part_of
from synchro.replay.log.remote_log import RemoteLog
from synchro.replay.plan import Pair
from synchro.replay.work import BatchWork

#: The shortest time that databases can tell.
MOMENT = timedelta(microseconds=1)


def has_remote_changes(log: RemoteLog, models: Collection[type[Model]], since: datetime) -> bool:
    """Return whether REMOTE may have changes of these models that are in conflict with LOCAL's since `since`."""
    old = [model for model in models if policy_for(model).weighs_old_changes]
    # Of a set whose table is a model's by now, entries may name the objects that a row joins.
    joined = {target for model in models for end in ends_of_set(model) or () if (target := target_of(end))}
    is_quiet = log.is_quiet_about(models, since, [*old, *(joined if old else ())])
    return not is_quiet or log.says_something_of_sets(joined, since)


def has_unsent_changes(log: RemoteLog, models: Collection[type[Model]], since: datetime) -> bool:
    """Return whether REMOTE may have changes of these models that LOCAL has not received, however old they are."""
    joined = {target for model in models for end in ends_of_set(model) or () if (target := target_of(end))}
    every = [*models, *joined]
    return not log.is_quiet_about(every, since, every) or log.may_have_lost(date_of_loaded())


def remote_changes_of(work: BatchWork) -> Changes:
    """Return what REMOTE did itself to the rows of the batch, by REMOTE's keys."""
    log, changes = work.log, work.changes
    if work.session.peer_on_remote is None or not changes.rows:
        return Changes()
    wanted = _wanted(work)
    is_loaded = load_part_of(work.session, work.batch) is not None
    old = {m: keys for m, keys in wanted.items() if is_loaded or policy_for(m).weighs_old_changes}
    found = log.unsent_changes(old) if old else Changes()
    since = min(aware(change.date) for change in changes.rows.values())
    if len(old) < len(wanted) and log.has_news(since):
        recent = log.changes(since, {m: keys for m, keys in wanted.items() if m not in old})
        # What the log says of a child stands for its parents' rows too, each of which has a policy of its own.
        found.rows = {row_id: c for row_id, c in found.rows.items() if row_id[0] in old}
        found.rows |= {row_id: c for row_id, c in recent.rows.items() if row_id[0] not in old}
    for model, keys in wanted.items():
        if model._meta.auto_created:
            found.rows |= _changed_members(log, model, keys, None if is_loaded else since, found)
    if log.may_have_lost(since):
        _presume(work, found)
    return found


def changes_of_members(
    log: RemoteLog,
    through: type[Model],
    wanted: Mapping[type[Model], Collection[Key]],
    since: datetime | None,
) -> Changes:
    """
    Return what REMOTE's log says of these objects and pairs, as far as the policy of `through` weighs it; where
    `since` is None, all that LOCAL has not received.
    """
    if since is None or policy_for(through).weighs_old_changes:
        return log.unsent_changes(wanted)
    return log.changes(since, wanted)


def ends_of(through: type[Model], pairs: Collection[Pair]) -> dict[type[Model], set[Key]]:
    """Return the objects at the ends of these pairs, by whose sets a log may name them."""
    found: dict[type[Model], set[Key]] = {}
    for position, field in enumerate(key_fields(through)):
        model = target_of(field)
        if model is not None:
            found.setdefault(model, set()).update(
                pair[position] for pair in pairs if pair[position] is not None
            )
    return found


def presumed_date(work: BatchWork, local_date: datetime) -> datetime:
    """
    Return when REMOTE is taken to have changed what its log does not reach back to, by REMOTE's clock.

    Nobody knows when that was. It is taken for earlier than LOCAL's change, so that this one arrives, and REMOTE's
    values are on record.
    """
    return local_date + work.session.offset - MOMENT


def _wanted(work: BatchWork) -> dict[type[Model], list[Key]]:
    """Return REMOTE's keys of the rows to ask for."""
    changes, wanted = work.changes, dict[type[Model], list[Key]]()
    for (model, key), change in changes.rows.items():
        remote = work.identities.of(model, key).logged_key
        if remote is not None:
            wanted.setdefault(model, []).append(remote)
            # All tables of an object share its fate, though they may be deleted by different batches.
            for parent in same_key_parents(model) if change.deleted else ():
                if (parent, key) not in changes.rows:
                    wanted.setdefault(parent, []).append(remote)
    return wanted


def _presume(work: BatchWork, found: Changes) -> None:
    """Count as changed by REMOTE too what LOCAL changed before REMOTE's log begins."""
    for (model, key), change in work.changes.rows.items():
        identity = work.identities.of(model, key)
        row_id = (model, identity.logged_key)
        # What LOCAL added and REMOTE lacks, REMOTE cannot have changed.
        is_only_local = change.is_born and not identity.exists
        if (
            is_only_local
            or row_id[1] is None
            or row_id in found.rows
            or not work.log.may_have_lost(change.date)
        ):
            continue
        dates = [date for date in (change.whole, *change.fields.values()) if date is not None]
        date = presumed_date(work, min(dates, default=change.date))
        found.rows[row_id] = Change(*row_id, date, whole=date, deleted=date, is_presumed=True)


def _changed_members(
    log: RemoteLog, through: type[Model], pairs: Collection[Pair], since: datetime | None, known: Changes
) -> dict[RowId, Change]:
    """Return what REMOTE did to these pairs by what its log says of sets, where `known` has nothing newer."""
    said = changes_of_members(log, through, ends_of(through, pairs), since)
    found: dict[RowId, Change] = {}
    for pair in pairs:
        date, row = said.member_changed_at(through, pair), known.rows.get((through, pair))
        if date is not None and (row is None or row.date < date):
            # Such an entry does not tell whether the member was removed. It counts only where REMOTE lacks it.
            found[through, pair] = Change(through, pair, date, whole=date, deleted=date)
    return found
