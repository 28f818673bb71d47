"""Where entries of the log are: which of them each REMOTE has, and with which batch."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from django.db.models import Q

from synchro.conf import LOCAL, conf
from synchro.models import Batch, ChangeLog, Checkpoint, Node, Run
from synchro.pending import checkpoints_by_alias
from synchro.replay.log.gaps import gaps_of
from synchro.replay.log.pending import HIGHEST, pending_batches
from synchro.replay.log.quarantined import quarantined_for
from synchro.replay.log.ranges import IdSet, Range, from_text, united
from synchro.replay.log.unread import Unread

#: How many ranges of ids one statement names, and how many batches are looked through for an entry that came late.
MOST_RANGES, NEAR = 200, 100
#: How many changes in quarantine are known by name.
MOST_REFUSED = 50_000


@dataclass(frozen=True)
class Standing:
    """What is known of an entry towards one REMOTE."""

    alias: str
    has_arrived: bool
    #: The batch in which it waits; None for one that has arrived, or is in no batch yet.
    batch: int | None = None
    #: Whether the REMOTE has refused the object, so that what it has of it is older.
    is_quarantined: bool = False


class _Towards:
    """What one REMOTE lacks."""

    def __init__(self, alias: str, node: Node, checkpoint: Checkpoint | None) -> None:
        self.alias = alias
        batches = pending_batches(LOCAL, node, checkpoint.batch if checkpoint else 0).order_by("number")
        self._formed = sorted(
            (ids, number)
            for number, text in batches.values_list("number", "ranges")
            for ids in from_text(text)
        )
        self._firsts = [ids.first for ids, _number in self._formed]
        self._others = [*gaps_of(node), Range(node.highest + 1, HIGHEST)]
        self._other_ids = IdSet(self._others)
        self._refused = (
            frozenset(quarantined_for(checkpoint).values_list("content_type_id", "object_id")[:MOST_REFUSED])
            if checkpoint
            else frozenset()
        )

    def standing(self, entry: ChangeLog) -> Standing:
        position = bisect_right(self._firsts, entry.pk) - 1
        if position >= 0 and entry.pk <= self._formed[position][0].last:
            return Standing(self.alias, False, self._formed[position][1])
        if entry.pk in self._other_ids:
            return Standing(self.alias, False)
        is_refused = (entry.content_type_id, entry.object_id) in self._refused
        return Standing(self.alias, not is_refused, is_quarantined=is_refused)

    def ranges(self) -> list[Range]:
        """Return the ids that it lacks, ascending."""
        return united([*(ids for ids, _number in self._formed), *self._others])


class Arrivals:
    """What is known on LOCAL of what each REMOTE has, as of one moment; no REMOTE is asked."""

    def __init__(self, aliases: Sequence[str] | None = None) -> None:
        node = Node.objects.using(LOCAL).filter(pk=1).first() or Node()
        checkpoints = checkpoints_by_alias()
        self._unread = Unread.from_text(node.unread)
        self._remotes = [_Towards(alias, node, checkpoints.get(alias)) for alias in (aliases or conf.remotes)]

    def of(self, entry: ChangeLog) -> list[Standing]:
        """Return where an entry stands towards each REMOTE."""
        if self._unread.has(entry.content_type_id, entry.pk):
            return [Standing(remote.alias, False) for remote in self._remotes]
        return [remote.standing(entry) for remote in self._remotes]

    def pending(self) -> Q:
        """Return the condition of entries that the first REMOTE lacks: of many ranges, the newest."""
        return _condition(self._remotes[0].ranges()[-MOST_RANGES:]) | self._unread.condition()

    def arrived(self) -> Q:
        """
        Return the condition of entries that the first REMOTE has.

        Of many ranges, it leaves out what is between the older ones, rather than to say of an entry that it has arrived
        when it has not.
        """
        lacking = self._remotes[0].ranges()
        known = lacking[-MOST_RANGES:]
        ranges = [Range(0, lacking[0].first - 1)] if lacking[0].first > 0 else []
        ranges += [Range(a.last + 1, b.first - 1) for a, b in pairwise(known)]
        return _condition(ranges) & ~self._unread.condition()


def _condition(ranges: Sequence[Range]) -> Q:
    found = Q(pk__in=())
    for ids in ranges:
        found |= Q(id__range=ids)
    return found


@dataclass(frozen=True)
class Delivery:
    """When an entry that has arrived came to a REMOTE."""

    alias: str
    #: When the run ended that brought it; None where no record of it is kept.
    by: datetime | None


def batch_of(entry: int) -> Batch | None:
    """Return the batch that has this entry; None where it is in none, or is not found soon."""
    batches = Batch.objects.using(LOCAL).exclude(
        ranges=""
    )  # those of loads and repeated attempts have no entries
    numbers = batches.order_by("number").values_list("number", flat=True)
    low, high = numbers.first(), numbers.last()
    if low is None or high is None:
        return None
    while low < high:  # the highest ids of batches ascend, but for those of entries that came late
        middle = (low + high) // 2
        batch = batches.filter(number__gte=middle).order_by("number").first()
        if batch is None or _last(batch) >= entry:
            high = middle
        else:
            low = batch.number + 1
    near = batches.filter(number__gte=low).order_by("number")[:NEAR]
    return next((batch for batch in near if any(a <= entry <= b for a, b in from_text(batch.ranges))), None)


def _last(batch: Batch) -> int:
    return max((ids.last for ids in from_text(batch.ranges)), default=0)


def deliveries(batch: Batch, arrivals: Sequence[Standing]) -> Iterator[Delivery]:
    """Yield by when a batch that has arrived did, by the records of runs."""
    for standing in arrivals:
        if standing.has_arrived:
            runs = Run.objects.using(LOCAL).filter(
                alias=standing.alias, ended__gte=batch.formed, outcome=Run.DONE, batches__gt=0
            )
            yield Delivery(standing.alias, runs.order_by("id").values_list("ended", flat=True).first())
