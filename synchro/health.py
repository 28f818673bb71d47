"""How each REMOTE stands: what it lacks, since when, and what is in the way. LOCAL is asked; REMOTE need not be up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.checks import CheckMessage
from django.db import Error, connections
from django.db.models import Count, Min, Sum

from synchro.activity import tasks_of
from synchro.conf import LOCAL, conf
from synchro.last_check import aware
from synchro.models import Batch, ChangeLog, Checkpoint, Conflict, Load, Node, Run
from synchro.move_progress import progress_of
from synchro.pending import Pending, all_pending, checkpoints_by_alias
from synchro.replay.log.entries import parts_of_log
from synchro.replay.log.gaps import gaps_of
from synchro.replay.log.pending import pending_batches
from synchro.replay.log.position import own_node
from synchro.replay.log.ranges import from_text
from synchro.replay.log.unread import Unread
from synchro.replay.session import Database
from synchro.triggers.checks import check_triggers

#: Conflicts of this time are counted.
RECENT = timedelta(days=1)


@dataclass(frozen=True)
class LastRun:
    """The last run to a REMOTE that did something or failed."""

    begun: datetime
    ended: datetime
    #: `running`, `done`, `stopped` or `failed`; one that was killed stays `running`.
    outcome: str
    by: str
    entries: int
    batches: int
    message: str


@dataclass(frozen=True)
class Health:
    """How one REMOTE stands."""

    alias: str
    #: Why it cannot be reached; None where it can be, or was not asked.
    problem: str | None
    #: When the last batch arrived there; None before the first.
    arrived: datetime | None
    #: How many entries it lacks, and the age of the oldest of them in seconds.
    pending: int
    lag: float
    quarantined: int
    #: How many conflicts were recorded in the last day.
    conflicts: int
    last_run: LastRun | None
    #: What goes on at this moment, besides runs: `load`, `verify`, `move`.
    tasks: tuple[str, ...] = ()
    #: Of a load that has begun and not ended: how many rows it has looked at, of how many.
    load: tuple[int, int] | None = None
    #: The step at which a move to this REMOTE is, or was when it was last heard of; empty where there was none.
    move: str = ""


@dataclass(frozen=True)
class LocalHealth:
    """What is the same for every REMOTE."""

    capture: str
    #: How many ids of the log are waited for: transactions that have taken them may still commit.
    gaps: int
    #: What is wrong with the triggers, a sentence each.
    triggers: tuple[str, ...]
    #: How many seconds entries are kept after every REMOTE has them; None for ever.
    retention: float | None


def health_of_local() -> LocalHealth:
    """Return what concerns all REMOTEs; the triggers are asked for where they capture."""
    found: list[CheckMessage] = check_triggers(databases=[LOCAL])
    return LocalHealth(
        capture=conf.capture,
        gaps=sum(map(len, gaps_of(own_node(LOCAL)))),
        triggers=tuple(str(message.msg) for message in found if not message.is_silenced()),
        retention=None if conf.retention is None else conf.retention.total_seconds(),
    )


def health_of_remotes(*, asks_remotes: bool = True) -> list[Health]:
    """
    Return how each REMOTE of the settings stands.

    With `asks_remotes` each is connected to, to say whether it can be reached; all else is LOCAL's knowledge. A batch
    that arrived in a run which was killed at that moment counts as pending until the next run.
    """
    return _healths(all_pending(), asks_remotes)


def health_of_remote(alias: str) -> Health:
    """Return how this REMOTE of the settings stands, which is not asked itself."""
    (health,) = _healths([pending for pending in all_pending() if pending.alias == alias], asks_remotes=False)
    return health


def _healths(several: Sequence[Pending], asks_remotes: bool) -> list[Health]:
    node, checkpoints, now = own_node(LOCAL), checkpoints_by_alias(), Database(LOCAL).backend.now()
    return [_health(pending, node, checkpoints.get(pending.alias), now, asks_remotes) for pending in several]


def _health(
    pending: Pending, node: Node, checkpoint: Checkpoint | None, now: datetime, asks_remote: bool
) -> Health:
    alias, entries = pending.alias, pending.entries
    oldest = min(_dates_of_the_oldest(node, checkpoint.batch if checkpoint else 0), default=None)
    conflicts = Conflict.objects.using(LOCAL).filter(peer__alias=alias, date__gte=now - RECENT)
    return Health(
        alias=alias,
        problem=_problem(alias) if asks_remote else None,
        arrived=checkpoint.date if checkpoint else None,
        pending=entries,
        lag=max(0.0, (now - oldest).total_seconds()) if entries and oldest is not None else 0.0,
        quarantined=pending.quarantined,
        conflicts=conflicts.count(),
        last_run=_last_run(alias),
        tasks=tuple(tasks_of(alias)),
        load=_load(checkpoint),
        move=progress_of(alias).step,
    )


def _dates_of_the_oldest(node: Node, arrived: int) -> Iterator[datetime]:
    """
    Yield when the oldest entries were written of those that are in batches, in none, in gaps, and unread.

    The log has no index by date, so it is the first id of each that tells, or the first batch.
    """
    log = ChangeLog.objects.using(LOCAL)
    batch: Batch | None = pending_batches(LOCAL, node, arrived).order_by("number").first()
    ranges = [*(from_text(batch.ranges) if batch else ()), *gaps_of(node)]
    for part in parts_of_log(Database(LOCAL), ranges):
        if (oldest := part.aggregate(oldest=Min("date"))["oldest"]) is not None:
            yield aware(oldest)
    for several in (log.filter(id__gt=node.highest), log.filter(Unread.from_text(node.unread).condition())):
        if (first := several.order_by("id").values_list("date", flat=True).first()) is not None:
            yield aware(first)


def _load(checkpoint: Checkpoint | None) -> tuple[int, int] | None:
    if checkpoint is None:
        return None
    loads = Load.objects.using(LOCAL).filter(peer_id=checkpoint.peer_id, ended=None)
    found = loads.aggregate(done=Sum("done"), total=Sum("total"), count=Count("id"))
    return (int(found["done"]), int(found["total"])) if found["count"] else None


def _problem(alias: str) -> str | None:
    connection = connections[alias]
    try:
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        connection.close()
        return type(error).__name__
    return None


def _last_run(alias: str) -> LastRun | None:
    run = Run.objects.using(LOCAL).filter(alias=alias).order_by("-id").first()
    if run is None:
        return None
    return LastRun(run.begun, run.ended, run.outcome, run.by, run.entries, run.batches, run.message)
