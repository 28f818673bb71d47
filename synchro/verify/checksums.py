"""
Let the servers compare: digests of rows over ranges of keys, and of single rows where those differ.

Both servers make the same digests of rows that are equal on both sides. What they say is a filter: rows that are not
surely equal are suspects, which `compare` looks at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from django.db.models import Model

from synchro.keys import Key
from synchro.replay.session import Session
from synchro.verify.both import of_both
from synchro.verify.sides import Side, Sides, T, sides_of

#: Into how many parts a range of keys is divided, and up to how many rows are compared one by one.
PARTS, FEW = 1_024, 4_000
#: How many ranges one statement names.
RANGES = 100
#: By how many statements a table is asked about at most, unless its rows differ.
SLICES = 1_024
#: Into how many parts all rows are divided where no index finds ranges of keys.
SPREAD = 4_096
#: Where no index finds them: how many rows one statement gives at most, and how many such statements are worth it.
MANY, TIMES = 50_000, 4


@dataclass
class Found:
    """What is known of a part of a table."""

    #: How many rows both sides have alike.
    equal: int = 0
    #: LOCAL's keys of rows that may differ, or may be missing on REMOTE, and REMOTE's keys of rows that LOCAL may lack.
    local_keys: list[Key] = field(default_factory=list)
    remote_keys: list[Key] = field(default_factory=list)


#: By part: how many rows it has, and what their digests are combined. (An exclusive or: no two rows have one digest.)
_Sums = dict[int | None, tuple[int, int]]


def suspects(sides: Sides) -> Iterator[Found] | None:
    """
    Yield, part by part, how many rows are equal, and the keys of those that may not be.

    None where too many rows may differ for the servers to find out which.
    """
    return _by_ranges(sides) if sides.is_by_number else _by_spreading(sides)


def different_ranges(session: Session, model: type[Model]) -> tuple[int, list[tuple[int, int]]] | None:
    """
    Return how many rows are in ranges of keys that are equal on both sides, and the other ranges: first and last key.

    None where the key is not the same whole number on both sides.
    """
    sides = sides_of(session, model)
    if sides is None or not sides.is_by_number:
        return None
    equal, ranges = 0, list[tuple[int, int]]()
    for first, last in _slices(sides):
        rows, runs = _divided(sides, first, last)
        equal += rows
        ranges += [(start, end) for start, end, _count in runs]
    return equal, ranges


# -- by ranges of a whole number -----------------------------------------------------------------------------


def _by_ranges(sides: Sides) -> Iterator[Found]:
    for first, last in _slices(sides):
        yield from _narrowed(sides, first, last)


def _slices(sides: Sides) -> Iterator[tuple[int, int]]:
    """Yield ranges of keys that one statement asks about."""
    bounds = [
        bound
        for side in sides.both()
        if side.number is not None and (bound := _bounds(side, side.number)) is not None
    ]
    if bounds:
        first, last = min(low for low, _high in bounds), max(high for _low, high in bounds)
        yield from _cut(first, last, min(side.digests.rows_at_once for side in sides.both()))


def _cut(first: int, last: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of so many numbers, or of more where these would be too many."""
    step = max(size, -(-(last - first + 1) // SLICES))
    for start in range(first, last + 1, step):
        yield start, min(start + step - 1, last)


def _bounds(side: Side, number: str) -> tuple[int, int] | None:
    ((low, high),) = side.rows(f"SELECT MIN({number}), MAX({number}) FROM {side.table}")
    return None if low is None else (int(low), int(high))


def _narrowed(sides: Sides, first: int, last: int) -> Iterator[Found]:
    """Divide the range, and yield what is found of its parts."""
    equal, runs = _divided(sides, first, last)
    yield Found(equal=equal)
    few = [(start, end, count) for start, end, count in runs if count <= FEW or end == start]
    for ranges in _together(few):
        yield _compared(*of_both(sides, partial(_rows_of_ranges, ranges=ranges)))
    for start, end, count in runs:
        if count > FEW and end > start:
            yield from _narrowed(sides, start, end)


def _together(runs: Sequence[tuple[int, int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Yield ranges that one statement may ask about: they have few rows together."""
    ranges: list[tuple[int, int]] = []
    rows = 0
    for start, end, count in runs:
        if ranges and (rows + count > FEW or len(ranges) == RANGES):
            yield ranges
            ranges, rows = [], 0
        ranges.append((start, end))
        rows += count
    if ranges:
        yield ranges


def _divided(sides: Sides, first: int, last: int) -> tuple[int, list[tuple[int, int, int]]]:
    """Return how many rows are in parts of the range that are equal, and the other parts with their numbers of rows."""
    step = -(-(last - first + 1) // PARTS)
    local, remote = of_both(sides, lambda side: _sums_of_range(side, first, step, last))
    different = {part for part in local.keys() | remote.keys() if _differs(part, local, remote)}
    equal = sum(rows for part, (rows, _total) in local.items() if part not in different)
    runs = [
        (first + low * step, min(first + (high + 1) * step - 1, last), count)
        for low, high, count in _runs(sorted(part for part in different if part is not None), local, remote)
    ]
    return equal, runs


def _runs(parts: Sequence[int], local: _Sums, remote: _Sums) -> Iterator[tuple[int, int, int]]:
    """Yield the first and the last of parts that follow each other, and how many rows they have: few, or one part."""
    run: list[int] = []
    rows = 0
    for part in parts:
        count = max(local.get(part, (0,))[0], remote.get(part, (0,))[0])
        if run and (part != run[-1] + 1 or rows + count > FEW):
            yield run[0], run[-1], rows
            run, rows = [], 0
        run.append(part)
        rows += count
    if run:
        yield run[0], run[-1], rows


def _sums_of_range(side: Side, first: int, step: int, last: int) -> _Sums:
    assert side.number is not None
    part = side.digests.part_of_range(side.number, first, step, last)
    return _sums(side, part, f" WHERE {side.number} BETWEEN {first} AND {last}")


def _rows_of_ranges(side: Side, ranges: Sequence[tuple[int, int]]) -> _Rows:
    return _rows(side, " OR ".join(f"{side.number} BETWEEN {first} AND {last}" for first, last in ranges))


# -- by spreading rows over parts ----------------------------------------------------------------------------


def _by_spreading(sides: Sides) -> Iterator[Found] | None:
    local, remote = of_both(sides, _all_sums)
    different = [part for part in local.keys() | remote.keys() if _differs(part, local, remote)]
    counts = {part: max(local.get(part, (0,))[0], remote.get(part, (0,))[0]) for part in different}
    groups = _groups(counts)
    if len(groups) > TIMES or any(count > MANY for count in counts.values()):
        return None
    equal = sum(rows for part, (rows, _total) in local.items() if part not in counts)
    return _of_groups(sides, equal, groups)


def _of_groups(sides: Sides, equal: int, groups: Sequence[Sequence[int | None]]) -> Iterator[Found]:
    yield Found(equal=equal)
    for parts in groups:
        yield _compared(*of_both(sides, partial(_rows_of_parts, parts=parts)))


def _groups(counts: dict[int | None, int]) -> list[list[int | None]]:
    groups: list[list[int | None]] = []
    rows = MANY
    for part, count in counts.items():
        if rows + count > MANY:
            groups.append([])
            rows = 0
        groups[-1].append(part)
        rows += count
    return groups


def _part(side: Side) -> str:
    number = side.remote_number or side.digests.hashed(side.remote_key)
    return side.digests.part_of_all(number, SPREAD)


def _rows_of_parts(side: Side, parts: Sequence[int | None]) -> _Rows:
    part, numbers = _part(side), ", ".join(str(number) for number in parts if number is not None)
    conditions = [f"{part} IN ({numbers})"] if numbers else []
    conditions += [f"{part} IS NULL"] if None in parts else []
    wanted, known, apart = " OR ".join(conditions), dict[str, tuple[Key, int]](), list[Key]()
    for condition in _short(side):
        more, more_apart = _rows(side, f"({wanted}) AND {condition}")
        apart += more_apart + [key for text, (key, _digest) in more.items() if text in known]
        known = more | known
    return known, apart


def _all_sums(side: Side) -> _Sums:
    part, sums = _part(side), _Sums()
    for condition in _short(side):
        for number, (rows, total) in _sums(side, part, f" WHERE {condition}").items():
            others = sums.get(number, (0, 0))
            sums[number] = (others[0] + rows, others[1] ^ total)
    return sums


def _short(side: Side) -> Iterator[str]:
    """Yield conditions that together pick all rows, each by a statement that ends soon where writers wait for it."""
    number = f"{T}.{side.digests.row_number}"
    bounds = _bounds(side, number) if side.digests.row_number is not None else None
    if bounds is None:  # the rows of a view have no number
        yield "1 = 1"
        return
    for first, last in _cut(*bounds, side.digests.rows_at_once):
        yield f"{number} BETWEEN {first} AND {last}"


# -- both ----------------------------------------------------------------------------------------------------


def _sums(side: Side, part: str, condition: str) -> _Sums:
    found = side.rows(
        f"SELECT {part} AS synchro_part, COUNT(*), {side.digests.combined(side.digest)} "
        f"FROM {side.source}{condition} GROUP BY synchro_part"
    )
    return {None if number is None else int(number): (rows, int(total or 0)) for number, rows, total in found}


def _differs(part: int | None, local: _Sums, remote: _Sums) -> bool:
    return part is None or local.get(part) != remote.get(part)


#: Rows by REMOTE's key as text: their own keys, and their digests. Apart from them, the keys of those whose key on
#: REMOTE is not known, or is that of another row, too.
_Rows = tuple[dict[str, tuple[Key, int]], list[Key]]


def _rows(side: Side, condition: str) -> _Rows:
    found = side.rows(
        f"SELECT {side.own_key}, {side.remote_key}, {side.digest} FROM {side.source} WHERE {condition}"
    )
    keys, known, apart = side.keys([row[:-2] for row in found]), dict[str, tuple[Key, int]](), []
    for key, (*_own, text, digest) in zip(keys, found, strict=True):
        if text is None or text in known:
            apart.append(key)
        else:
            known[text] = (key, digest)
    return known, apart


def _compared(local: _Rows, remote: _Rows) -> Found:
    (local_rows, local_apart), (remote_rows, remote_apart) = local, remote
    found = Found(local_keys=local_apart, remote_keys=remote_apart)
    for text, (key, digest) in local_rows.items():
        if text in remote_rows and remote_rows[text][1] == digest:
            found.equal += 1
        else:
            found.local_keys.append(key)
    found.remote_keys += [key for text, (key, _digest) in remote_rows.items() if text not in local_rows]
    return found


__all__ = ["Found", "different_ranges", "suspects"]
