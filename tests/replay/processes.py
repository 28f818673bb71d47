"""Real processes that see the databases of the running test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn
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
        output, errors = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def forked(function: Callable[..., int], *arguments: str) -> int:
    """
    The exit code of a process that has all that this one has, but its connections; minus the signal that ended it.

    It is there at once, where one of `run` has to load everything first. For tests that have no other thread.
    """
    with Fork(function, *arguments) as process:
        return process.end()


class Fork:
    """
    A process that calls `function`, whose result is its exit code, and has all that this one has but its connections.

    Its standard input and output are pipes to and from this one. Leaving the ``with`` block kills it.
    No other thread may run when it begins.
    """

    def __init__(self, function: Callable[..., int], *arguments: str) -> None:
        self._code: int | None = None
        own_input, theirs = os.pipe()
        ours, own_output = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            _call(function, arguments, own_input, own_output)
        os.close(own_input)
        os.close(own_output)
        self._input, self._output = os.fdopen(theirs, "w"), os.fdopen(ours)

    def __enter__(self) -> Fork:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.kill()
        self._input.close()
        self._output.close()

    def line(self) -> str:
        """Wait for the next line that it writes, and return it; an empty text where it has ended."""
        return self._output.readline().rstrip("\n")

    def go_on(self) -> None:
        """Have it read a line."""
        self._input.write("go on\n")
        self._input.flush()

    def end(self) -> int:
        """Wait for its end, and return its exit code; minus the signal that ended it."""
        if self._code is None:
            _, status = os.waitpid(self._pid, 0)
            self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def kill(self) -> None:
        """End it as a crash would."""
        if self._code is None:
            os.kill(self._pid, signal.SIGKILL)
            self.end()


def _call(
    function: Callable[..., int], arguments: Sequence[str], own_input: int, own_output: int
) -> NoReturn:
    """Be the process of a `Fork`. Its end must not say goodbye to the servers in the test's name."""
    kept = [(connection, connection.connection) for connection in connections.all()]
    try:
        for connection, _ in kept:
            connection.connection = None
        sys.stdin, sys.stdout = os.fdopen(own_input), os.fdopen(own_output, "w")
        code = function(*arguments)
        sys.stdout.flush()
        os._exit(code)
    except BaseException:  # noqa: BLE001  nothing of the test's may go on in here
        traceback.print_exc()
        os._exit(1)
