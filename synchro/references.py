"""
References: the remembered pairs of keys, as a database stores them.

Keys that follow each other on both sides are one row, a range; all others are a row each. Where both have a key, the
single pair counts: it was stored later. Nothing outside of this module, and of the migration that made the table, knows
how a pair is stored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from django.db import connections
from django.db.models import F, Q

from synchro.backends import backend_for
from synchro.backends.base import Backend, PairsTable, quoted
from synchro.key_ranges import (
    BLOCK,
    SINGLE,
    KeyRange,
    block_of,
    has_any,
    is_dense,
    pick,
    ranges_of,
)
from synchro.models import Peer, Reference

TABLE = Reference._meta.db_table
PAIR = ("local_object_id", "remote_object_id")
#: What a row has besides the peer and the content type.
COLUMNS = ("id", *PAIR, "length", "batch")
#: The numbers that the columns hold.
LOWEST, HIGHEST = -(2**63), 2**63 - 1
#: How many pairs are copied at once.
AT_ONCE = 20_000


@dataclass(frozen=True)
class References:
    """What a database remembers of rows of one model and of one peer. The database's own keys come first."""

    backend: Backend
    peer: int
    content_type: int

    # -- asking -------------------------------------------------------------------------------------------------

    def find(self, keys: Collection[int]) -> dict[int, int]:
        """Return the other keys, by the own keys, of those of these that are remembered."""
        found: dict[int, int] = {}
        for part in self._parts(keys):
            rows = self._rows(PAIR[0], part, self._blocks(part))
            ranges = sorted((row for row in rows if row[3] > 1), key=lambda row: row[0])
            found |= pick((KeyRange(*row[1:]) for row in ranges), part)
            found |= {row[1]: row[2] for row in rows if row[3] == 1}
        return found

    def find_by_other(self, others: Collection[int]) -> dict[int, int]:
        """Return the own keys, by the other keys. No index leads there: it reads all that is remembered."""
        candidates: list[tuple[int, int]] = []
        for part in self._parts(others):
            ends = (part[0] - BLOCK, part[-1])
            near = f"{self._name('block')} > {SINGLE} AND {self._name(PAIR[1])} BETWEEN %s AND %s"
            for _id, own, other, length, _batch in self._rows(PAIR[1], part, (near, ends)):
                candidates.extend(pick([KeyRange(other, own, length)], part).items())
        known = self.find({own for _other, own in candidates})
        return {other: own for other, own in candidates if known.get(own) == other}

    def joined(self, column: str, name: str) -> tuple[str, str]:
        """
        Return SQL that joins what is remembered, and SQL of the other side's key, NULL where nothing is remembered.

        `column` is SQL of the database's own key, and nothing else in the statement has a name that begins with `name`.
        """
        quote = self.backend.connection.ops.quote_name
        single, span = quote(f"{name}_1"), quote(f"{name}_2")
        joins = "".join(
            f" LEFT JOIN {quote(TABLE)} AS {table} ON {table}.{quote('peer_id')} = {self.peer:d} "
            f"AND {table}.{quote('content_type_id')} = {self.content_type:d} AND {table}.{quote('block')} = {block} "
            f"AND {table}.{quote(PAIR[0])} {own}"
            for table, block, own in (
                (single, str(SINGLE), f"= {column}"),
                (span, f"({column} & -{BLOCK})", f"<= {column}"),
            )
        )
        joins += f" AND {span}.{quote(PAIR[0])} + {span}.{quote('length')} > {column}"
        other = f"{column} - {span}.{quote(PAIR[0])} + {span}.{quote(PAIR[1])}"
        return joins, f"COALESCE({single}.{quote(PAIR[1])}, {other})"

    # -- writing, inside a transaction ----------------------------------------------------------------------------

    def put(self, pairs: Mapping[int, int], batch: int) -> None:
        """Remember these pairs; they take the place of what is remembered of the own keys."""
        ranges = ranges_of(pairs, batch)
        long = [each for each in ranges if each.length > 1]
        if long:
            self._lock()
            self.remove([key for each in long for key in range(each.first, each.last + 1)])
            self._insert(long)
        if singles := {each.first: each.other for each in ranges if each.length == 1}:
            # A single pair counts before the range that has its key.
            place = PairsTable(TABLE, PAIR, where=self._single, also={"batch": batch, "length": 1})
            self.backend.put_pairs(place, singles)

    def put_ranges(self, ranges: Iterable[KeyRange], is_older: bool = False) -> None:
        """
        Remember these, of which later ones count before earlier ones. What is remembered already gives way; with
        `is_older` it stays.
        """
        batches: dict[int, int] = {}
        pairs: dict[int, int] = {}
        for each in ranges:
            for own, other in each.pairs():
                pairs[own], batches[own] = other, each.batch
        if is_older:
            for key in self.find(pairs):
                del pairs[key]
        by_batch: dict[int, dict[int, int]] = defaultdict(dict)
        for own, other in pairs.items():
            by_batch[batches[own]][own] = other
        self._lock()
        self.remove(pairs)
        self._insert(list(chain.from_iterable(ranges_of(some, batch) for batch, some in by_batch.items())))

    def remove(self, keys: Collection[int]) -> None:
        """Forget these own keys. What is left of a range stays, in pieces."""
        for part in self._parts(keys):
            if self._ranges_with(part):
                self._cut(part)
            self.backend.delete(TABLE, PAIR[:1], [(key,) for key in part], self._single)

    def _cut(self, keys: Sequence[int]) -> None:
        """Take these keys out of the ranges that have them."""
        self._lock()
        ranges = self._ranges_with(keys)
        self.backend.delete(TABLE, COLUMNS[:1], [(number,) for number in ranges])
        pieces = [piece for each in ranges.values() for piece in each.without(keys)]
        singles = [piece.first for piece in pieces if piece.length == 1]
        own = self.backend.select(TABLE, PAIR[:1], PAIR[:1], [(key,) for key in singles], where=self._single)
        newer = {key for (key,) in own}
        kept = {piece.first: piece for piece in pieces if piece.length > 1 or piece.first not in newer}
        self._insert(list(kept.values()))

    def _lock(self) -> None:
        """Wait for a run in the other direction that writes ranges too: what it has left is seen from then on."""
        list(self.backend.select(Peer._meta.db_table, ["id"], ["id"], [(self.peer,)], lock=True))

    def _ranges_with(self, keys: Sequence[int]) -> dict[int, KeyRange]:
        """Return the ranges that have one of these keys, which are in order, by their rows' numbers."""
        condition, values = self._blocks(keys)
        sql = f"{self._select()} AND {condition}"
        rows = self._fetch(sql, values) if condition else []
        found = {number: KeyRange(*more) for number, *more in sorted(rows)}
        return {number: each for number, each in found.items() if has_any(keys, each)}

    def _insert(self, ranges: Sequence[KeyRange]) -> None:
        fixed = {"peer_id": self.peer, "content_type_id": self.content_type}
        rows = [
            (*fixed.values(), each.block, each.first, each.other, each.length, each.batch) for each in ranges
        ]
        if rows:
            self.backend.insert(TABLE, (*fixed, "block", *COLUMNS[1:]), rows)

    # -- statements -----------------------------------------------------------------------------------------------

    @property
    def _single(self) -> dict[str, int]:
        return {"peer_id": self.peer, "content_type_id": self.content_type, "block": SINGLE}

    def _parts(self, keys: Collection[int]) -> Iterator[Sequence[int]]:
        """Yield the keys that the table can hold, in order, as many at a time as a statement takes."""
        several: Sequence[int] = sorted(keys)
        if several and not (several[0] >= LOWEST and several[-1] <= HIGHEST):
            several = [key for key in several if LOWEST <= key <= HIGHEST]
        size = max(1, self.backend.key_chunk(1) // 2)
        for start in range(0, len(several), size):
            yield several[start : start + size]

    def _rows(
        self, column: str, keys: Sequence[int], ranges: tuple[str, Sequence[Any]]
    ) -> list[tuple[Any, ...]]:
        """Return the single pairs with these keys in the column, and the `ranges`, as they are at one moment."""
        condition, values = self._among(column, keys)
        sql = f"{self._select()} AND {self._name('block')} = {SINGLE} AND {condition}"
        if ranges[0]:
            sql, values = f"{sql} UNION ALL {self._select()} AND {ranges[0]}", [*values, *ranges[1]]
        return self._fetch(sql, values)

    def _select(self) -> str:
        names = ", ".join(map(self._name, COLUMNS))
        return (
            f"SELECT {names} FROM {self._name(TABLE)} "
            f"WHERE {self._name('peer_id')} = {self.peer:d} "
            f"AND {self._name('content_type_id')} = {self.content_type:d}"
        )

    def _blocks(self, keys: Sequence[int]) -> tuple[str, Sequence[Any]]:
        """Return a condition for the blocks of these keys; an empty text where no range can have one of them."""
        if is_dense(keys):
            ends = max(0, block_of(keys[0])), block_of(keys[-1])
            return (f"{self._name('block')} BETWEEN %s AND %s", ends) if ends[1] >= 0 else ("", ())
        blocks = sorted({block_of(key) for key in keys if key >= 0})
        return self.backend.key_condition(["block"], [(block,) for block in blocks]) if blocks else ("", ())

    def _among(self, column: str, numbers: Sequence[int]) -> tuple[str, Sequence[Any]]:
        if is_dense(numbers):
            return f"{self._name(column)} BETWEEN %s AND %s", (numbers[0], numbers[-1])
        return self.backend.key_condition([column], [(number,) for number in numbers])

    def _fetch(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self.backend.connection.cursor() as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall())

    def _name(self, name: str) -> str:
        return quoted(self.backend.connection, name)


def containing(number: int) -> Q:
    """Return a condition for the rows that stand for a pair with this key on either side."""
    return Q(
        *(Q((f"{key}__lte", number), (f"{key}__gt", number - F("length"))) for key in PAIR), _connector=Q.OR
    )


def references_of(alias: str, peer: int, content_type: int) -> References:
    """Return what the database `alias` remembers of a model's rows, and of one peer."""
    return References(backend_for(connections[alias]), peer, content_type)


def stored(
    alias: str,
    peers: Collection[int],
    condition: Q = Q(),  # noqa: B008  nothing changes it
    order: Sequence[str] = ("batch", "id"),
) -> Iterator[tuple[Reference, KeyRange]]:
    """Yield all that is remembered of these peers, in the order in which it came to be: the row, and what it says."""
    rows = Reference.objects.using(alias).filter(condition, peer_id__in=peers).order_by(*order)
    for row in rows.iterator(chunk_size=AT_ONCE):
        yield row, KeyRange(int(row.local_object_id), int(row.remote_object_id), row.length, row.batch)


def store(alias: str, peer: int, ranges: Iterable[tuple[int, KeyRange]], is_older: bool = False) -> None:
    """
    Remember these ranges of one peer, each with its content type, inside a transaction.

    Later ones count before earlier ones. What is remembered already gives way; with `is_older` it stays.
    """
    for part in _parts(ranges):
        by_type: dict[int, list[KeyRange]] = defaultdict(list)
        for content_type, each in part:
            by_type[content_type].append(each)
        for content_type, several in by_type.items():
            references_of(alias, peer, content_type).put_ranges(several, is_older)


def _parts(ranges: Iterable[tuple[int, KeyRange]]) -> Iterator[list[tuple[int, KeyRange]]]:
    """Yield them, about `AT_ONCE` pairs at a time."""
    part: list[tuple[int, KeyRange]] = []
    count = 0
    for each in ranges:
        part.append(each)
        count += each[1].length
        if count >= AT_ONCE:
            yield part
            part, count = [], 0
    yield part


def move(alias: str, old: int, new: int) -> None:
    """Let what is remembered under one content type be about another, which keeps what it has."""
    rows = Reference.objects.using(alias)
    for peer in rows.filter(content_type_id=new).order_by().values_list("peer_id", flat=True).distinct():
        if peer is not None:
            ranges = (each for row, each in stored(alias, [peer], Q(content_type_id=old)))
            while part := list(islice(ranges, AT_ONCE // BLOCK)):
                keys = [own for each in part for own, _other in each.pairs()]
                references_of(alias, peer, old).remove(references_of(alias, peer, new).find(keys))
    rows.filter(content_type_id=old).update(content_type_id=new)
