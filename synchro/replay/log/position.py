"""
Position: up to which id the log has been put into batches, by this database's own row among the nodes.

A log that was emptied, or whose ids began again, is known by its newest entry, which pruning leaves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connections, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from synchro.backends import backend_for
from synchro.conf import LOCAL
from synchro.exceptions import NotReady
from synchro.last_check import aware
from synchro.models import ChangeLog, Node

TABLE = ChangeLog._meta.db_table


@dataclass(frozen=True)
class NewestEntry:
    """An entry at the end of the log: what it says, and when it was written."""

    id: int
    what: list[Any]
    date: datetime


#: In place of the newest entry of an empty log.
NONE = NewestEntry(0, [], datetime.min)


def own_node(alias: str) -> Node:
    """Return this database's own row, made at the first call."""
    node, _created = Node.objects.using(alias).get_or_create(pk=1)
    return node


@contextmanager
def locked_node() -> Iterator[Node]:
    """A transaction on LOCAL that nobody else can form batches in, and that sees what commits while it runs."""
    backend = backend_for(connections[LOCAL])
    backend.before_read_committed()
    with transaction.atomic(using=LOCAL):
        backend.begin_writing()
        yield Node.objects.using(LOCAL).select_for_update().get(pk=1)


def local_log() -> QuerySet[ChangeLog]:
    return ChangeLog.objects.using(LOCAL)


def newest_entry() -> NewestEntry:
    # The end of the primary key. Whether there is any id beyond one, PostgreSQL may read the whole table to find out.
    return _first(local_log().order_by("-id")) or NONE


def move_on(node: Node, highest: int) -> None:
    """Note that all ids up to `highest` have been put into batches, but for the gaps."""
    node.highest, node.newest = highest, None
    entry = _first(local_log().filter(id=highest))
    if entry is not None:
        node.newest = json.dumps([*entry.what, entry.date.isoformat()])


def start_again(node: Node) -> None:
    """Note that nothing has been put into batches, since somebody emptied the log, or made its ids start again."""
    if _gives_ids_again(node):
        backend_for(connections[LOCAL]).pass_sequence(TABLE, "id", node.highest)
    node.highest, node.newest, node.holes, node.unread = 0, None, "[]", "{}"


def is_same_log(node: Node, newest: NewestEntry = NONE) -> bool:
    """
    Return whether the newest entry that was put into a batch is still there.

    Where somebody emptied the log, and its ids began again, one that was written later may have taken its id. Pass
    the `newest` entry of the log where it is known.
    """
    if node.highest == 0:
        return True
    entry = newest if newest.id == node.highest else _first(local_log().filter(id=node.highest))
    if entry is not None and _gives_ids_again(node):
        return False
    if entry is None or node.newest is None:
        return entry is not None
    *known, moment = json.loads(node.newest)
    return entry.what == known and entry.date <= datetime.fromisoformat(moment)


def check_ids() -> None:
    """Raise `NotReady` where a transaction may write entries with ids that were taken before it began."""
    if backend_for(connections[LOCAL]).reserves_ids(TABLE, "id"):
        raise NotReady(
            _(
                "The sequence of %(table)s hands out ids in advance (CACHE above 1, or descending), so nobody can tell "
                "which ones may still come, and changes could be missed. Nothing was written. Run ALTER SEQUENCE ... "
                "INCREMENT 1 CACHE 1, and restart every process that writes, since each holds ids. What was written "
                "before that may have been missed: compare both databases."
            )
            % {"table": TABLE}
        )


def _gives_ids_again(node: Node) -> bool:
    return backend_for(connections[LOCAL]).gives_ids_again(TABLE, "id", node.highest)


def _first(log: QuerySet[ChangeLog]) -> NewestEntry | None:
    found = log.values_list("id", "content_type_id", "object_id", "action", "date").first()
    if found is None:
        return None
    number, *what, date = found
    return NewestEntry(number, what, aware(date).astimezone(UTC))
