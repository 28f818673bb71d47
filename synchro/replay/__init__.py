"""The replayer."""

from __future__ import annotations

from synchro.replay.report import ModelReport, Report

__all__ = ["ModelReport", "Report", "call_synchronize"]


def call_synchronize() -> Report:
    return Report(remote="")
