"""Bucardo, kicked as soon as there are changes."""

from __future__ import annotations

import os
import subprocess
import time

from psycopg import sql

from benchmarks.rivals.databases import PATIENCE, PAUSE, wait_for
from benchmarks.rivals.rival import Rival

SYNC = "peers"


class Bucardo(Rival):
    name = "Bucardo"
    programs = ("bucardo",)
    packages = ("bucardo", "postgresql-plperl-15")

    #: Whether its daemon is.
    _is_running = False

    def begin(self) -> None:
        self.set_up()
        self._command("start", "--log-destination", str(self.folder))
        self._is_running = True
        self._wait_until_it_works()

    def set_up(self) -> None:
        for database in (self.source, self.target):
            self.server.make_database(database)
        self.server.execute("CREATE ROLE bucardo SUPERUSER LOGIN")
        self._command("install", "--batch", "--dbuser", self.server.user, "--dbname", "postgres")
        self._command("set", f"piddir={self.folder}")
        for name in (self.source, self.target):
            self._command(
                "add",
                "database",
                name,
                f"dbname={name}",
                f"dbhost={self.server.folder}",
                f"dbport={self.server.port}",
                "dbuser=bucardo",
            )
        self._command("add", "table", "public.item", f"db={self.source}", "relgroup=all")
        self._command("add", "sync", SYNC, "relgroup=all", f"dbs={self.source}:source,{self.target}:target")
        self._command("update", "sync", SYNC, "autokick=0")

    def _wait_until_it_works(self) -> None:
        end = time.monotonic() + PATIENCE
        while "New kid" not in (self.folder / "log.bucardo").read_text():  # a kick before that is lost
            if time.monotonic() > end:
                raise TimeoutError("Bucardo does not start.")
            time.sleep(PAUSE)
        with (
            self.server.connect(self.source) as here,
            self.server.connect(self.target) as there,
        ):
            for statement in (
                "INSERT INTO item VALUES (0, 'the first', '', 0, 0, now())",
                "DELETE FROM item",
            ):
                here.execute(statement)
                self._command("kick", SYNC, "60")
                wait_for(here, there, "first change", 0)

    def kick(self) -> None:
        self.server.execute(sql.SQL("NOTIFY bucardo, {}").format(f"kick_sync_{SYNC}"), "bucardo")

    def kick_and_wait(self) -> None:
        """Return when all that there was has arrived."""
        # With statistics from before a load it may choose a plan that takes hours.
        self.server.execute("ANALYZE", self.source)
        self._command("kick", SYNC, "0")

    def end(self) -> None:
        if self._is_running:
            self._command("stop")
        self.server.execute("DROP DATABASE IF EXISTS bucardo WITH (FORCE)")
        for database in (self.source, self.target):
            self.server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))
        self.server.execute("DROP ROLE IF EXISTS bucardo")

    def _command(self, *arguments: str) -> None:
        where = ["--no-bucardorc", "--dbhost", self.server.folder, "--dbport", str(self.server.port)]
        user = [] if "install" in arguments else ["--dbuser", "bucardo", "--dbname", "bucardo"]
        environment = {**os.environ, "HOME": str(self.folder)}
        done = subprocess.run(
            ["bucardo", *where, *user, *arguments],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        if done.returncode:
            raise RuntimeError(f"bucardo {' '.join(arguments)}: {done.stdout}")
