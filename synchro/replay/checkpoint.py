"""The checkpoint: what LOCAL writes down about a batch, after REMOTE has it or when a run was interrupted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Model, Q

from synchro.conf import LOCAL
from synchro.keys import Key, key_fields
from synchro.models import DELETION, Batch, Checkpoint, Conflict
from synchro.references import store
from synchro.replay.identity.identities import Identities, existing_keys
from synchro.replay.identity.models import keeps_references
from synchro.replay.identity.references import forget, local_keys_by_remote, remember, remote_keys
from synchro.replay.log.entries import entries_of
from synchro.replay.log.loads import Place
from synchro.replay.log.ranges import from_text
from synchro.replay.log.unread import Unread
from synchro.replay.plan import Plan, QuarantineUpdate, Tally
from synchro.replay.receipts import remote_references
from synchro.replay.rows import select
from synchro.replay.session import Pairs, Session


@dataclass(frozen=True)
class LoadedPart:
    """What a batch of a load was about: how many rows, and up to which place in the order of the primary key."""

    rows: int
    upto: Place


@dataclass(frozen=True)
class Outcome:
    """What became of a batch."""

    batch: Batch
    entries: int
    #: The date of the newest entry.
    last: datetime | None
    #: LOCAL's keys of objects that are gone, whose references are to be forgotten.
    forgotten: Mapping[type[Model], Sequence[Key]]
    #: Those that were identified and are not remembered yet.
    pairs: Pairs
    conflicts: Sequence[Conflict]
    #: How many conflicts are on record already.
    recorded: int
    tally: Tally
    #: How many objects of a model were left as REMOTE has them.
    kept: Mapping[type[Model], int]
    #: How the batch changes the quarantine.
    quarantine: QuarantineUpdate
    #: Entries of models that this process does not watch.
    unread: Unread = field(default_factory=Unread)
    #: Of a batch of a load.
    loaded: LoadedPart | None = None


def acknowledge(session: Session, outcome: Outcome) -> None:
    """Write LOCAL's view of the new pairs of keys, and the checkpoint, once REMOTE has the batch."""
    batch, last = outcome.batch, outcome.last
    with transaction.atomic(using=session.local.alias):
        session.local.backend.begin_writing()
        checkpoints = Checkpoint.objects.using(session.local.alias).filter(peer_id=session.peer.pk)
        checkpoint = checkpoints.select_for_update().first()
        if checkpoint is not None and checkpoint.batch >= batch.number:
            return  # another run took this one for dead, has taken over all this, and may have gone on
        for model, keys in outcome.forgotten.items():
            if keeps_references(model):
                forget(session.local, session.peer.pk, model, keys)
        for model, found in outcome.pairs.items():
            remember(session.local, session.peer.pk, model, found, batch.number)
        values: dict[str, Any] = {"batch": batch.number, "date": last} if last else {"batch": batch.number}
        checkpoints.update(**values)


def new_pairs(plan: Plan, identities: Identities) -> dict[type[Model], dict[Key, Key]]:
    """Return LOCAL's and REMOTE's keys of all objects that were identified and are not remembered yet."""
    found: dict[type[Model], dict[Key, Key]] = {}
    for model in identities.models():
        if keeps_references(model):
            pairs = identities.unremembered(model)
            for key in plan.obsolete_references.get(model, ()):
                pairs.pop(key, None)
            if pairs:
                found[model] = pairs
    return found


def recover(session: Session, checkpoint: Checkpoint, arrived: int) -> None:
    """Take over the references and the checkpoint, and forget the references of what went."""
    with transaction.atomic(using=LOCAL):
        for model, keys in _gone(session, checkpoint.batch, arrived).items():
            forget(session.local, session.peer.pk, model, keys)
        taken = remote_references(session, Q(batch__gt=checkpoint.batch, batch__lte=arrived))
        store(LOCAL, session.peer.pk, taken)
        checkpoint.batch = arrived
        checkpoint.save(using=LOCAL, update_fields=["batch"])


def _gone(session: Session, known: int, arrived: int) -> dict[type[Model], list[Key]]:
    """
    Return the objects with references that these batches say were deleted, and that neither database has any more.

    Also those whose rows on REMOTE are other objects' by now.
    """
    deleted: dict[type[Model], dict[Key, None]] = {}
    batches = Batch.objects.using(LOCAL).filter(number__gt=known, number__lte=arrived)
    for text in batches.values_list("ranges", flat=True):
        for entry in entries_of(session.local, from_text(text)):
            if entry.action == DELETION and keeps_references(entry.model):
                deleted.setdefault(entry.model, {})[entry.key] = None
    gone: dict[type[Model], list[Key]] = {}
    for model, keys in deleted.items():
        own = key_fields(model)
        on_local = {key for (key,) in select(session.local, model, own, own, [(key,) for key in keys])}
        pairs = remote_keys(session, model, keys)
        on_remote = existing_keys(session.remote, model, pairs.values())
        owners = local_keys_by_remote(session, model, on_remote)
        gone[model] = [
            key
            for key, remote in pairs.items()
            if owners.get(remote, key) != key or (key not in on_local and remote not in on_remote)
        ]
    return gone
