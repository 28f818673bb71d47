"""
The replayer: what was captured on LOCAL is brought to REMOTE.

`run` reads like a table of contents; each step of a change's way has a module of its own: form, coalesce, order,
read, identify, resolve, write, acknowledge.
"""

from __future__ import annotations

from synchro.conf import conf
from synchro.replay.report import ModelReport, Report
from synchro.replay.run import synchronize_all

__all__ = ["ModelReport", "Report", "call_synchronize"]


def call_synchronize(remote: str | None = None) -> Report:
    """
    Replay what is pending into every REMOTE, or into `remote` alone; ``str()`` of the report is a message for people.

    Raises a subclass of `synchro.exceptions.SynchroError`.
    """
    return Report.of(synchronize_all((remote,) if remote else conf.remotes))
