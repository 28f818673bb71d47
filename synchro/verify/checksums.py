"""Let the servers compare: sums of hashes over ranges of keys, where both spell all values alike."""

from __future__ import annotations

from django.db.models import Model

from synchro.backends.abilities import row_sums
from synchro.keys import AnyField, is_integer, key_fields
from synchro.registry import Table
from synchro.relations import generic_keys, points_at_rows, target_of
from synchro.replay.identity.models import uses_same_key
from synchro.replay.session import Session

#: How many keys a range has.
WIDTH = 10_000

#: The first and the last key of a range.
Range = tuple[int, int]


def different_ranges(session: Session, model: type[Model]) -> tuple[int, list[Range]] | None:
    """
    Return how many rows are in ranges of keys that are equal on both sides, and the other ranges.

    None where the servers cannot tell: the keys are not the same numbers on both sides, a foreign key has to be
    translated, or the servers spell values in other ways.
    """
    local_sums, remote_sums = row_sums(session.local.backend), row_sums(session.remote.backend)
    if local_sums is None or remote_sums is None or not _is_comparable(model):
        return None
    if not local_sums.sums_rows_like(session.remote.connection):
        return None
    table, (key,) = Table(model), key_fields(model)
    columns = [field.column for field in table.fields]
    # How many rows each range has, and the sum of their hashes, by the number of the range.
    local = local_sums.sums_of_rows(table.name, key.column, columns, WIDTH)
    remote = remote_sums.sums_of_rows(table.name, key.column, columns, WIDTH)
    equal = sum(count for number, (count, total) in local.items() if remote.get(number) == (count, total))
    different = sorted(
        number for number in local.keys() | remote.keys() if local.get(number) != remote.get(number)
    )
    return equal, [(number * WIDTH, number * WIDTH + WIDTH - 1) for number in different]


def _is_comparable(model: type[Model]) -> bool:
    fields, own = Table(model).fields, key_fields(model)
    if len(own) != 1 or not is_integer(own[0]) or not _is_same(model) or generic_keys(model):
        return False
    return all(_needs_no_translation(field) for field in fields)


def _is_same(model: type[Model]) -> bool:
    return uses_same_key(model)


def _needs_no_translation(field: AnyField) -> bool:
    if not points_at_rows(field):
        return True
    target = target_of(field)
    return target is None or _is_same(target)
