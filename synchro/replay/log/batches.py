"""
Form: cut the log into batches, so that nothing is skipped and nothing waits.

Ids say nothing about the order of commits. So what decides is visibility: everything beyond the highest id seen is
new, and the ids below it that have not been seen (holes) are looked for again, until no transaction is left that
could still bring them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from uuid import uuid4

from django.db import connections, transaction
from django.db.models import Count, Max, Min, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from synchro.backends import Backend, backend_for
from synchro.checkpoint import aware
from synchro.conf import LOCAL, conf
from synchro.exceptions import NotReady
from synchro.models import Batch, ChangeLog, Node, SetAside
from synchro.replay.log.batch_size import fitting
from synchro.replay.log.ranges import Range, between, from_text, gaps, ranges_of, to_text, united
from synchro.replay.log.unread import Unread
from synchro.replay.session import Database, Session


@dataclass(frozen=True)
class Gap:
    """Ids that were not there, and the transactions, open at that time, that may yet bring them."""

    ids: Range
    #: None where the engine cannot tell who is writing: then the hole stays.
    writers: frozenset[str] | None


@dataclass(frozen=True)
class Entry:
    """An entry of the log: what it says, and when it was written."""

    id: int
    what: list[Any]
    date: datetime


#: In place of the newest entry of an empty log.
NONE = Entry(0, [], datetime.min)


def own_node(alias: str) -> Node:
    """This database's own row, made at the first call."""
    node, _ = Node.objects.using(alias).get_or_create(pk=1)
    return node


class Pruned(Exception):
    """A batch that is to be replayed is not there any more."""


