"""Ranges of ids: what a batch is made of, and what is missing below the highest id seen."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import NamedTuple


class Range(NamedTuple):
    """Ids from `first` to `last`, both included."""

    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first + 1


def ranges_of(ids: Iterable[int]) -> list[Range]:
    """Return ascending ids as the fewest ranges."""
    found: list[Range] = []
    for number in ids:
        if found and found[-1].last == number - 1:
            found[-1] = Range(found[-1].first, number)
        else:
            found.append(Range(number, number))
    return found


def between(ranges: Iterable[Range], above: int) -> list[Range]:
    """Return the ids between `above` and the last of the ascending `ranges` that are in none of them."""
    found = []
    for ids in ranges:
        if ids.first > above + 1:
            found.append(Range(above + 1, ids.first - 1))
        above = ids.last
    return found


def united(ranges: Iterable[Range]) -> list[Range]:
    """Return ranges that do not overlap, in any order, as the fewest ranges, ascending."""
    found: list[Range] = []
    for ids in sorted(ranges):
        if found and found[-1].last == ids.first - 1:
            found[-1] = Range(found[-1].first, ids.last)
        else:
            found.append(ids)
    return found


def to_text(ranges: Iterable[Range]) -> str:
    return ",".join(str(r.first) if r.first == r.last else f"{r.first}-{r.last}" for r in ranges)


def from_text(text: str) -> Iterator[Range]:
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        yield Range(int(first), int(last or first))


class IdSet:
    """Ids that are looked for one by one among many ranges, which may overlap."""

    def __init__(self, ranges: Iterable[Range]) -> None:
        ordered = sorted(ranges)
        self._firsts = [ids.first for ids in ordered]
        self._lasts = list(accumulate((ids.last for ids in ordered), max))

    def __contains__(self, number: int) -> bool:
        position = bisect_right(self._firsts, number)
        return position > 0 and number <= self._lasts[position - 1]

    @property
    def first(self) -> int:
        """The lowest of the ids; 0 where there are none."""
        return self._firsts[0] if self._firsts else 0
