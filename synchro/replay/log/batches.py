"""
Batches: the log, cut into numbered sets of entries, so that nothing is skipped and nothing waits.

Ids say nothing about the order of commits. So what decides is visibility: everything beyond the highest id seen is
new, and the gaps below it are looked into again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import uuid4

from django.db.models import Count, Max, Min, Subquery
from django.db.models.functions import Coalesce

from synchro.conf import LOCAL, conf
from synchro.models import Batch, Node, SetAside
from synchro.replay.log.batch_size import fitting
from synchro.replay.log.gaps import look_into_gaps
from synchro.replay.log.loads import LoadPart
from synchro.replay.log.position import (
    NewestEntry,
    is_same_log,
    local_log,
    locked_node,
    move_on,
    newest_entry,
    own_node,
    start_again,
)
from synchro.replay.log.ranges import Range, between, from_text, ranges_of, to_text, united
from synchro.replay.log.unread import Unread
from synchro.replay.session import Database


class Pruned(Exception):
    """A batch that is to be replayed is not there any more."""


def pending(after: int) -> Iterator[Batch]:
    """
    Yield the batches that follow number `after`, until all are given that was visible when the first was asked for.

    What is logged meanwhile is left to the next run, so that a run has an end whatever others do.
    """
    batch = next_batch(after)
    if batch is None:
        return
    node, newest = own_node(LOCAL), newest_entry()
    nothing_else = _is_all_formed(node, newest)
    while batch is not None:
        yield batch
        if nothing_else and batch.number >= node.batch:
            return
        last = max((ids.last for ids in from_text(batch.ranges)), default=0)
        # Whoever forms the second batch after the node's last began to look after the node was read.
        if batch.number > node.batch + 1 and last >= newest.id:
            return
        batch = next_batch(batch.number)


def next_batch(after: int) -> Batch | None:
    """
    Return the batch that follows number `after` on LOCAL: one that was formed before, else a new one, else None.

    Raises `Pruned`.
    """
    return _formed(after) or _form(after)


def check_entries(batch: Batch) -> None:
    """
    Raise `Pruned` where entries of the batch may have been missed.

    To be called when they have been read.
    """
    if Node.objects.using(LOCAL).filter(pk=1, pruned__gte=batch.number).exists():
        raise Pruned


def form_empty() -> Batch:
    """Form a batch of no entries: its number makes a receipt for what is done besides."""
    own_node(LOCAL)
    with locked_node() as node:
        batch = _write_batch(node, [])
        node.save(using=LOCAL)
    return batch


def form_load(peer: int, part: LoadPart) -> Batch:
    """Form a batch of the rows of one part of a load, for this REMOTE alone: to all others it is one of nothing."""
    own_node(LOCAL)
    with locked_node() as node:
        batch = _write_batch(node, [], peer_id=peer, part=part.to_text())
        node.save(using=LOCAL)
    return batch


def shorten_load(batch: Batch, part: LoadPart) -> None:
    """Have a batch of a load that has not arrived end at an earlier key; what is beyond comes in later ones."""
    batch.part = part.to_text()
    batch.save(using=LOCAL, update_fields=["part"])


def rewind(moment: datetime) -> None:
    """
    Form batches of what was logged after `moment`, to which a person set the checkpoint.

    It is to be replayed (again); what was logged before is not.
    """
    own_node(LOCAL)
    with locked_node() as node:
        node.forgotten = node.batch
        highest = local_log().aggregate(highest=Max("id"))["highest"] or node.highest
        unseen = local_log().filter(id__gt=node.highest).order_by("id").values_list("id", flat=True)
        look_into_gaps(node, between(ranges_of(unseen.iterator()), node.highest))
        move_on(node, max(node.highest, highest))
        node.unread = "{}"  # what was logged after that moment comes in these batches
        SetAside.objects.using(LOCAL).filter(changed__lte=moment)._raw_delete(LOCAL)
        ids = local_log().filter(date__gt=moment).order_by("id").values_list("id", flat=True).iterator()
        while part := list(islice(ids, conf.batch_size)):
            _write_batch(node, ranges_of(part))
        node.save(using=LOCAL)


def _formed(after: int) -> Batch | None:
    forgotten = Node.objects.using(LOCAL).filter(pk=1).values("forgotten")
    later = Batch.objects.using(LOCAL).filter(number__gt=after).order_by("number")
    batch = later.filter(number__gt=Coalesce(Subquery(forgotten), 0)).first()
    if batch is not None and batch.number > after + 1:
        node = own_node(LOCAL)
        if batch.number > max(after, node.forgotten) + 1:
            raise Pruned
    return batch


def _form(after: int) -> Batch | None:
    node = own_node(LOCAL)
    if _is_all_formed(node, newest_entry()):
        return None
    with locked_node() as node:
        meanwhile = _formed(after)
        if meanwhile is not None:
            return meanwhile  # by a run to another REMOTE
        if not is_same_log(node):
            start_again(node)  # and look at all that is there
        ids = _take_up(node) or _new_ids(node)
        batch = _write_batch(node, ids) if ids else None
        node.save(using=LOCAL)
    return batch


def _is_all_formed(node: Node, newest: NewestEntry) -> bool:
    """Return whether all that was visible, up to the entry `newest`, when the node had been read is in batches."""
    if newest.id > node.highest or node.holes != "[]" or not is_same_log(node, newest):
        return False
    return node.unread == "{}" or not Unread.from_text(node.unread).readable(Database(LOCAL))


def _take_up(node: Node) -> list[Range]:
    """Return the next entries that runs have met before and could not read, and that this process can read."""
    known = Unread.from_text(node.unread)
    readable = known.readable(Database(LOCAL))
    if not readable:
        return []
    log = local_log().filter(readable.condition()).order_by("id")
    found = list(log.values_list("id", "content_type_id")[: conf.batch_size])
    part = found[: fitting(ranges_of(number for number, _type_id in found))]
    upto = part[-1][0] if len(part) == conf.batch_size or len(part) < len(found) else None
    counts = Counter(type_id for _number, type_id in part)
    for type_id in readable.spans:
        known.cut(type_id, upto, counts[type_id])
    node.unread = known.to_text()
    return ranges_of(number for number, _type_id in part)


def _new_ids(node: Node) -> list[Range]:
    """Return the next ids that are in no batch: of the gaps, and beyond the highest one."""
    new = _beyond(node.highest, conf.batch_size)
    limit = fitting(new)
    if limit < sum(map(len, new)):
        new = _beyond(node.highest, limit)
    filled = look_into_gaps(node, between(new, node.highest))
    if new:
        move_on(node, new[-1].last)
    return united([*ranges_of(filled), *new])


def _beyond(highest: int, limit: int) -> list[Range]:
    """Return the first ids beyond `highest` that are visible, `limit` at the most."""
    ids = local_log().filter(id__gt=highest).order_by("id").values_list("id", flat=True)[:limit]
    found = ids.aggregate(first=Min("id"), last=Max("id"), count=Count("id"))
    if found["count"] == 0:
        return []
    whole = Range(found["first"], found["last"])
    # One statement sees one state; a second one may see more ids, which belong to a later batch or to the gaps.
    return [whole] if len(whole) == found["count"] else ranges_of(ids)


def _write_batch(node: Node, ids: Sequence[Range], **values: Any) -> Batch:
    node.batch += 1
    return Batch.objects.using(LOCAL).create(
        number=node.batch,
        ranges=to_text(ids),
        size=sum(map(len, ids)),
        token=f"{node.batch}-{uuid4().hex}",
        **values,
    )