def pending(after: int) -> Iterator[Batch]:
    """
    The batches that follow number `after`, until all are given that was visible when the first was asked for.

    What is logged meanwhile is left to the next run, so that a run has an end whatever others do.
    """
    batch = next_batch(after)
    if batch is None:
        return
    node, newest = own_node(LOCAL), _newest()
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
    The batch that follows number `after` on LOCAL: one that was formed before, else a new one, else None.

    Raises `Pruned`.
    """
    return _formed(after) or _form(after)


def _formed(after: int) -> Batch | None:
    forgotten = Node.objects.using(LOCAL).filter(pk=1).values("forgotten")
    later = Batch.objects.using(LOCAL).filter(number__gt=after).order_by("number")
    batch = later.filter(number__gt=Coalesce(Subquery(forgotten), 0)).first()
    if batch is not None and batch.number > after + 1:
        node = own_node(LOCAL)
        if batch.number > max(after, node.forgotten) + 1:
            raise Pruned
    return batch


def visible_beyond(batch: Batch) -> list[Range]:
    """The ids that are visible at this moment and are in no batch up to this one."""
    node = own_node(LOCAL)
    later = Batch.objects.using(LOCAL).filter(number__gt=batch.number)
    found = [ids for text in later.values_list("ranges", flat=True) for ids in from_text(text)]
    unformed = _log().filter(id__gt=node.highest).order_by("id").values_list("id", flat=True)
    return united([*found, *ranges_of(_visible(gaps_of(node))), *ranges_of(unformed.iterator())])


def form_empty() -> Batch:
    """A batch of no entries: its number makes a receipt for what is done besides."""
    own_node(LOCAL)
    with locked_node() as node:
        batch = _write_batch(node, [])
        node.save(using=LOCAL)
    return batch


def check_entries(batch: Batch) -> None:
    """
    To be called when the entries of the batch have been read.

    Raises `Pruned` where some may have been missing.
    """
    if Node.objects.using(LOCAL).filter(pk=1, pruned__gte=batch.number).exists():
        raise Pruned


def _form(after: int) -> Batch | None:
    node = own_node(LOCAL)
    if _is_all_formed(node, _newest()):
        return None
    with locked_node() as node:
        meanwhile = _formed(after)
        if meanwhile is not None:
            return meanwhile  # by a run to another REMOTE
        if not _is_whole(node):
            # Somebody emptied the log, or made its ids start again: look at all that is there.
            if _gives_ids_again(node):
                _pass_sequence(node)
            node.highest, node.newest, node.holes, node.unread = 0, None, "[]", "{}"
        read_now = _take_up(node)
        if read_now:
            meanwhile = _write_batch(node, read_now)
            node.save(using=LOCAL)
            return meanwhile
        new = _beyond(node.highest, conf.batch_size)
        limit = fitting(new)
        if limit < sum(map(len, new)):
            new = _beyond(node.highest, limit)
        filled = _look_into_holes(node, between(new, node.highest))
        if new:
            _move_on(node, new[-1].last)
        batch = _write_batch(node, united([*ranges_of(filled), *new])) if new or filled else None
        node.save(using=LOCAL)
    return batch


@contextmanager
def locked_node() -> Iterator[Node]:
    """A transaction on LOCAL that nobody else can form batches in, and that sees what commits while it runs."""
    connection = connections[LOCAL]
    backend = backend_for(connection)
    backend.before_read_committed()
    with transaction.atomic(using=LOCAL):
        backend.begin_writing()
        yield Node.objects.using(LOCAL).select_for_update().get(pk=1)


def _beyond(highest: int, limit: int) -> list[Range]:
    """The first ids beyond `highest` that are visible, `limit` at the most."""
    ids = _log().filter(id__gt=highest).order_by("id").values_list("id", flat=True)[:limit]
    found = ids.aggregate(first=Min("id"), last=Max("id"), count=Count("id"))
    if found["count"] == 0:
        return []
    whole = Range(found["first"], found["last"])
    # One statement sees one state; a second one may see more ids, which belong to a later batch or to the holes.
    return [whole] if len(whole) == found["count"] else ranges_of(ids)


def _newest() -> Entry:
    # The end of the primary key. Whether there is any id beyond one, PostgreSQL may read the whole table to find out.
    return _entry(_log().order_by("-id")) or NONE


def _is_all_formed(node: Node, newest: Entry) -> bool:
    """Whether all that was visible, up to the entry `newest`, when the node had been read is in batches."""
    if newest.id > node.highest or node.holes != "[]" or not _is_whole(node, newest):
        return False
    return node.unread == "{}" or not Unread.from_text(node.unread).readable(Database(LOCAL))


def _take_up(node: Node) -> list[Range]:
    """The next entries that runs have met before, and that nobody could read then; this process can."""
    known = Unread.from_text(node.unread)
    readable = known.readable(Database(LOCAL))
    if not readable:
        return []
    log = _log().filter(readable.condition()).order_by("id")
    found = list(log.values_list("id", "content_type_id")[: conf.batch_size])
    part = found[: fitting(ranges_of(number for number, _type_id in found))]
    upto = part[-1][0] if len(part) == conf.batch_size or len(part) < len(found) else None
    counts = Counter(type_id for _number, type_id in part)
    for type_id in readable.spans:
        known.cut(type_id, upto, counts[type_id])
    node.unread = known.to_text()
    return ranges_of(number for number, _type_id in part)


def _move_on(node: Node, highest: int) -> None:
    """From now on ids up to `highest` have been put into batches, but for the holes."""
    node.highest, node.newest = highest, None
    entry = _entry(_log().filter(id=highest))
    if entry is not None:
        node.newest = json.dumps([*entry.what, entry.date.isoformat()])


def _is_whole(node: Node, newest: Entry = NONE) -> bool:
    """
    Whether the newest entry that was put into a batch is still there. (Pruning leaves it.)

    Where somebody emptied the log, and its ids began again, one that was written later may have taken its id. (The
    one that has it by now may be known: the `newest`.)
    """
    if node.highest == 0:
        return True
    entry = newest if newest.id == node.highest else _entry(_log().filter(id=node.highest))
    if entry is not None and _gives_ids_again(node):
        return False
    if entry is None or node.newest is None:
        return entry is not None
    *known, moment = json.loads(node.newest)
    return entry.what == known and entry.date <= datetime.fromisoformat(moment)


def _gives_ids_again(node: Node) -> bool:
    connection = connections[LOCAL]
    return backend_for(connection).gives_ids_again(ChangeLog._meta.db_table, "id", node.highest)


def _pass_sequence(node: Node) -> None:
    connection = connections[LOCAL]
    backend_for(connection).pass_sequence(ChangeLog._meta.db_table, "id", node.highest)


def check_ids() -> None:
    """Raise `NotReady` where a transaction may write entries with ids that were taken before it began."""
    connection = connections[LOCAL]
    table = ChangeLog._meta.db_table
    if backend_for(connection).reserves_ids(table, "id"):
        raise NotReady(
            _(
                "The sequence of %(table)s hands out ids in advance (CACHE above 1, or descending), so nobody can tell "
                "which ones may still come, and changes could be missed. Nothing was written. Run ALTER SEQUENCE ... "
                "INCREMENT 1 CACHE 1, and restart every process that writes, since each holds ids. What was written "
                "before that may have been missed: compare both databases."
            )
            % {"table": table}
        )


def _entry(log: QuerySet[ChangeLog]) -> Entry | None:
    """The first one."""
    found = log.values_list("id", "content_type_id", "object_id", "action", "date").first()
    if found is None:
        return None
    number, *what, date = found
    return Entry(number, what, aware(date).astimezone(UTC))


def _look_into_holes(node: Node, new: Sequence[Range]) -> list[int]:
    """
    The ids that have appeared in the holes, which are brought up to date with the `new` ones.

    The order matters: ask who is writing, then look, so that whoever was not writing any more has had its commit
    seen.
    """
    old = _load(node.holes)
    if not old and not new:
        return []
    connection = connections[LOCAL]
    backend = backend_for(connection)
    writers = backend.writers(ChangeLog._meta.db_table) if backend.sees_commits() else None
    holes = [*old, *(Gap(ids, writers) for ids in new)]
    filled = _visible([hole.ids for hole in holes])
    node.holes = _dump(_left(backend, holes, filled, writers))
    return filled


def _left(
    backend: Backend, holes: Iterable[Gap], filled: Sequence[int], writers: frozenset[str] | None
) -> Iterator[Gap]:
    for hole in holes:
        if writers is None or hole.writers is None:  # noqa: SIM108  a line of its own for the reason
            waiting = writers  # once it can be told, whoever writes at that moment counts as a candidate
        else:
            waiting = backend.still_open(hole.writers, writers)
        if waiting is None or waiting:
            inside = [number for number in filled if hole.ids.first <= number <= hole.ids.last]
            for ids in gaps([*inside, hole.ids.last + 1], hole.ids.first - 1):
                yield Gap(ids, waiting)


def _visible(ranges: Sequence[Range]) -> list[int]:
    found: list[int] = []
    for start in range(0, len(ranges), 200):
        condition = Q()
        for ids in ranges[start : start + 200]:
            condition |= Q(id__range=ids)
        found += _log().filter(condition).order_by("id").values_list("id", flat=True)
    return sorted(found)


def _write_batch(node: Node, ids: Sequence[Range]) -> Batch:
    node.batch += 1
    return Batch.objects.using(LOCAL).create(
        number=node.batch,
        ranges=to_text(ids),
        size=sum(map(len, ids)),
        token=f"{node.batch}-{uuid4().hex}",
    )


def gaps_of(node: Node) -> list[Range]:
    """The ids that may yet appear below the highest one of the node's log that was put into a batch."""
    return [hole.ids for hole in _load(node.holes)]


