"""
A process of its own that runs ``synchronize``, and something happens to it on the way.

    python -m tests.replay.driver kill written 3    it ends by SIGKILL at that step of batch 3
    python -m tests.replay.driver pause written 3   it writes a line there, and goes on at the next
    python -m tests.replay.driver kill written 3 --retry    options of the command may follow
    python -m tests.replay.driver loop              it writes a line, then runs again and again until it is killed
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import Any, NoReturn


def main(what: str, *arguments: str) -> int:
    import django

    django.setup()
    return loop() if what == "loop" else happening(what, *arguments)


def happening(what: str, wanted_step: str, wanted_batch: str, *options: str) -> int:
    from django.core.management import CommandError, call_command

    from synchro.replay.signals import step as step_signal

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
    from synchro.core import call_synchronize
    from synchro.exceptions import Busy

    print("here", flush=True)
    while True:
        with suppress(Busy):  # a server may not have noticed yet that the one before was killed
            call_synchronize()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
