"""
Deleted objects: which of those that LOCAL deleted REMOTE ever had, and which cannot be identified.

An object may be added in one batch and deleted in the next. When the addition was replayed, LOCAL's row was gone
already, so REMOTE never had it; a row with its natural key there is another one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.exceptions import Culprit, Unidentified
from synchro.keys import Key, key_fields, normalize, to_text
from synchro.models import ADDITION, Batch, ChangeLog
from synchro.replay.identity.gone_objects import Unnamed
from synchro.replay.identity.identities import Identities, Identity, existing_keys
from synchro.replay.identity.models import keeps_references
from synchro.replay.log.changes import Changes, RowId, by_model
from synchro.replay.log.position import own_node
from synchro.replay.log.ranges import from_text
from synchro.replay.plan import Prerequisites
from synchro.replay.rows import Rows
from synchro.replay.session import Session

#: How many keys one statement asks about.
PART = 1000
#: How many rows of REMOTE are compared with the objects that LOCAL knows; if there are more, one may be unknown.
MOST_COMPARED = 100_000
COMPARED_PART = 5_000


def note_births(session: Session, batch: Batch, changes: Changes, identities: Identities) -> None:
    """Mark the changes of objects that were added in an earlier batch and that REMOTE never had."""
    for row_id in _added_before(session, batch, _known_by_natural_key(session, changes, identities)):
        changes.rows[row_id].is_born = True


def _added_before(
    session: Session, batch: Batch, rows: Mapping[type[Model], Mapping[str, Key]]
) -> Iterator[RowId]:
    """Yield those of these rows, by the text of their keys, that were added in a batch before this one."""
    first = min((ids.first for ids in from_text(batch.ranges)), default=0)
    for model, keys in rows.items():
        for key, entries in _additions(session, model, keys, first).items():
            if _were_replayed(session, batch, entries):
                yield model, key


def _known_by_natural_key(
    session: Session, changes: Changes, identities: Identities
) -> dict[type[Model], dict[str, Key]]:
    """Return the deleted objects that only their natural key identifies, by the text of their keys."""
    found: dict[type[Model], dict[str, Key]] = {}
    for (model, key), change in changes.rows.items():
        if (change.deleted or change.says_nothing) and not change.is_born and keeps_references(model):
            is_copied = key <= session.baselines.get(model, 0)
            if not is_copied and _is_by_natural_key(identities.of(model, key)):
                found.setdefault(model, {})[to_text(model, key)] = key
    return found


def _is_by_natural_key(identity: Identity) -> bool:
    is_known = identity.is_remembered or identity.is_recognized
    return identity.exists and not is_known and identity.gone is None


def _additions(
    session: Session, model: type[Model], keys: Mapping[str, Key], before: int
) -> dict[Key, list[int]]:
    """Return the ids, lower than `before`, of the entries by which these objects were added."""
    local, texts = session.local, list(keys)
    log = ChangeLog.objects.using(local.alias).filter(
        content_type=local.content_type_id(model), action=ADDITION, id__lt=before
    )
    found: dict[Key, list[int]] = {}
    for start in range(0, len(texts), PART):
        part = log.filter(object_id__in=texts[start : start + PART])
        for text, entry in part.values_list("object_id", "id"):
            found.setdefault(keys[text], []).append(entry)
    return found


def _were_replayed(session: Session, batch: Batch, entries: list[int]) -> bool:
    """Return whether one of these entries is in a batch, and not among what a person had forgotten."""
    local = session.local.alias
    earlier = Batch.objects.using(local).filter(number__gt=own_node(local).forgotten, number__lt=batch.number)
    for text in earlier.order_by("-number").values_list("ranges", flat=True).iterator():
        if any(ids.first <= entry <= ids.last for ids in from_text(text) for entry in entries):
            return True
    return False


def forget_lost(
    session: Session, by_model: Mapping[type[Model], Collection[Key]], rows: Rows, identities: Identities
) -> None:
    """Take out of `rows` those that look new and that LOCAL has deleted since; all of them are identified."""
    for model, keys in by_model.items():
        if keeps_references(model):
            known = identities.known(model)
            new = [key for key in rows.present(model, keys) if known[key].remote is None]
            present = existing_keys(session.local, model, new)
            rows.forget(model, [key for key in new if key not in present])


def refuse_unnamed(session: Session, batch: Batch, changes: Changes, identities: Identities) -> None:
    """
    Raise `Unidentified` for deletions of which nothing says any more which row of REMOTE is meant.

    To ignore one would leave the row on REMOTE for good. Nothing is raised where REMOTE has no row that it could be.
    `Prerequisites` is raised where deletions in a later batch may tell what the row was known by. All objects of the
    batch are identified.
    """
    found = {
        row_id: unnamed
        for row_id, unnamed in identities.unnamed.items()
        if _is_unidentified(changes, identities, row_id)
    }
    for row_id in list(_added_before(session, batch, _by_text(found))):
        del found[row_id]
    for model in by_model(found):
        if not _may_have_it(session, identities, model):
            found = {row_id: unnamed for row_id, unnamed in found.items() if row_id[0] is not model}
    if not found:
        return
    missing = frozenset().union(*(unnamed.missing for unnamed in found.values())) - changes.rows.keys()
    if missing:
        raise Prerequisites(missing)
    raise _unidentified(found)


def _is_unidentified(changes: Changes, identities: Identities, row_id: RowId) -> bool:
    """Return whether this batch deletes it, and REMOTE may have it under a key that nobody knows."""
    change, identity = changes.rows.get(row_id), identities.of(*row_id)
    if change is None or change.is_born or not (change.deleted or change.says_nothing):
        return False
    return not identity.exists and identity.remote is None and keeps_references(row_id[0])


def _by_text(row_ids: Collection[RowId]) -> dict[type[Model], dict[str, Key]]:
    return {model: {to_text(model, key): key for key in keys} for model, keys in by_model(row_ids).items()}


def _may_have_it(session: Session, identities: Identities, model: type[Model]) -> bool:
    """Return whether REMOTE has a row that is no object which LOCAL knows."""
    seen = 0
    for keys in _remote_keys(session, model):
        seen += len(keys)
        if seen > MOST_COMPARED or identities.owners(model, keys).keys() != set(keys):
            return True
    return False


def _remote_keys(session: Session, model: type[Model]) -> Iterator[list[Key]]:
    rows = model._base_manager.using(session.remote.alias).order_by("pk").values_list("pk", flat=True)
    part = list(rows[:COMPARED_PART])
    while part:
        yield [normalize(key_fields(model)[0], key) for key in part]
        part = list(rows.filter(pk__gt=part[-1])[:COMPARED_PART])


def _unidentified(found: Mapping[RowId, Unnamed]) -> Unidentified:
    text = _(
        "%(model)s %(key)s: it was deleted on LOCAL, and nobody can say which row of REMOTE it was (%(cause)s). The "
        "batch was rolled back. Set SYNCHRO_ON_ERROR = 'quarantine' and synchronize again, so that the others go on; "
        "then look on REMOTE whether that row is there, delete it, and take the change out of quarantine "
        "(docs/set-aside.md says how)."
    )
    short = _("it was deleted on LOCAL, and nobody can say which row of REMOTE it was (%(cause)s)")
    causes = {row_id: unnamed.cause or _("its natural key is not known") for row_id, unnamed in found.items()}
    (model, key), cause = next(iter(causes.items()))
    return Unidentified(
        text % {"model": model._meta.label, "key": to_text(model, key), "cause": cause},
        [Culprit(*row_id, short % {"cause": cause}) for row_id, cause in causes.items()],
    )
