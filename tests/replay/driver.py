"""What processes of their own do, to which something happens on the way (`tests.replay.processes.Fork`)."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import Any, NoReturn

from django.core.management import CommandError, call_command

from synchro.core import call_synchronize
from synchro.exceptions import Busy
from synchro.replay.signals import step as step_signal


def happening(what: str, wanted_step: str, wanted_batch: str, *options: str) -> int:
    """
    Run ``synchronize`` with these options, and return its exit code.

    At this step of this batch it ends by SIGKILL (``kill``), or writes a line and waits for one (``pause``).
    """

    def happen(step: str, batch: int, **kwargs: Any) -> None:
        if (step, batch) != (wanted_step, int(wanted_batch)):
            return
        if what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        print("here", flush=True)
        sys.stdin.readline()

    step_signal.connect(happen)
    try:
        call_command("synchronize", *options, atomic="SYNCHRO_TEST_ATOMIC" in os.environ, stdout=sys.stderr)
    except CommandError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def loop() -> NoReturn:
    """Wait for a line, write one, then run again and again until it is killed."""
    sys.stdin.readline()
    print("here", flush=True)
    while True:
        with suppress(Busy):  # a server may not have noticed yet that the one before was killed
            call_synchronize()
