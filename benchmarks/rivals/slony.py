"""Slony-I, tuned to look every tenth of a second."""

from __future__ import annotations

import subprocess
import time

from benchmarks.rivals.databases import PATIENCE, PAUSE, wait_for
from benchmarks.rivals.rival import Rival

CLUSTER = "peers"
SUBSCRIPTION = """
    cluster name = {cluster};
    node 1 admin conninfo = '{source}';
    node 2 admin conninfo = '{target}';
"""
SET_UP = """
    init cluster (id = 1, comment = 'source');
    create set (id = 1, origin = 1, comment = 'all');
    set add table (set id = 1, origin = 1, id = 1, fully qualified name = 'public.item');
    store node (id = 2, comment = 'target', event node = 1);
    store path (server = 1, client = 2, conninfo = '{source}');
    store path (server = 2, client = 1, conninfo = '{target}');
"""
#: How many nodes the daemon of this one has at work: each is a thread of its own that says so.
AT_WORK = f"SELECT count(DISTINCT co_node) FROM _{CLUSTER}.sl_components WHERE co_node > 0"
SUBSCRIBE = "subscribe set (id = 1, provider = 1, receiver = 2, forward = no);"


class Slony(Rival):
    name = "Slony-I"
    programs = ("slonik", "slon")
    packages = ("slony1-2-bin", "postgresql-15-slony1-2")

    def begin(self) -> None:
        self.set_up()
        for database in (self.source, self.target):
            with open(self.folder / f"{database}.log", "wb") as log:
                command = ["slon", "-s", "100", "-t", "200", CLUSTER, self.server.dsn(database)]
                self._daemons.append(subprocess.Popen(command, stdout=log, stderr=log))
        for database in (self.source, self.target):
            self._wait_for_daemon(database)
        self._slonik(SUBSCRIBE)
        with (
            self.server.connect(self.source) as here,
            self.server.connect(self.target) as there,
        ):
            here.execute("INSERT INTO item VALUES (0, 'the first', '', 0, 0, now())")
            wait_for(here, there, "first row", 0)
            here.execute("DELETE FROM item")
            wait_for(here, there, "first deletion", 0)

    def set_up(self) -> None:
        self._daemons: list[subprocess.Popen[bytes]] = []
        for database in (self.source, self.target):
            self.server.make_database(database)
        self._slonik(SET_UP)

    def _wait_for_daemon(self, database: str) -> None:
        """Until it has heard of both nodes: a subscription is lost on a daemon that is not yet there."""
        end = time.monotonic() + PATIENCE
        with self.server.connect(database) as connection:
            while connection.execute(AT_WORK).fetchone() != (2,):
                if time.monotonic() > end:
                    raise TimeoutError(f"Slony's daemon of {database} does not start.")
                time.sleep(PAUSE)

    def _slonik(self, script: str) -> None:
        names = {
            "cluster": CLUSTER,
            "source": self.server.dsn(self.source),
            "target": self.server.dsn(self.target),
        }
        subprocess.run(["slonik"], input=(SUBSCRIPTION + script).format(**names), text=True, check=True)

    def end(self) -> None:
        for daemon in self._daemons:
            daemon.terminate()
            daemon.wait()
