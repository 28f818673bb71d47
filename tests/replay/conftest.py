from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connections

from synchro.triggers.watch import Watch
from tests.replay.deployments import BY_TRIGGERS, LOCAL, REMOTE, set_capture


@pytest.fixture(autouse=True)
def _fresh_content_types() -> Iterator[None]:
    """The two databases number them as they like."""
    ContentType.objects.clear_cache()
    yield
    ContentType.objects.clear_cache()


@pytest.fixture(autouse=True)
def _no_migrate_at_work() -> Iterator[None]:
    """What a test left half done would make triggers for the tests after it."""
    yield
    assert [alias for alias in (LOCAL, REMOTE) if Watch.of(connections[alias]) is not None] == []


@pytest.fixture(scope="package", autouse=True)
def _triggers(django_db_setup: None, django_db_blocker: Any) -> None:
    """In trigger mode both sides have triggers, once for all tests."""
    if BY_TRIGGERS:
        with django_db_blocker.unblock():
            for alias in (LOCAL, REMOTE):
                set_capture(alias, "triggers")


@pytest.fixture
def all_receivers(settings: Any) -> None:
    """All code of the project runs for REMOTE's objects, however changes are captured."""
    settings.SYNCHRO_RECEIVERS = "all"


@pytest.fixture
def quarantine(settings: Any) -> None:
    """What REMOTE refuses is set aside."""
    settings.SYNCHRO_ON_ERROR = "quarantine"
