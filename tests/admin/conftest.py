"""What tests of the admin share."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def jobs_within_the_request(monkeypatch: Any) -> None:
    """Jobs are done where they are asked for, so that a test sees what comes of them."""
    from synchro.jobs import executors
    from synchro.jobs.work import work

    monkeypatch.setitem(executors.LAUNCHERS, "process", lambda job: work(job.pk))
