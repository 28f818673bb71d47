"""Switching capture off, for the current thread or task only."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from contextvars import ContextVar
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from django.db import connections

from synchro.conf import LOCAL, conf
from synchro.engines import engine_for

P = ParamSpec("P")
R = TypeVar("R")

#: What is to be undone at the end of each block that this thread or task is in.
_blocks: ContextVar[tuple[ExitStack, ...]] = ContextVar("synchro_capture_off", default=())


def is_capture_off() -> bool:
    return bool(_blocks.get())


class DisableSynchroLog(AbstractContextManager["DisableSynchroLog"]):
    """
    Inside, changes are not captured: ``with DisableSynchroLog(): ...``.

    It holds for the current thread or async task, and with trigger capture for its connection to LOCAL. It
    can be nested, used again and shared between threads, and an exception ends it like any other way out.
    """

    def __enter__(self) -> DisableSynchroLog:
        stack = ExitStack()
        if conf.capture == "triggers":
            connection = connections[LOCAL]
            stack.enter_context(engine_for(connection).capture_off(connection))
        _blocks.set((*_blocks.get(), stack))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        *outer, stack = _blocks.get()
        _blocks.set(tuple(outer))
        stack.__exit__(kind, error, traceback)


def disable_synchro_log(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: `function`, plain or async, runs inside `DisableSynchroLog`."""
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def run_async(*args: P.args, **kwargs: P.kwargs) -> Any:
            with DisableSynchroLog():
                return await function(*args, **kwargs)

        return run_async  # type: ignore[return-value]

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with DisableSynchroLog():
            return function(*args, **kwargs)

    return run
