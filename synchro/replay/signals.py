"""Signals of a run, for whoever wants to watch it, or to stop it by raising."""

from __future__ import annotations

from typing import Final

from django.dispatch import Signal

from synchro.models import Batch

#: Before anything is written: ``local`` and ``remote`` are Django's connections. A receiver that raises
#: `synchro.exceptions.NotReady` stops the run.
starting = Signal()

#: After each step of a batch: ``step`` is one of `STEPS`, ``batch`` the number of the batch.
step = Signal()

#: The steps in their order. A batch that is tried again takes them again from "read" on.
STEPS: Final = (
    #: LOCAL has the batch, numbered; nothing of it was read.
    "formed",
    #: LOCAL's entries and rows were read.
    "read",
    #: It is known which rows of REMOTE they are, and nothing was written there.
    "identified",
    #: What is to be written was decided, and nothing was written.
    "resolved",
    #: Only where a callable merged values: LOCAL has them, and the batch begins again.
    "merged",
    #: REMOTE's transaction has the rows and the receipt.
    "written",
    #: Only where there were conflicts, or changes for the quarantine: LOCAL has them on record.
    "recorded",
    #: REMOTE's transaction is committed, and LOCAL does not know it yet.
    "committed",
    #: LOCAL has the references and the checkpoint.
    "acknowledged",
)


def announce(name: str, batch: Batch) -> None:
    """Send `step` after the step `name` of a batch."""
    step.send(sender=announce, step=name, batch=batch.number)
