"""
Unread entries: those of models that the process which synchronizes does not watch, or does not even have.

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
from django.db.models import Max, Model, Q
from django.utils.translation import gettext as _

from synchro.conf import LOCAL
from synchro.exceptions import NotConfigured
from synchro.models import Node
from synchro.registry import is_watched
from synchro.replay.log.position import local_log, locked_node, own_node
from synchro.replay.session import Database, Session


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


def standing_of(database: Database, type_id: int) -> tuple[Standing, type[Model] | None]:
    """Return what the model of this content type is to this process, and the model where there is one."""
    model = database.model_of(type_id)
    if model is None:
        return Standing.UNKNOWN, None
    return Standing.WATCHED if is_watched(model) else Standing.UNWATCHED, model


def name_of(database: Database, type_id: int) -> str:
    """Return the label by which people know the model of this content type."""
    _standing, model = standing_of(database, type_id)
    if model is not None:
        return model._meta.label
    name = (
        ContentType.objects.using(database.alias).filter(pk=type_id).values_list("app_label", "model").first()
    )
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

    def readable(self, database: Database) -> Unread:
        """Return those that this process can read by now."""
        return Unread(
            {
                type_id: span
                for type_id, span in self.spans.items()
                if standing_of(database, type_id)[0] is Standing.WATCHED
            }
        )

    def condition(self) -> Q:
        """Return what finds these entries in the log; it is true of none where there are none."""
        found = Q(pk__in=())
        for type_id, span in self.spans.items():
            found |= Q(content_type_id=type_id, id__range=(span.first, span.last))
        return found


def postpone(unread: Unread) -> None:
    """Note on LOCAL what was not read of a batch, before REMOTE's commit lets the batch count as arrived."""
    if not unread or Unread.from_text(own_node(LOCAL).unread).covers(unread):
        return
    with locked_node() as node:
        known = Unread.from_text(node.unread)
        known.join(unread)
        node.unread = known.to_text()
        node.save(using=LOCAL, update_fields=["unread"])


def warn_of_unread(session: Session, node: Node) -> None:
    """Say what waits on LOCAL, whose own row is `node`, for a process that can read it."""
    for type_id, span in Unread.from_text(node.unread).spans.items():
        standing, _model = standing_of(session.local, type_id)
        if standing is Standing.WATCHED:
            continue  # logged or noted while this run was at work
        session.warn(
            _(
                "%(count)d entries of %(model)s wait in the log, since this process does not watch that model. A run "
                "that does, with %(model)s in SYNCHRO_MODELS, replays them. If it is not to be synchronized any more, "
                "drop them: synchronize --forget %(model)s."
            )
            % {"count": span.entries, "model": name_of(session.local, type_id)}
        )


def forget(label: str) -> int:
    """
    Drop the entries of a model that this process does not watch, as far as runs have met them; return how many.

    Raises `NotConfigured` where the model is watched, or nothing of it waits.
    """
    database = Database(LOCAL)
    with locked_node() as node:
        known = Unread.from_text(node.unread)
        names = {name_of(database, type_id).lower(): type_id for type_id in known.spans}
        type_id = names.get(label.lower())
        if type_id is None:
            text = (
                _("No entries of %(model)s wait in the log. Entries of these models do: %(names)s.")
                if names
                else _("No entries of %(model)s wait in the log, nor of any other model.")
            )
            raise NotConfigured(text % {"model": label, "names": ", ".join(sorted(names))})
        if standing_of(database, type_id)[0] is Standing.WATCHED:
            raise NotConfigured(
                _(
                    "%(model)s is watched, so its entries are not dropped: run synchronize, which replays them."
                )
                % {"model": label}
            )
        return _drop(node, known, type_id)


def _drop(node: Node, known: Unread, type_id: int) -> int:
    log = local_log().filter(Unread({type_id: known.spans[type_id]}).condition())
    count = log.count()
    # The entry with the highest id stays, since it says that the log was not emptied (see `position`).
    newest = local_log().aggregate(highest=Max("id"))["highest"]
    log.exclude(id__in=[node.highest, newest])._raw_delete(LOCAL)
    del known.spans[type_id]
    node.unread = known.to_text()
    node.save(using=LOCAL, update_fields=["unread"])
    return count
