"""The pairs of keys that references stand for, read from the table by the documented columns alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def pairs_of(references: Any) -> Iterator[tuple[int, int]]:
    """Yield the pairs of these rows, of one model; a single pair counts before the range that has its key."""
    rows = list(
        references.order_by("id").values_list("peer_id", "local_object_id", "remote_object_id", "length")
    )
    found: dict[tuple[Any, int], int] = {}
    for peer, own, other, length in sorted(rows, key=lambda row: row[3] == 1):
        for step in range(length):
            found[peer, int(own) + step] = int(other) + step
    yield from ((own, other) for (_peer, own), other in found.items())
