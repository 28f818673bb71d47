"""The command-line client of each engine, as a process of its own, and second connections."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.db import connection

#: Of a single argument of a command, on Linux: 128 KiB.
LONGEST_ARGUMENT = 100_000


def engine() -> str:
    """The engine under test, before any connection is made."""
    return os.environ.get("SYNCHRO_TEST_LOCAL", "sqlite:").partition(":")[0]


def client(sql: str, *options: str, user: str = "", password: str = "") -> str:
    """Run `sql` in the client of the engine under test, and give what it printed."""
    settings = connection.settings_dict
    user, password = user or settings["USER"], password or settings["PASSWORD"]
    if connection.vendor == "sqlite":
        if len(sql) > LONGEST_ARGUMENT:
            return _run(["sqlite3", "-bail", *options, str(settings["NAME"])], {}, f".timeout 20000\n{sql}")
        command = ["sqlite3", "-bail", str(settings["NAME"]), ".timeout 20000", sql]
        return _run([*command[:3], *options, *command[3:]], {})
    binary = _binary({"postgresql": "psql", "mysql": "mysql"}[connection.vendor])
    if connection.vendor == "postgresql":
        place = ["-h", settings["HOST"], "-p", settings["PORT"], "-U", user, "-d", settings["NAME"]]
        command = [*binary, "-X", "-At", "-v", "ON_ERROR_STOP=1", *place, *options]
        if len(sql) > LONGEST_ARGUMENT:
            return _run([*command, "-f", "-"], {"PGPASSWORD": password}, sql)
        return _run([*command, "-c", sql], {"PGPASSWORD": password})
    place = [
        f"--host={settings['HOST']}",
        f"--port={settings['PORT']}",
        f"--user={user}",
        f"--password={password}",
    ]
    command = [*binary, "--protocol=tcp", *place, *options, "-N"]
    if len(sql) > LONGEST_ARGUMENT:
        return _run([*command, settings["NAME"]], {}, sql)
    return _run([*command, "-e", sql, settings["NAME"]], {})


def _binary(default: str) -> list[str]:
    """
    The client that belongs to the server, where one was started for the tests, else the one on the path.
    """
    state = os.environ.get("SYNCHRO_TEST_BACKENDS_STATE")
    port = int(connection.settings_dict["PORT"])
    if state and Path(state).exists():
        for server in json.loads(Path(state).read_text())["servers"].values():
            if server["port"] == port and server.get("client") and server["client"][0] != "chroot":
                return list(server["client"])
    return [default]


def _run(command: list[str], environment: dict[str, str], script: str | None = None) -> str:
    done = subprocess.run(
        command, env=os.environ | environment, input=script, capture_output=True, text=True, timeout=60
    )
    if done.returncode:
        raise AssertionError(f"{command[0]} failed: {done.stderr or done.stdout}")
    return done.stdout


@contextmanager
def writing(keys: Iterable[int], *statements: str) -> Iterator[list[int]]:
    """
    Inside, client after client runs, for one key each, the first of these statements that the database takes.

    Gives the keys that are done so far.
    """
    done: list[int] = []
    over = threading.Event()

    def work() -> None:
        for key in keys:
            while not over.is_set() and not any(_succeeds(sql.format(key=key)) for sql in statements):
                pass  # the table was just being renamed
            if over.is_set():
                return
            done.append(key)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield done
    finally:
        over.set()
        thread.join()


def _succeeds(sql: str) -> bool:
    with suppress(AssertionError):
        client(sql)
        return True
    return False


def wait_for_more(done: list[int]) -> None:
    """Until two more keys are done: the first may have been under way already."""
    deadline, count = time.monotonic() + 30, len(done)
    while len(done) < count + 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
