"""A project needs only the drivers of the databases that it has."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

WITHOUT_DRIVERS = """
import sys
for name in ("psycopg", "MySQLdb", "pgtrigger"):
    sys.modules[name] = None
import django
django.setup()
import synchro.core, synchro.admin, synchro.management.commands.synchronize
import synchro.management.commands.synchro_install_triggers
"""


@pytest.mark.once
def test_synchro_loads_where_only_sqlite_is_installed() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SYNCHRO_TEST_")}
    environment["DJANGO_SETTINGS_MODULE"] = "tests.settings"

    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_DRIVERS], env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
