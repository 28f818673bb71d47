"""
The database servers of the suite, from the command line.

``start`` leaves them running and prints the environment variables that name them::

    eval "$(python -m tests.backends start)"
    pytest ...
    python -m tests.backends stop

``run -- COMMAND`` starts them, runs the command with these variables, and stops them whatever happens. With
``--pair mysql-postgresql`` only the servers of that pair are started, and the tests use them::

    python -m tests.backends run --pair mysql-postgresql -- pytest -k natural
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence

from tests.backends import lifecycle, pairs, state
from tests.backends.errors import BackendError
from tests.backends.pairs import Pair
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


def run(names: Sequence[str], pair: Pair | None, command: Sequence[str]) -> int:
    """
    Run `command` with servers of its own, and with the databases of `pair` if there is one; its exit code.

    Raises `BackendError` if a server that the pair needs is not to be had.
    """
    with lifecycle.running(names, report) as current:
        if code := _exit_code(current):
            return code
        environment = {**os.environ, **lifecycle.exports(current)}
        if pair:
            for name in sorted(pair.servers & set(current.skipped)):
                raise BackendError(f"{pair.label} needs {name}: {current.skipped[name]}")
            environment |= pairs.environment(pair, current)
        try:
            return subprocess.run(command, env=environment, check=False).returncode
        except OSError as error:
            raise BackendError(f"cannot run {command[0]}: {error.strerror}") from None


def _exit_code(current: State) -> int:
    lacking = [name for name in current.skipped if lifecycle.is_required(name)]
    if lacking:
        report(f"in CI every backend must start, and these did not: {', '.join(lacking)}")
    return 1 if lacking else 0


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before the first ``--``, and the command behind it."""
    dashes = arguments.index("--") if "--" in arguments else len(arguments)
    return list(arguments[:dashes]), list(arguments[dashes + 1 :])


def main(arguments: Sequence[str]) -> int:
    """Do what `arguments` say; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.backends",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=["start", "stop", "run"])
    parser.add_argument(
        "--only", default=",".join(KINDS), help="backends, separated by commas (default: all)"
    )
    parser.add_argument(
        "--pair", help="for run: the pair of databases that the tests use, such as mysql-postgresql"
    )
    before, command = split(arguments)
    options = parser.parse_args(before)
    if (options.action == "run") != bool(command):
        parser.error("run, and only run, takes a command: run -- pytest tests")
    try:
        pair = pairs.find(options.pair) if options.pair else None
        names = sorted(pair.servers) if pair else chosen(options.only)
        if options.action == "start":
            return start(names)
        return stop() if options.action == "stop" else run(names, pair, command)
    except BackendError as error:
        report(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    lifecycle.end_on_signals()
    sys.exit(main(sys.argv[1:]))
