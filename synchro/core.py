"""The public names."""

from __future__ import annotations

from synchro.natural import NaturalKeyModel, NaturalManager
from synchro.replay import Report, call_synchronize
from synchro.reset import reset_synchro
from synchro.switch import DisableSynchroLog, disable_synchro_log

__all__ = [
    "DisableSynchroLog",
    "NaturalKeyModel",
    "NaturalManager",
    "Report",
    "call_synchronize",
    "disable_synchro_log",
    "reset_synchro",
]
