"""These tests have environments of their own, with the packages in them."""

from __future__ import annotations

import importlib.util
import os

import pytest

PACKAGES = (
    "auditlog",
    "graphene_django",
    "guardian",
    "import_export",
    "ninja",
    "reversion",
    "strawberry_django",
)
#: Elsewhere than in such an environment, these tests are not there.
collect_ignore_glob = [] if all(map(importlib.util.find_spec, PACKAGES)) else ["test_*.py"]
#: These have nothing to do with an engine.
WITHOUT_ENGINE = ["test_introductions.py", "test_types.py", "test_upstream.py"]
collect_ignore = WITHOUT_ENGINE if "SYNCHRO_TEST_LOCAL" in os.environ else []


@pytest.fixture(autouse=True, scope="session")
def _quick_flush() -> None:
    """No test of these commits."""
