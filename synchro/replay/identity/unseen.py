"""
Births: whether an object that is gone had been added since the two databases were alike.

Its entries may stand in different batches. When that of the addition was replayed, LOCAL's row was gone already, so it
never came to REMOTE; what has its natural key there is another row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from django.db.models import Model

from synchro.keys import Key, key_fields, to_text
from synchro.models import ADDITION, Batch, ChangeLog
from synchro.replay.identity.identities import Identities, Identity, keeps_references
from synchro.replay.log.changes import Changes, RowId
from synchro.replay.log.position import own_node
from synchro.replay.log.ranges import from_text
from synchro.replay.rows import Rows, select
from synchro.replay.session import Session

#: How many keys are asked for in one statement.
PART = 1000


def note_births(session: Session, batch: Batch, changes: Changes, identities: Identities) -> None:
    """Mark the changes of objects whose addition stands in an earlier batch, and of which REMOTE has never known."""
    for row in added_before(session, batch, _strangers(session, changes, identities)):
        changes.rows[row].is_born = True


def added_before(
    session: Session, batch: Batch, rows: Mapping[type[Model], Mapping[str, Key]]
) -> Iterator[RowId]:
    """Those of these rows, by the text of their keys, whose addition stands in a batch before this one."""
    first = min((ids.first for ids in from_text(batch.ranges)), default=0)
    for model, keys in rows.items():
        for key, entries in _additions(session, model, keys, first).items():
            if _were_replayed(session, batch, entries):
                yield model, key


def _strangers(
    session: Session, changes: Changes, identities: Identities
) -> dict[type[Model], dict[str, Key]]:
    """Deleted objects that nothing but their natural key connects with a row of REMOTE, by the text of their keys."""
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
    """The entries below `before` that tell of an addition of these objects."""
    side, texts = session.local, list(keys)
    log = ChangeLog.objects.using(side.alias).filter(
        content_type=side.content_type_id(model), action=ADDITION, id__lt=before
    )
    found: dict[Key, list[int]] = {}
    for start in range(0, len(texts), PART):
        part = log.filter(object_id__in=texts[start : start + PART])
        for text, entry in part.values_list("object_id", "id"):
            found.setdefault(keys[text], []).append(entry)
    return found


def _were_replayed(session: Session, batch: Batch, entries: list[int]) -> bool:
    """Whether one of them is in a batch, rather than among what a person had forgotten."""
    side = session.local
    earlier = Batch.objects.using(side.alias).filter(
        number__gt=own_node(side.alias).forgotten, number__lt=batch.number
    )
    for text in earlier.order_by("-number").values_list("ranges", flat=True).iterator():
        if any(ids.first <= entry <= ids.last for ids in from_text(text) for entry in entries):
            return True
    return False


def forget_lost(
    session: Session, by_model: Mapping[type[Model], Collection[Key]], rows: Rows, identities: Identities
) -> None:
    """Have `rows` know no more of those that look new and that LOCAL has lost; all of them are identified."""
    for model, keys in by_model.items():
        if keeps_references(model):
            known = identities.known(model)
            new = [key for key in rows.present(model, keys) if known[key].remote is None]
            own = key_fields(model)
            still = {key for (key,) in select(session.local, model, own, own, [(key,) for key in new])}
            rows.forget(model, [key for key in new if key not in still])
