"""
Settings of processes that the tests start.

``SYNCHRO_TEST_LOCAL`` and ``SYNCHRO_TEST_REMOTE`` are the very databases, ``SYNCHRO_TEST_SETTINGS`` is a JSON
object of settings that differ from those of the suite.
"""

from __future__ import annotations

import json
import os

from tests.settings import *  # noqa: F403

globals().update(json.loads(os.environ.get("SYNCHRO_TEST_SETTINGS", "{}")))
