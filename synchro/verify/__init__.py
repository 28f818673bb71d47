"""
Verify: compare LOCAL and REMOTE row by row, while both are at work, and say exactly what differs.

What an entry that is still on its way explains is counted apart: it is no difference, and it is not hidden.
"""

from __future__ import annotations

from synchro.verify.compare import verify
from synchro.verify.results import Difference, ModelResult

__all__ = ["Difference", "ModelResult", "verify"]
