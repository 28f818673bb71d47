"""
Unread: entries of models that the process which synchronizes does not watch, or does not even have.

During a deployment the process that writes may know a model before the one that synchronizes does. Such entries are
part of a batch as any others are, but nobody reads them there. So LOCAL notes, before the batch arrives, between which
ids there are some of which content type. A process that watches the model forms a batch of them, whenever that is; all
others say at each run that they wait.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, Q

from synchro.registry import is_watched
from synchro.replay.session import Database


class Standing(Enum):
    """What the model of an entry is to this process."""

    WATCHED = "watched"
    #: It is installed, and ``SYNCHRO_MODELS`` does not name it.
    UNWATCHED = "unwatched"
    #: No installed app has a model of that name.
    UNKNOWN = "unknown"


class Span(NamedTuple):
    """Ids between which there are entries of one content type that were not read, and at least how many."""

    first: int
    last: int
    entries: int


def standing_of(side: Database, type_id: int) -> tuple[Standing, type[Model] | None]:
    """What the model of this content type is to this process, and the model where there is one."""
    model = side.model_of(type_id)
    if model is None:
        return Standing.UNKNOWN, None
    return Standing.WATCHED if is_watched(model) else Standing.UNWATCHED, model


def name_of(side: Database, type_id: int) -> str:
    """The label by which people know the model of this content type."""
    _standing, model = standing_of(side, type_id)
    if model is not None:
        return model._meta.label
    name = ContentType.objects.using(side.alias).filter(pk=type_id).values_list("app_label", "model").first()
    return str(type_id) if name is None else ".".join(name)


class Unread:
    """Spans by the number of the content type."""

    def __init__(self, spans: Mapping[int, Span] | None = None) -> None:
        self.spans = dict(spans or {})

    def __bool__(self) -> bool:
        return bool(self.spans)

    @classmethod
    def from_text(cls, text: str) -> Unread:
        return cls({int(type_id): Span(*span) for type_id, span in json.loads(text).items()})

    def to_text(self) -> str:
        return json.dumps(self.spans)

    def add(self, type_id: int, number: int) -> None:
        """Note an entry; they come in the order of their ids."""
        first, last, count = self.spans.get(type_id, Span(number, number, 0))
        self.spans[type_id] = Span(min(first, number), max(last, number), count + 1)

    def has(self, type_id: int, number: int) -> bool:
        span = self.spans.get(type_id)
        return span is not None and span.first <= number <= span.last

    def covers(self, other: Unread) -> bool:
        return all(
            self.has(type_id, span.first) and self.has(type_id, span.last)
            for type_id, span in other.spans.items()
        )

    def join(self, other: Unread) -> None:
        """Take up the spans of `other`; what has been noted before is not counted again."""
        for type_id, new in other.spans.items():
            old = self.spans.get(type_id)
            if old is None:
                self.spans[type_id] = new
            elif not (old.first <= new.first and new.last <= old.last):
                last = max(old.last, new.last)
                self.spans[type_id] = Span(min(old.first, new.first), last, old.entries + new.entries)

    def cut(self, type_id: int, upto: int | None, count: int) -> None:
        """Forget the first `count` entries of a span, up to that id, or all of it."""
        span = self.spans.pop(type_id)
        if upto is not None and upto < span.last:
            self.spans[type_id] = Span(max(span.first, upto + 1), span.last, max(1, span.entries - count))

    def readable(self, side: Database) -> Unread:
        """Those that this process can read by now."""
        return Unread(
            {
                type_id: span
                for type_id, span in self.spans.items()
                if standing_of(side, type_id)[0] is Standing.WATCHED
            }
        )

    def condition(self) -> Q:
        """Finds these entries in the log; true of none where there are none."""
        found = Q(pk__in=())
        for type_id, span in self.spans.items():
            found |= Q(content_type_id=type_id, id__range=(span.first, span.last))
        return found
