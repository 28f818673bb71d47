from __future__ import annotations

import pytest

from tests.replay.deployments import BY_TRIGGERS, LOCAL, REMOTE, set_capture


@pytest.fixture(scope="package", autouse=True)
def _triggers(request: pytest.FixtureRequest) -> None:
    """In trigger mode both sides have triggers, once for all tests. (The model needs no database.)"""
    if BY_TRIGGERS:
        request.getfixturevalue("django_db_setup")
        with request.getfixturevalue("django_db_blocker").unblock():
            for alias in (LOCAL, REMOTE):
                set_capture(alias, "triggers")
