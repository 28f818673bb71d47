"""LOCAL or REMOTE behind pgbouncer, which gives each transaction to another session of the server."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from django.db import connections

from synchro.core import call_synchronize
from synchro.exceptions import Busy
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import LOCAL, REMOTE, remote_count
from tests.shop.models import Customer

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
pytestmark = [
    pytest.mark.django_db(databases=["default", "remote"], transaction=True),
    pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed"),
    pytest.mark.skipif(
        {connections[LOCAL].vendor, connections[REMOTE].vendor} != {"postgresql"}, reason="it is PostgreSQL's"
    ),
]


def _free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that another account can reach."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def pooler(folder: Path) -> Iterator[int]:
    """The port of a pooler in front of both databases, with two sessions for each."""
    assert PGBOUNCER is not None
    port, lines = _free_port(), ["[databases]"]
    for alias in (LOCAL, REMOTE):
        entry = connections[alias].settings_dict
        lines.append(f"{entry['NAME']} = host={entry['HOST']} port={entry['PORT']}")
    (folder / "users.txt").write_text(f'"{entry["USER"]}" "{entry["PASSWORD"]}"\n')
    lines += [
        "[pgbouncer]", "listen_addr = 127.0.0.1", f"listen_port = {port}", "auth_type = trust", "unix_socket_dir =",
        f"auth_file = {folder / 'users.txt'}", "pool_mode = transaction", "default_pool_size = 3",
        f"logfile = {folder / 'log'}", f"pidfile = {folder / 'pid'}",
    ]  # fmt: skip
    (folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")
    command = [PGBOUNCER, str(folder / "pgbouncer.ini")]
    if os.geteuid() == 0:  # which it refuses to run as
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, "nobody")
        command[1:1] = ["-u", "nobody"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        assert process.poll() is None, "pgbouncer did not start"
        with closing(socket.socket()) as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("pgbouncer does not answer")


@contextmanager
def through(port: int, alias: str) -> Iterator[None]:
    """Inside, this database is reached by the pooler."""
    connection = connections[alias]
    settings = connection.settings_dict
    before = {name: settings.get(name) for name in ("PORT", "DISABLE_SERVER_SIDE_CURSORS")}
    connection.close()
    settings |= {"PORT": str(port), "DISABLE_SERVER_SIDE_CURSORS": True}
    try:
        yield
    finally:
        connection.close()
        settings |= before


@contextmanager
def others_at_work(port: int, alias: str) -> Iterator[None]:
    """Inside, other clients of the pool open short transactions all the time."""
    psycopg = pytest.importorskip("psycopg")
    entry, over = connections[alias].settings_dict, threading.Event()

    def work() -> None:
        with psycopg.connect(
            host="127.0.0.1",
            port=port,
            user=entry["USER"],
            dbname=entry["NAME"],
            autocommit=True,
            prepare_threshold=None,
        ) as client:
            while not over.is_set():
                with client.transaction():
                    client.execute("SELECT pg_sleep(0.01)")

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def locks(alias: str) -> int:
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("alias", [LOCAL, REMOTE])
def test_runs_by_way_of_a_pooler_leave_no_lock_and_lose_nothing(pooler: int, alias: str) -> None:
    with through(pooler, alias), others_at_work(pooler, alias):
        for number in range(5):
            Customer.objects.create(name=f"x{number}")
            Customer.objects.filter(name="x0").update(cash=number)
            Customer.objects.get(name="x0").save()
            call_synchronize()
    assert locks(alias) == 0
    assert remote_count(Customer) == 5
    assert_same_rows()


def test_only_one_run_at_a_time_by_way_of_a_pooler(pooler: int) -> None:
    from synchro.replay.session import Database, Databases, run_lock

    Customer.objects.create(name="Vimes")
    with through(pooler, LOCAL), others_at_work(pooler, LOCAL):
        for _ in range(3):
            with run_lock(Databases(Database(REMOTE))), pytest.raises(Busy):
                call_synchronize()
        call_synchronize()
    assert_same_rows()
