"""
Keys in the order of time that nobody hands out: for 63 bits as TSID and Snowflake do, for UUIDs version 7.

A key of 63 bits has the milliseconds since 2020 in its upper 41, which last until 2089, and 22 bits below. Within a
millisecond a process begins at a random number and counts on, so its keys rise, also when the clock is set
back. `SPICY_ID_NODE` can give some of the 22 bits to the number of the process among others.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
import uuid
from typing import Final

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from django_spicy_id import conf

#: 2020-01-01 00:00 UTC.
EPOCH_MS: Final = 1_577_836_800_000
TIME_BITS: Final = 41
LOW_BITS: Final = 63 - TIME_BITS
UUID_LOW_BITS: Final = 74
#: How many numbers of a millisecond are not begun with.
ROOM: Final = 4096


class Clock:
    """
    Milliseconds with numbers below them that rise within the process.

    A process that has used up the numbers of a millisecond goes on with the next one.
    """

    def __init__(self, low_bits: int, node: int = 0, node_bits: int = 0) -> None:
        self.low_bits = low_bits
        self.free_bits = low_bits - node_bits
        self.node = node << self.free_bits
        self.lock = threading.Lock()
        self.milliseconds = -1
        self.low = 0

    def next(self, now_ms: int) -> int:
        """Return the next number."""
        with self.lock:
            if now_ms > self.milliseconds:
                self._begin(now_ms)
            else:
                self.low += 1
                if self.low >> self.free_bits:
                    self._begin(self.milliseconds + 1)
            return self.milliseconds << self.low_bits | self.node | self.low

    def _begin(self, milliseconds: int) -> None:
        self.milliseconds = milliseconds
        # Some are left to count on: more than a process makes in a millisecond.
        self.low = secrets.randbelow((1 << self.free_bits) - min(ROOM, 1 << self.free_bits - 1))


_clocks: dict[str, Clock] = {}


def next_key() -> int:
    """Return a key of 63 bits that is above all others that this process has made."""
    clock = _clocks.get("key") or _clocks.setdefault("key", _key_clock())
    milliseconds = time.time_ns() // 1_000_000 - EPOCH_MS
    if not 0 <= milliseconds < 1 << TIME_BITS:
        raise ImproperlyConfigured(
            "keys by time are made from 2020 to 2089: the clock of this computer says "
            f"{time.strftime('%Y-%m-%d', time.gmtime())}"
        )
    return clock.next(milliseconds)


def uuid7() -> uuid.UUID:
    """Return a UUID of version 7 that is above all others that this process has made."""
    clock = _clocks.get("uuid") or _clocks.setdefault("uuid", Clock(UUID_LOW_BITS))
    number = clock.next(time.time_ns() // 1_000_000)
    high, low = number >> 62, number & (1 << 62) - 1
    # The version stands after 60 bits, the variant after 64.
    return uuid.UUID(int=(high >> 12) << 80 | 7 << 76 | (high & 0xFFF) << 64 | 2 << 62 | low)


def _key_clock() -> Clock:
    return Clock(LOW_BITS, *conf.node())


def _forget(*, setting: str = conf.NODE, **_kwargs: object) -> None:
    if setting == conf.NODE:
        _clocks.clear()


setting_changed.connect(_forget)
# What a forked process inherits would give it the same numbers as its parent, and its siblings.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