def warn_if_blind(session: Session, node: Node) -> None:
    """Say it where some of those ids are waited for only because nobody can tell who is writing."""
    if any(hole.writers is None for hole in _load(node.holes)):
        session.warn(
            _(
                "The account of LOCAL may not see which transactions are open. So ids that were rolled back are "
                "looked for at every run, for ever, which costs a little time and loses nothing. Grant it PROCESS "
                "(MariaDB), or SELECT on performance_schema (MySQL)."
            )
        )


def rewind(moment: datetime) -> None:
    """
    A person set the checkpoint to `moment`: what was logged after it is to be replayed (again), what was logged
    before it is not.
    """
    own_node(LOCAL)
    with locked_node() as node:
        node.forgotten = node.batch
        highest = _log().aggregate(highest=Max("id"))["highest"] or node.highest
        unseen = _log().filter(id__gt=node.highest).order_by("id").values_list("id", flat=True)
        _look_into_holes(node, gaps(unseen.iterator(), node.highest))
        _move_on(node, max(node.highest, highest))
        node.unread = "{}"  # what was logged after that moment comes in these batches
        SetAside.objects.using(LOCAL).filter(changed__lte=moment)._raw_delete(LOCAL)
        ids = _log().filter(date__gt=moment).order_by("id").values_list("id", flat=True).iterator()
        while part := list(islice(ids, conf.batch_size)):
            _write_batch(node, ranges_of(part))
        node.save(using=LOCAL)


def _log() -> QuerySet[ChangeLog]:
    return ChangeLog.objects.using(LOCAL)


def _load(text: str) -> list[Gap]:
    return [
        Gap(Range(first, last), None if writers is None else frozenset(writers))
        for first, last, writers in json.loads(text)
    ]


def _dump(holes: Iterable[Gap]) -> str:
    return json.dumps([[*hole.ids, None if hole.writers is None else sorted(hole.writers)] for hole in holes])
