"""
Switching capture off, for the current thread or task only.

With trigger capture the switch is one of the database connection. A plain block sets it when it begins. In async code
that cannot be: Django does the work of all tasks in one thread, on one connection, which the task does not have. There
each statement looks whether the task that sends it is in a block, and has the switch for itself alone.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from contextvars import ContextVar
from functools import partial, wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.backends import backend_for
from synchro.conf import LOCAL, conf

P = ParamSpec("P")
R = TypeVar("R")

#: What is to be undone at the end of each block that this thread or task is in.
_blocks: ContextVar[tuple[ExitStack, ...]] = ContextVar("synchro_capture_off", default=())


def is_capture_off() -> bool:
    return bool(_blocks.get())


def watch_statements(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:  # noqa: ARG001  a receiver takes them
    """Receives ``connection_created``: from now on blocks of async code reach what this connection does."""
    if connection.alias == LOCAL and switched not in connection.execute_wrappers:
        connection.execute_wrappers.insert(0, switched)


def switched(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """Wraps each statement on LOCAL: within a block it is executed with the switch off."""
    connection = context["connection"]
    if not _blocks.get() or conf.capture != "triggers" or connections[LOCAL] is not connection:
        return execute(sql, params, many, context)
    before = list(connection.execute_wrappers)
    with backend_for(connection).capture_off():
        # What came into the list just now is not asked about this statement by Django itself.
        for wrapper in connection.execute_wrappers:
            if wrapper not in before:
                execute = partial(wrapper, execute)
        return execute(sql, params, many, context)


class DisableSynchroLog(AbstractContextManager["DisableSynchroLog"]):
    """
    Inside, changes are not captured: ``with DisableSynchroLog(): ...``, in plain and in async functions.

    It holds for the current thread or async task, and with trigger capture for what it writes to LOCAL by way of
    Django. It can be nested, used again and shared between threads, and an exception ends it like any other way out.
    """

    def __enter__(self) -> DisableSynchroLog:
        stack = ExitStack()
        if conf.capture == "triggers" and not _is_async():
            connection = connections[LOCAL]
            stack.enter_context(backend_for(connection).capture_off())
        _blocks.set((*_blocks.get(), stack))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        *outer, stack = _blocks.get()
        _blocks.set(tuple(outer))
        stack.__exit__(kind, error, traceback)


def _is_async() -> bool:
    """Whether an event loop runs in this thread, so that the work of others may come in between."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


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
