"""Signals of a run, for whoever wants to watch it, or to stop it by raising."""

from __future__ import annotations

from django.dispatch import Signal

#: Before anything is written: ``local`` and ``remote`` are Django's connections. A receiver that raises
#: `synchro.exceptions.NotReady` stops the run.
starting = Signal()

#: After each step of a batch: ``step`` is one of `STEPS`, ``batch`` the number of the batch.
step = Signal()

#: "merged", only where a callable merged values: LOCAL has them, and the batch begins again. "recorded", only where
#: there were conflicts: LOCAL has them on record, and REMOTE has not committed. "committed": REMOTE's transaction is,
#: with the receipt; LOCAL does not know it yet.
STEPS = (
    "formed",
    "read",
    "identified",
    "resolved",
    "merged",
    "written",
    "recorded",
    "committed",
    "acknowledged",
)
