"""Real processes that see the databases of the running test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.db import connections

ROOT = Path(__file__).parents[2]


def database_url(alias: str) -> str:
    connection = connections[alias]
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{settings['NAME']}"
    scheme = "postgresql" if connection.vendor == "postgresql" else "mysql"
    user, password = quote(settings["USER"], safe=""), quote(settings["PASSWORD"], safe="")
    return f"{scheme}://{user}:{password}@{settings['HOST']}:{settings['PORT']}/{quote(settings['NAME'])}"


def databases() -> dict[str, dict[str, Any]]:
    """``DATABASES`` as it is in this process, with whatever a test has changed in it."""
    names = ("ENGINE", "NAME", "HOST", "PORT", "USER", "PASSWORD", "OPTIONS")
    return {
        connection.alias: {name: connection.settings_dict[name] for name in names}
        for connection in connections.all()
    }


def environment(local: str | None = None, remote: str | None = None, **settings: Any) -> dict[str, str]:
    """Of a process with these database URLs (those of the test where none is given) and `settings`."""
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.settings_process",
        "PYTHONPATH": str(ROOT),
        "SYNCHRO_TEST_LOCAL": local or database_url("default"),
        "SYNCHRO_TEST_REMOTE": remote or database_url("remote"),
        "SYNCHRO_TEST_SETTINGS": json.dumps(settings),
    }


def start(module: str, *arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env=env or environment(),
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(module: str, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    with start(module, *arguments, env=env) as process:
        output, errors = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def forked(function: Callable[..., int], *arguments: str) -> int:
    """
    The exit code of a process that has all that this one has, but its connections; minus the signal that ended it.

    It is there at once, where one of `run` has to load everything first. For tests that have no other thread.
    """
    child = os.fork()
    if not child:
        try:
            # Its end must not say goodbye to the servers in our name.
            ours = [(connection, connection.connection) for connection in connections.all()]
            for connection, _ in ours:
                connection.connection = None
            os._exit(function(*arguments))
        except BaseException:  # noqa: BLE001  nothing of the test's may go on in here
            traceback.print_exc()
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)
