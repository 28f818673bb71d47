"""
Births: whether an object that is gone had been added since the two databases were alike.

Its entries may stand in different batches. When that of the addition was replayed, LOCAL's row was gone already, so it
never came to REMOTE; what has its natural key there is another row.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.db.models import Model

from synchro.keys import Key, to_text
from synchro.models import ADDITION, Batch, ChangeLog
from synchro.replay.coalesce import Changes
from synchro.replay.form import own_node
from synchro.replay.identify import Identities, Identity, keeps_references
from synchro.replay.link import Link
from synchro.replay.ranges import from_text

#: How many keys are asked for in one statement.
PART = 1000


def note_births(link: Link, batch: Batch, changes: Changes, identities: Identities) -> None:
    """Mark the changes of objects whose addition stands in an earlier batch, and of which REMOTE has never known."""
    first = min((ids.first for ids in from_text(batch.ranges)), default=0)
    for model, keys in _strangers(link, changes, identities).items():
        for key, entries in _additions(link, model, keys, first).items():
            if _were_replayed(link, batch, entries):
                changes.rows[model, key].is_born = True


def _strangers(link: Link, changes: Changes, identities: Identities) -> dict[type[Model], dict[str, Key]]:
    """Deleted objects that nothing but their natural key connects with a row of REMOTE, by the text of their keys."""
    found: dict[type[Model], dict[str, Key]] = {}
    for (model, key), change in changes.rows.items():
        if (change.deleted or change.says_nothing) and not change.is_born and keeps_references(model):
            is_copied = key <= link.baselines.get(model, 0)
            if not is_copied and _is_by_natural_key(identities.of(model, key)):
                found.setdefault(model, {})[to_text(model, key)] = key
    return found


def _is_by_natural_key(identity: Identity) -> bool:
    is_known = identity.is_remembered or identity.is_recognized
    return identity.exists and not is_known and identity.gone is None


def _additions(link: Link, model: type[Model], keys: Mapping[str, Key], before: int) -> dict[Key, list[int]]:
    """The entries below `before` that tell of an addition of these objects."""
    side, texts = link.local, list(keys)
    log = ChangeLog.objects.using(side.alias).filter(
        content_type=side.content_type_id(model), action=ADDITION, id__lt=before
    )
    found: dict[Key, list[int]] = {}
    for start in range(0, len(texts), PART):
        part = log.filter(object_id__in=texts[start : start + PART])
        for text, entry in part.values_list("object_id", "id"):
            found.setdefault(keys[text], []).append(entry)
    return found


def _were_replayed(link: Link, batch: Batch, entries: list[int]) -> bool:
    """Whether one of them is in a batch, rather than among what a person had forgotten."""
    side = link.local
    earlier = Batch.objects.using(side.alias).filter(
        number__gt=own_node(side.alias).forgotten, number__lt=batch.number
    )
    for text in earlier.order_by("-number").values_list("ranges", flat=True).iterator():
        if any(ids.first <= entry <= ids.last for ids in from_text(text) for entry in entries):
            return True
    return False
