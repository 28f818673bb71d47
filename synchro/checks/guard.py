"""Checks that find nothing while a setting is wrong, since they could not read it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeAlias

from django.core.checks import CheckMessage

from synchro.registry import wrong_settings

Check: TypeAlias = Callable[..., list[CheckMessage]]


def when_settings_are_right(check: Check) -> Check:
    """Return `check`, which finds nothing while a setting is wrong."""

    @wraps(check)
    def guarded(*args: Any, **kwargs: Any) -> list[CheckMessage]:
        return [] if wrong_settings() else check(*args, **kwargs)

    return guarded
