"""
What a run waits for: how long LOCAL works, how long REMOTE does, and how long Python does while both are idle.

    python -m benchmarks.waits [--rows 100000] [--pair postgresql-postgresql]

To read the next batch while this one is written could hide no more than the time in which REMOTE is idle because LOCAL
works. (What Python does about reading cannot be hidden behind what it does about writing.)
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from benchmarks.project import project
from benchmarks.replay import changes_of

#: What an engine does without Django's cursors for statements: COPY.
COPYING = ("read_raw", "insert", "insert_raw")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--pair", default="postgresql-postgresql")
    options = parser.parse_args()
    local, _, remote = options.pair.partition("-")
    with project(local, remote):
        from benchmarks.stock.models import Item, Part

        print(f"{options.pair}, {options.rows:,} rows: seconds")
        print(f"{'':32}{'all':>8}{'LOCAL':>8}{'REMOTE':>8}{'Python':>8}{'to hide':>9}")
        for name, model in (("same keys", Item), ("references kept", Part)):
            with waiting() as waits:
                for kind, seconds in changes_of(model, options.rows, False):
                    show(f"{name}, {kind}", seconds, waits)


@contextmanager
def waiting() -> Iterator[Counter[str]]:
    """Seconds by the alias of the database that works, within runs."""
    from django.db import connections

    from synchro.backends import backend_for
    from synchro.replay.signals import starting

    waits: Counter[str] = Counter()
    with ExitStack() as stack:
        for connection in connections.all():
            stack.enter_context(connection.execute_wrapper(partial(_statement, waits)))
        for backend in map(backend_for, connections.all()):
            for name in filter(partial(hasattr, backend), COPYING):
                setattr(
                    backend, name, partial(_call, waits, backend.connection.alias, getattr(backend, name))
                )
                stack.callback(delattr, backend, name)

        def begin(**_kwargs: Any) -> None:
            waits.clear()

        starting.connect(begin)
        stack.callback(starting.disconnect, begin)
        yield waits


def _statement(
    waits: Counter[str], execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
) -> Any:
    with _taking(waits, context["connection"].alias):
        return execute(sql, params, many, context)


def _call(waits: Counter[str], alias: str, function: Callable[..., Any], *arguments: Any) -> Any:
    with _taking(waits, alias):
        return function(*arguments)


@contextmanager
def _taking(waits: Counter[str], alias: str) -> Iterator[None]:
    begun, before = time.perf_counter(), waits.total()
    yield
    within = waits.total() - before  # statements of an engine's own have been counted
    waits[alias] += time.perf_counter() - begun - within  # type: ignore[assignment]


def show(name: str, seconds: float, waits: Counter[str]) -> None:
    local, remote = waits["default"], waits["remote"]
    rest = seconds - local - remote
    print(
        f"{name:32}{seconds:>8.2f}{local:>8.2f}{remote:>8.2f}{rest:>8.2f}{local / seconds:>9.0%}", flush=True
    )


if __name__ == "__main__":
    main()
