"""Changes in quarantine, as they are kept, and as changes to compare and to do again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime

from django.conf import settings
from django.db.models import Model, QuerySet
from django.utils import timezone

from synchro.conf import LOCAL
from synchro.keys import Key, from_text
from synchro.last_check import aware
from synchro.models import Checkpoint, SetAside
from synchro.replay.log.changes import Change
from synchro.replay.log.names import has_fields
from synchro.replay.session import Database

#: Under which name the time of a deletion is kept, which no field has.
DELETED = ""


def change_of(model: type[Model], key: Key, row: SetAside) -> Change:
    """Return the change that is kept in `row`."""
    fields = {name: _from_text(text) for name, text in json.loads(row.times).items()}
    deleted = fields.pop(DELETED, None)
    # A field that has another name now may be any.
    is_known = has_fields(model, fields)
    return Change(
        model,
        key,
        date=row.changed,
        whole=row.whole if is_known else row.changed,
        fields=fields if is_known else {},
        natural_key=row.natural_key,
        deleted=deleted,
        is_born=row.is_born,
    )


def times_of(change: Change) -> str:
    """Return when the fields of a change were changed, and when the object was deleted, as they are kept."""
    times = change.fields if change.deleted is None else {**change.fields, DELETED: change.deleted}
    return json.dumps({name: _to_text(date) for name, date in times.items()})


def quarantined_for(checkpoint: Checkpoint, until: datetime | None = None) -> QuerySet[SetAside]:
    """Return what waits in quarantine on LOCAL towards a REMOTE; with `until`, what was changed up to that moment."""
    known = SetAside.objects.using(LOCAL).filter(peer_id=checkpoint.peer_id, batch__lte=checkpoint.batch)
    kept = known.filter(is_over=False)
    return kept if until is None else kept.filter(changed__lte=until)


def quarantined_by(database: Database, rows: Iterable[SetAside]) -> dict[type[Model], dict[Key, Change]]:
    """
    Return the changes that a database keeps in these `rows`, which come in order.

    Of several rows about one object the last one counts.
    """
    newest = {(row.content_type_id, row.object_id): row for row in rows}
    found: dict[type[Model], dict[Key, Change]] = {}
    for (type_id, text), row in newest.items():
        model = None if row.is_over else database.model_of(type_id)
        if model is not None:
            key = from_text(model, text)
            found.setdefault(model, {})[key] = change_of(model, key, row)
    return found


def _to_text(moment: datetime) -> str:
    return aware(moment).astimezone(UTC).isoformat(timespec="microseconds")


def _from_text(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if settings.USE_TZ else timezone.make_naive(moment)
