"""Parts of a load: which rows of LOCAL a batch of it names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from django.conf import settings
from django.db.models import Model

from synchro.keys import AnyField, value_from_text, value_to_text
from synchro.models import Batch
from synchro.replay.session import Database, Session

#: A place in the order of a table's primary key: the values of its columns.
Place: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True)
class LoadPart:
    """Rows of one model whose primary keys are greater than `after`, and not greater than `upto`."""

    model: type[Model]
    type_id: int
    after: Place | None
    upto: Place

    def to_text(self) -> str:
        return json.dumps(
            {"type": self.type_id, "after": place_to_text(self.after), "upto": place_to_text(self.upto)}
        )


def load_part_of(session: Session, batch: Batch) -> LoadPart | None:
    """Return what a batch of a load names; None for other batches, and for those of a load to another REMOTE."""
    if batch.part is None or batch.peer_id != session.peer.pk:
        return None
    part = json.loads(batch.part)
    model = session.local.model_of(part["type"])
    if model is None:
        return None
    upto = place_from_text(model, part["upto"])
    return (
        None if upto is None else LoadPart(model, part["type"], place_from_text(model, part["after"]), upto)
    )


def part_between(database: Database, model: type[Model], after: Place | None, upto: Place) -> LoadPart:
    return LoadPart(model, database.content_type_id(model), after, upto)


def order_of(model: type[Model]) -> list[AnyField]:
    """Return the columns of the primary key, which an index orders; an automatic table's own is its number."""
    pk: Any = model._meta.pk
    return list(getattr(pk, "fields", None) or [pk])


def place_to_text(place: Place | None) -> str:
    return "" if place is None else json.dumps([value_to_text(value) for value in place])


def place_from_text(model: type[Model], text: str) -> Place | None:
    if not text:
        return None
    return tuple(
        value_from_text(field, value) for field, value in zip(order_of(model), json.loads(text), strict=True)
    )


def date_of_loaded() -> datetime:
    """
    Return when a row that is loaded counts as changed: before anything else.

    Of what LOCAL changes meanwhile there are entries, which have dates. So a change of REMOTE's own that LOCAL has not
    received is newer than the row.
    """
    oldest = datetime(1970, 1, 1, tzinfo=UTC)
    return oldest if settings.USE_TZ else oldest.replace(tzinfo=None)
