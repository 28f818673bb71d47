"""
Signals for projects that want to know what a run does: it has begun, a batch has arrived, and so on.

They are sent in the process and thread of the run, between REMOTE's transactions. An error that a receiver raises is
logged by ``django.dispatch`` and does not stop the run. A process that is killed sends nothing more: the tables have
what counts, and these signals are for messages and numbers.
"""

from __future__ import annotations

from typing import Final

from django.dispatch import Signal

#: A run begins. ``remote``: the alias of REMOTE; ``by``: who started it; ``atomic``, ``retry``: how.
run_started: Final = Signal()

#: REMOTE has a batch, and LOCAL knows it. ``remote``; ``batch``: its number; ``entries``: how many it had; ``models``:
#: what was written, a `synchro.report.ModelReport` for each model; ``conflicts`` and ``quarantined``: how many were
#: decided and put into quarantine; ``seconds``: how long it took.
batch_applied: Final = Signal()

#: Both sides had changed an object, and it was decided who wins. ``remote``; ``conflict``: the
#: `synchro.models.Conflict` as it is on record. Sent after the batch has arrived.
conflict_decided: Final = Signal()

#: A refused change is in quarantine. ``remote``; ``model``; ``key``: the object's key on LOCAL, as text;
#: ``cause``: in words; ``waits``: whether it only waits for another one. Sent after the batch has arrived, also where
#: the change was in quarantine before and is still refused.
change_quarantined: Final = Signal()

#: A run is over. ``remote``; ``report``: the `synchro.report.Report`, None where it failed; ``error``: why it failed,
#: None where it did not; ``seconds``.
run_ended: Final = Signal()
