"""
How large the model is made: small enough for each kind of order of events to be visited whole.

SMALL is for the suite; LARGE takes minutes, and is for ``python -m benchmarks.protocol``.
"""

from __future__ import annotations

from tests.protocol.rules import Scope

ONE_WAY = ((0, 1),)
BOTH_WAYS = ((0, 1), (1, 0))
TWO_REMOTES = ((0, 1), (0, 2))

SMALL = {
    "late commits": Scope(writes=(3, 0), objects=2, batch_size=2, deletes=False),
    "late commits, batches of one": Scope(writes=(3, 0), objects=2, batch_size=1),
    "transactions of two changes": Scope(
        writes=(4, 0), objects=2, changes=2, batch_size=1, crashes=0, deletes=False
    ),
    "two processes at once": Scope(writes=(2, 0), objects=1, writers=1, batch_size=1, drops=1),
    "a copy is put back": Scope(
        TWO_REMOTES, (2, 0, 0), objects=2, writers=1, batch_size=1, crashes=0, copies=1, rollbacks=False, deletes=False
    ),
    "two REMOTEs and pruning": Scope(
        TWO_REMOTES, (2, 0, 0), objects=1, writers=1, batch_size=1, prunes=True, rollbacks=False, deletes=False
    ),
    "quarantine": Scope(writes=(2, 0), objects=1, writers=1, batch_size=1, retries=1, rollbacks=False),
    "both ways": Scope(BOTH_WAYS, (2, 1), objects=1, writers=1, batch_size=1, crashes=0),
    "both ways, the same keys": Scope(
        BOTH_WAYS, (2, 1), objects=1, writers=1, batch_size=1, crashes=0, references=False
    ),
    "both ways, changes are refused": Scope(
        BOTH_WAYS, (2, 1), objects=1, writers=1, batch_size=1, crashes=0, retries=1, refuses_changes=True,
        rollbacks=False, deletes=False,
    ),
}  # fmt: skip

LARGE = {
    "late commits of three writers": Scope(writes=(4, 0), objects=2, writers=3, batch_size=2, crashes=2),
    "two processes, two crashes": Scope(writes=(3, 0), objects=2, writers=1, batch_size=1, crashes=2, drops=1),
    "quarantine of two objects": Scope(writes=(3, 0), objects=2, writers=1, batch_size=1, retries=2),
    "quarantine and two processes": Scope(
        writes=(2, 0), objects=1, writers=1, batch_size=1, crashes=1, drops=1, retries=1, rollbacks=False
    ),
    "two REMOTEs, two objects": Scope(
        TWO_REMOTES, (2, 0, 0), objects=2, writers=2, batch_size=1, crashes=1, prunes=True, rollbacks=False
    ),
    "both ways, two objects": Scope(BOTH_WAYS, (2, 1), objects=2, writers=1, batch_size=1, crashes=0),
    "both ways, two changes each": Scope(BOTH_WAYS, (2, 2), objects=1, writers=1, batch_size=1, crashes=0),
    "both ways, late commits": Scope(
        BOTH_WAYS, (3, 1), objects=1, writers=2, batch_size=1, crashes=0, rollbacks=False
    ),
    "both ways, crashes": Scope(BOTH_WAYS, (2, 1), objects=1, writers=1, batch_size=2, crashes=1),
    "both ways, pruning": Scope(
        BOTH_WAYS, (2, 1), objects=1, writers=1, batch_size=1, crashes=0, prunes=True, rollbacks=False
    ),
    "both ways, pruning and crashes": Scope(
        BOTH_WAYS, (2, 1), objects=1, writers=1, batch_size=1, crashes=1, prunes=True, rollbacks=False
    ),
    "both ways, quarantine": Scope(
        BOTH_WAYS, (2, 1), objects=1, writers=1, batch_size=1, crashes=1, retries=1, rollbacks=False
    ),
    "both ways, changes are refused, crashes": Scope(
        BOTH_WAYS, (2, 1), objects=1, writers=1, batch_size=1, crashes=1, retries=1, refuses_changes=True,
        rollbacks=False,
    ),
    "both ways, two processes": Scope(
        BOTH_WAYS, (2, 1), objects=1, writers=1, batch_size=1, crashes=0, drops=1, deletes=False, rollbacks=False
    ),
}  # fmt: skip
