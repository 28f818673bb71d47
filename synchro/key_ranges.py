"""
Key ranges: keys that follow each other on one side and belong to keys that follow each other on the other side.

A stored range lies within one block of `BLOCK` keys. So the block, which an index finds, leads from a key to all ranges
that may have it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import sub

#: How many keys a block has, a power of two. It is part of what is stored: a change of it takes a migration.
BLOCK = 512
#: Pairs that would make a shorter range are stored one by one.
SHORTEST = 8
#: In place of a block: it is no range but one pair.
SINGLE = -1


@dataclass(frozen=True, slots=True)
class KeyRange:
    """So many pairs of keys, of which these are the first; with `length` 1 it is a single pair."""

    first: int
    other: int
    length: int = 1
    #: The batch with which the pairs came to be.
    batch: int = 0

    @property
    def last(self) -> int:
        return self.first + self.length - 1

    @property
    def block(self) -> int:
        """Return the first key of the block."""
        return SINGLE if self.length == 1 else block_of(self.first)

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Yield the pairs one by one."""
        return zip(
            range(self.first, self.first + self.length),
            range(self.other, self.other + self.length),
            strict=True,
        )

    def part(self, first: int, last: int) -> KeyRange:
        """Return what lies between these keys, both of which it has."""
        return KeyRange(first, self.other + first - self.first, last - first + 1, self.batch)

    def turned(self) -> KeyRange:
        """Return the same pairs as the other side sees them."""
        return KeyRange(self.other, self.first, self.length, self.batch)

    def without(self, keys: Sequence[int]) -> Iterator[KeyRange]:
        """Yield what is left of it, in storable pieces, when these `keys`, in order, are taken out."""
        start = self.first
        for key in keys[bisect_left(keys, self.first) : bisect_right(keys, self.last)]:
            if key > start:
                yield from storable(self.part(start, key - 1))
            start = key + 1
        if start <= self.last:
            yield from storable(self.part(start, self.last))


def has_any(keys: Sequence[int], each: KeyRange) -> bool:
    """Return whether one of these `keys`, which are in order, lies in the range."""
    place = bisect_left(keys, each.first)
    return place < len(keys) and keys[place] <= each.last


def ranges_of(pairs: Mapping[int, int], batch: int) -> list[KeyRange]:
    """Return these pairs in ranges as they are stored."""
    own = sorted(pairs)
    other = [pairs[key] for key in own]
    return [
        stored
        for start, end in _runs(own, other)
        for stored in storable(KeyRange(own[start], other[start], end - start, batch))
    ]


def _runs(own: Sequence[int], other: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield from where to where (not included) keys follow each other on both sides."""
    count = len(own)
    if count and own[-1] - own[0] == count - 1 and list(other) == list(range(other[0], other[0] + count)):
        yield 0, count
        return
    start = 0
    steps = zip(map(sub, own[1:], own), map(sub, other[1:], other), strict=True)
    for place, step in enumerate(steps, 1):
        if step != (1, 1):
            yield start, place
            start = place
    if count:
        yield start, count


def storable(whole: KeyRange) -> Iterator[KeyRange]:
    """Yield the range in pieces that lie in one block each; single pairs where a piece is short or has no block."""
    start = whole.first
    while start <= whole.last:
        last = min(whole.last, block_of(start) + BLOCK - 1)
        if last - start + 1 < SHORTEST or start < 0:
            yield from (
                KeyRange(own, other, 1, whole.batch) for own, other in whole.part(start, last).pairs()
            )
        else:
            yield whole.part(start, last)
        start = last + 1


def block_of(key: int) -> int:
    """Return the first key of the block that has the key."""
    return key - key % BLOCK


def is_dense(numbers: Sequence[int]) -> bool:
    """Return whether these, which are in order and differ, are all numbers from the first to the last."""
    return bool(numbers) and numbers[-1] - numbers[0] == len(numbers) - 1


def pick(ranges: Iterable[KeyRange], keys: Sequence[int]) -> dict[int, int]:
    """Return the pairs of those of these `keys`, in order, that the ranges have; the later range counts."""
    found: dict[int, int] = {}
    for each in ranges:
        some = keys[bisect_left(keys, each.first) : bisect_right(keys, each.last)]
        if some:
            found.update(zip(some, map((each.other - each.first).__add__, some), strict=True))
    return found
