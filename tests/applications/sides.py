"""Starting a side of the project, and talking to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Failed(AssertionError):
    """A side could not do what it was asked for."""


@dataclass
class Side:
    """A process whose ``default`` is the database `own`, and whose ``remote`` is `other`."""

    own: str
    other: str
    capture: str
    media: Path
    #: Whether its apps are installed in another order, so that content types and permissions have other keys.
    reordered: bool = False
    identity: str = "pk"
    _process: subprocess.Popen[str] = field(init=False)

    def __enter__(self) -> Side:
        more = {"SYNCHRO_TEST_APPLICATIONS_ORDER": "other"} if self.reordered else {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.applications.site"],
            cwd=ROOT,
            env=os.environ
            | {
                "DJANGO_SETTINGS_MODULE": "tests.applications.settings",
                "SYNCHRO_TEST_LOCAL": self.own,
                "SYNCHRO_TEST_REMOTE": self.other,
                "SYNCHRO_TEST_CAPTURE": self.capture,
                "SYNCHRO_TEST_MEDIA": str(self.media),
                "SYNCHRO_TEST_IDENTITY": self.identity,
            }
            | more,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_exception: object) -> None:
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()

    def wait_until_ready(self) -> None:
        """Return when it has loaded everything."""
        self._read("start")

    def do(self, *commands: str) -> str:
        """All that it printed while it did `commands`, one after the other. Raises `Failed`."""
        assert self._process.stdin is not None
        output = []
        for command in commands:
            print(command, file=self._process.stdin, flush=True)
            output.append(self._read(command))
        return "".join(output)

    def _read(self, command: str) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Failed(f"{command}: the process has ended with {self._process.wait()}")
        answer = json.loads(line)
        if answer["error"]:
            raise Failed(f"{command}: {answer['error']}\n{answer['output']}")
        output: str = answer["output"]
        return output
