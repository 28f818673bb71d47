"""
Unnamed deletions: LOCAL has deleted a row, and nothing says any more which row of REMOTE it was.

To pass it over would leave the row on REMOTE for good. So it is refused by name, where REMOTE has rows of which one may
be it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.exceptions import Culprit, Unidentified
from synchro.keys import Key, key_fields, normalize, to_text
from synchro.models import Batch
from synchro.replay.identity.identities import Identities, keeps_references
from synchro.replay.identity.unnamed import Unnamed
from synchro.replay.identity.unseen import added_before
from synchro.replay.log.changes import Changes, RowId, by_model
from synchro.replay.prerequisites import Prerequisites
from synchro.replay.session import Session

#: How many rows of REMOTE are looked through for one that no object of LOCAL is known to be; of more, one may be.
LOOKED_THROUGH = 100_000
PART = 5_000


def refuse_unnamed(session: Session, batch: Batch, changes: Changes, identities: Identities) -> None:
    """
    Raise `Unidentified` for such deletions, and `Prerequisites` where other deletions, which stand in a later batch,
    may say what the row was known by. All objects of the batch are identified.
    """
    found = {
        row: unnamed for row, unnamed in identities.unnamed.items() if _is_deleted(changes, identities, row)
    }
    for row in list(added_before(session, batch, _by_text(found))):
        del found[row]
    for model in by_model(found):
        if not _may_have_it(session, identities, model):
            found = {row: unnamed for row, unnamed in found.items() if row[0] is not model}
    if not found:
        return
    wanting = frozenset().union(*(unnamed.wanting for unnamed in found.values())) - changes.rows.keys()
    if wanting:
        raise Prerequisites(wanting)
    raise _unidentified(found)


def _is_deleted(changes: Changes, identities: Identities, row: RowId) -> bool:
    """Whether this batch is about its deletion, and REMOTE may have had it under a key that nobody knows."""
    change, identity = changes.rows.get(row), identities.of(*row)
    if change is None or change.is_born or not (change.deleted or change.says_nothing):
        return False
    return not identity.exists and identity.remote is None and keeps_references(row[0])


def _by_text(rows: Collection[RowId]) -> dict[type[Model], dict[str, Key]]:
    return {model: {to_text(model, key): key for key in keys} for model, keys in by_model(rows).items()}


def _may_have_it(session: Session, identities: Identities, model: type[Model]) -> bool:
    """Whether REMOTE has a row of which LOCAL does not know what it is."""
    seen = 0
    for keys in _keys_there(session, model):
        seen += len(keys)
        if seen > LOOKED_THROUGH or identities.owners(model, keys).keys() != set(keys):
            return True
    return False


def _keys_there(session: Session, model: type[Model]) -> Iterator[list[Key]]:
    rows = model._base_manager.using(session.remote.alias).order_by("pk").values_list("pk", flat=True)
    part = list(rows[:PART])
    while part:
        yield [normalize(key_fields(model)[0], key) for key in part]
        part = list(rows.filter(pk__gt=part[-1])[:PART])


def _unidentified(found: Mapping[RowId, Unnamed]) -> Unidentified:
    text = _(
        "%(model)s %(key)s: it was deleted on LOCAL, and nobody can say which row of REMOTE it was (%(cause)s). The "
        "batch was rolled back. Set SYNCHRO_ON_ERROR = 'quarantine' and synchronize again, so that the others go on; "
        "then look on REMOTE whether that row is there, delete it, and take the change out of quarantine "
        "(docs/set-aside.md says how)."
    )
    short = _("it was deleted on LOCAL, and nobody can say which row of REMOTE it was (%(cause)s)")
    causes = {row: unnamed.cause or _("its natural key is not known") for row, unnamed in found.items()}
    (model, key), cause = next(iter(causes.items()))
    return Unidentified(
        text % {"model": model._meta.label, "key": to_text(model, key), "cause": cause},
        [Culprit(*row, short % {"cause": cause}) for row, cause in causes.items()],
    )
