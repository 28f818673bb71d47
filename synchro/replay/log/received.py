"""
Read what the log of a node that passes on what it receives says of the objects of a batch.

An entry of what was received keeps the node that made the change, the id of its entry there, and the time; the three
together are its sign.

What was written later has to have the later time. Where a node's clock is behind, a change that was made after another
one was received can have the earlier time; then it goes out with the first time after that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from django.db.models import Max, Model, QuerySet

from synchro.conf import LOCAL
from synchro.keys import Key, to_text
from synchro.last_check import aware
from synchro.models import Batch, ChangeLog, Node, Receipt
from synchro.replay.log.changes import ByModel, Entry, by_model
from synchro.replay.log.entries import parts_of_log, read_entries
from synchro.replay.log.moments import Moment
from synchro.replay.log.ranges import Range
from synchro.replay.log.unread import Unread
from synchro.replay.session import Database, Session

#: How far the dates of entries may be out of the order of their ids: statements that write many rows, and the
#: moment between taking an id and looking at the clock.
DISORDER = timedelta(minutes=10)

#: What tells an entry from all others: the node that made it, its id there, and when.
Sign: TypeAlias = tuple[UUID, int, datetime]

#: How many keys are asked for by one statement.
PART = 1000


@dataclass(frozen=True)
class Received:
    """The entries of a batch with their final times, oldest first, and what LOCAL has received about their objects."""

    entries: list[Entry]
    signs: frozenset[Sign]


def sign_of(entry: Entry, node: UUID) -> Sign:
    """Return the sign of an entry in the log of `node`."""
    return entry.origin or node, entry.id if entry.number is None else entry.number, entry.date


def read_received(session: Session, ranges: Sequence[Range], unread: Unread) -> Received:
    """
    Return what is to be passed on of the entries with these ids: what did not come from REMOTE.

    To be called before LOCAL's rows are read: they do not know what is received later.
    """
    found: list[Entry] = []
    for part in parts_of_log(session.local, ranges):
        log = part.exclude(origin=session.peer.uuid).exclude(sender=session.peer.uuid)
        found += read_entries(session.local, log, unread, session.node)
    if not found:
        return Received([], frozenset())
    times, signs = _histories(session, found)
    passed_on = [entry._replace(date=times.get(entry.id, entry.date)) for entry in found]
    return Received(sorted(passed_on, key=lambda entry: (entry.date, entry.id)), frozenset(signs))


def _histories(session: Session, entries: Collection[Entry]) -> tuple[dict[int, Moment], set[Sign]]:
    """
    Return the times of LOCAL's own entries about the same objects that have to be later than they say, by their ids.

    Return also the signs of all that LOCAL has received about these objects.
    """
    database = session.local
    oldest = min(aware(entry.date) for entry in entries)
    log = ChangeLog.objects.using(database.alias).filter(id__gt=floor_by_date(database, oldest - DISORDER))
    times: dict[int, Moment] = {}
    signs: set[Sign] = set()
    for part in about(database, log, objects_of(entries)):
        latest: dict[tuple[type[Model], Key], datetime] = {}
        for entry in read_entries(database, part.order_by("id"), node=session.node):
            at, before = entry.date, latest.get((entry.model, entry.key))
            if entry.origin is not None:
                signs.add(sign_of(entry, session.node))
            elif before is not None and isinstance(at, Moment) and not before < at:
                at = times[entry.id] = at.after(before)
            latest[entry.model, entry.key] = at if before is None else max(at, before)
    return times, signs


def objects_of(entries: Iterable[Entry]) -> ByModel:
    """Return the keys of the objects that the entries name, by model."""
    return by_model((entry.model, entry.key) for entry in entries)


def about(
    database: Database, log: QuerySet[ChangeLog], objects: Mapping[type[Model], Collection[Key]]
) -> Iterator[QuerySet[ChangeLog]]:
    """Yield the entries that name these objects, in parts, each with all that the log has about its objects."""
    for model, keys in objects.items():
        texts = [to_text(model, key) for key in keys]
        for start in range(0, len(texts), PART):
            yield log.filter(
                content_type_id=database.content_type_id(model), object_id__in=texts[start : start + PART]
            )


def floor_by_date(database: Database, since: datetime, top: int | None = None) -> int:
    """Return an id below which every entry was logged before `since`; `top` is the highest one, if that is known."""
    log = ChangeLog.objects.using(database.alias)
    if top is None:
        top = log.aggregate(top=Max("id"))["top"] or 0
    back = 0
    while (candidate := top - back) > 0:
        at, date = log.filter(id__gte=candidate).order_by("id").values_list("id", "date").first() or (
            0,
            since,
        )
        if aware(date) < since:
            return int(at)
        back = back * 10 or 1000
    return 0


def unlogged_until(session: Session) -> datetime | None:
    """
    Return until when REMOTE's log says nothing of changes that other nodes than LOCAL sent there.

    Return None where it says everything, or where LOCAL has them since it is a copy.
    """
    peer, alias = session.peer_on_remote, session.remote.alias
    if peer is None or not session.forwards:
        return None
    since = Node.objects.using(alias).values_list("forwards_since", flat=True).get(pk=1)
    own = Node.objects.using(LOCAL).values_list("forwards_since", flat=True).get(pk=1)
    if since is None or (session.copied_log and since == own):
        return None
    others = Receipt.objects.using(alias).filter(unlogged__gt=0).exclude(peer_id=peer.pk)
    return aware(since) if others.exists() else None


def pruned_until(session: Session, node: Node, received_batch: int) -> datetime | None:
    """
    Return until when REMOTE has dropped entries that LOCAL, which has the batches up to `received_batch`, lacks.

    `node` is REMOTE's row about itself. Return None where LOCAL has all that was dropped.
    """
    if node.pruned_until is None and node.pruned == 0:
        return None
    if node.pruned_upto is not None and node.pruned_upto <= session.copied_log:
        return None
    if node.pruned and node.pruned <= received_batch:
        return None
    if node.pruned_until is not None:
        return aware(node.pruned_until)
    # Pruned by an earlier release. What was in the log before the next batch was formed, or will be, is older.
    later = Batch.objects.using(session.remote.alias).filter(number__gt=node.pruned).order_by("number")
    formed = later.values_list("formed", flat=True).first()
    return aware(formed) if formed else session.begun + session.offset
