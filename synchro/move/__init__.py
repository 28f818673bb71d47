"""
Move: bring a whole database to REMOTE under a running site, prove it equal, and switch.

`synchro.move.preflight` says what is in the way, before anything is written; `synchro.move.steps` has the steps.
"""

from __future__ import annotations

from synchro.move.findings import Finding
from synchro.move.preflight import preflight
from synchro.move.steps import Move, Step

__all__ = ["Finding", "Move", "Step", "preflight"]
