"""Stop after the batch at hand, where a person or the system asks for it by a signal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

_asked = threading.Event()
#: Asks whatever runs in this context, and not the whole process.
_here: ContextVar[threading.Event | None] = ContextVar("synchro_stopping", default=None)


def is_asked() -> bool:
    """Return whether the process, or what runs in this context, has been asked to stop: begin no further batch."""
    here = _here.get()
    return _asked.is_set() or (here is not None and here.is_set())


def ask() -> None:
    """Ask the process to stop."""
    _asked.set()


def wait(seconds: float) -> bool:
    """Wait so long, or until the process is asked to stop; return whether it is."""
    return _asked.wait(seconds)


@contextmanager
def by_event() -> Iterator[threading.Event]:
    """Inside, the event asks for a stop of this context alone: others may be at work in the same process."""
    event = threading.Event()
    token = _here.set(event)
    try:
        yield event
    finally:
        _here.reset(token)


class Signals:
    """The signals that have been received inside `by_signals`."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    @property
    def exit_code(self) -> int:
        """Return what a shell expects of a program that a signal has ended; 0 where none has."""
        return 128 + self.received if self.received is not None else 0

    def handle(self, number: int, _frame: FrameType | None) -> None:
        if self.received is not None:
            # The transaction at hand is rolled back; what came before it has arrived.
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
        _asked.set()


@contextmanager
def by_signals() -> Iterator[Signals]:
    """
    Inside, SIGINT and SIGTERM ask for a stop; a second one raises `KeyboardInterrupt`.

    Only the main thread receives signals. In any other thread, nothing changes.
    """
    found = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield found
        return
    before = {number: signal.signal(number, found.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield found
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked.clear()
