"""Programs that run at the same time, each with its output in a file, and that end when this process does."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.backends.state import PROJECT

LOGS = PROJECT / ".cache" / "logs"
END_SECONDS = 15


class Programs:
    """Those that run now. Leaving the ``with`` block ends them."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._change = threading.Lock()
        self._closed = False

    def __enter__(self) -> Programs:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.end()

    def end(self) -> None:
        """End all that run, and start no more."""
        with self._change:
            self._closed = True
            left = list(self._running)
        for process in left:
            process.terminate()
        for process in left:
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()

    def run(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> tuple[int, float]:
        """Run `command` with its output added to `log`; its exit code and how many seconds it took."""
        log.parent.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        with log.open("ab") as output:
            with self._change:
                if self._closed:
                    return 1, 0.0
                process = subprocess.Popen(
                    command,
                    cwd=PROJECT,
                    env={**os.environ, **environment},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
                self._running.add(process)
            code = process.wait()
        with self._change:
            self._running.discard(process)
        return code, time.monotonic() - started
