"""
The database servers of the suite, from the command line.

``start`` leaves them running and prints the environment variables that name them::

    eval "$(python -m tests.backends start)"
    pytest ...
    python -m tests.backends stop

``run -- COMMAND`` starts them, runs the command with these variables, and stops them whatever happens.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence

from tests.backends import lifecycle, state
from tests.backends.errors import BackendError
from tests.backends.server import KINDS
from tests.backends.state import State


def report(line: str) -> None:
    """Tell the person; standard output belongs to the exports, and to the command that is run."""
    print(line, file=sys.stderr, flush=True)


def chosen(names: str) -> list[str]:
    """The backends in a comma-separated list. Raises `BackendError` for a name that is none."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in KINDS:
            raise BackendError(f"{name!r} is none of the backends: {', '.join(KINDS)}")
    return wanted


def start(names: Sequence[str]) -> int:
    """Start servers that stay, or find those of an earlier ``start`` still running; print their variables."""
    with state.locked():
        lifecycle.clean_up_after_the_killed()
        current = _running() or State(state.background_file())
        missing = [name for name in names if name not in current.servers]
        try:
            lifecycle.start(current, missing, report)
        except BaseException:
            lifecycle.stop(current)
            raise
    for variable, value in lifecycle.exports(current).items():
        print(f"export {variable}={shlex.quote(value)}")
    return _exit_code(current)


def _running() -> State | None:
    """The servers of an earlier ``start``; if one of them has ended, they are all cleared away."""
    if not state.background_file().exists():
        return None
    current = state.load(state.background_file())
    if lifecycle.all_alive(current):
        current.skipped.clear()
        return current
    report("a server of the last start has ended: starting all of them anew")
    lifecycle.stop(current)
    return None


def stop() -> int:
    """Stop the servers that ``start`` left running, and those of killed runs."""
    with state.locked():
        lifecycle.clean_up_after_the_killed()
        if state.background_file().exists():
            lifecycle.stop(state.load(state.background_file()))
    return 0


def run(names: Sequence[str], command: Sequence[str]) -> int:
    """Run `command` with servers of its own; its exit code."""
    with running(names) as current:
        if code := _exit_code(current):
            return code
        environment = {**os.environ, **lifecycle.exports(current)}
        return subprocess.run(command, env=environment, check=False).returncode


@contextlib.contextmanager
def running(names: Sequence[str]) -> Iterator[State]:
    """Servers that are there within the block and never after it, however it ends."""
    current = State(state.folder() / f"run-{os.getpid()}.json", owner=os.getpid())
    with state.locked():
        lifecycle.clean_up_after_the_killed()
    try:
        lifecycle.start(current, names, report)
        yield current
    finally:
        lifecycle.stop(current)


def _exit_code(current: State) -> int:
    lacking = [name for name in current.skipped if lifecycle.is_required(name)]
    if lacking:
        report(f"in CI every backend must start, and these did not: {', '.join(lacking)}")
    return 1 if lacking else 0


def end_on_signal(number: int, _frame: object) -> None:
    """Turn a signal into an exception, so that servers are stopped on the way out."""
    raise SystemExit(128 + number)


def main(arguments: Sequence[str]) -> int:
    """Do what `arguments` say; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.backends",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=["start", "stop", "run"])
    parser.add_argument("--only", default=",".join(KINDS), help="backends, separated by commas (default: all)")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="for run: the command, after --")
    options = parser.parse_args(arguments)
    command = [part for part in options.command if part != "--"]
    if (options.action == "run") != bool(command):
        parser.error("run, and only run, takes a command: run -- pytest tests")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end_on_signal)
    try:
        names = chosen(options.only)
        if options.action == "start":
            return start(names)
        return stop() if options.action == "stop" else run(names, command)
    except BackendError as error:
        report(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
