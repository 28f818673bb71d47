"""The suite's settings, with triggers, for processes that a test starts."""

from __future__ import annotations

from tests.settings import *  # noqa: F403

SYNCHRO_CAPTURE = "triggers"
SYNCHRO_MODELS = ["capture"]
