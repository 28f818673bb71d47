"""
Jobs: what a person asks for in the admin, and another process does.

A request must not take as long as a run does. So it writes down what is to be done, `synchro.models.Job`, has a worker
or a process of its own do it, and answers at once.
"""

from __future__ import annotations

from synchro.jobs.requests import ask_to_stop, open_jobs, start

__all__ = ["ask_to_stop", "open_jobs", "start"]
