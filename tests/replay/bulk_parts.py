"""What of each batch goes in bulk, for tests that say what must."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from synchro.replay.apply import batch as apply_batch
from synchro.replay.apply.bulk.entries import BulkPart


@contextmanager
def noted_parts() -> Iterator[dict[str, BulkPart]]:
    """What went in bulk, by the token of the batch, as its last attempt had it."""
    found: dict[str, BulkPart] = {}

    def note(session: Any, log: Any, batch: Any, material: Any, strategy: Any) -> Any:
        found[batch.token] = material.bulk
        return original(session, log, batch, material, strategy)

    original = apply_batch.apply_batch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apply_batch, "apply_batch", note)
        yield found
