"""
All settings, with their defaults, on one screen.

They are looked up in Django's settings each time they are asked for, so that ``override_settings`` works.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, Generic, TypeVar, overload

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

LOCAL: Final = "default"

CAPTURES: Final = ("signals", "triggers")
IDENTITIES: Final = ("reference", "pk")
ON_ERROR: Final = ("stop", "quarantine")

T = TypeVar("T")


class Setting(Generic[T]):
    """A setting of the project, by the name ``SYNCHRO_<ATTRIBUTE>``."""

    def __init__(self, default: T, choices: Sequence[str] = ()) -> None:
        self.default = default
        self.choices = choices

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = f"SYNCHRO_{name.upper()}"

    @overload
    def __get__(self, instance: None, owner: type) -> Setting[T]: ...
    @overload
    def __get__(self, instance: Conf, owner: type) -> T: ...
    def __get__(self, instance: Conf | None, owner: type) -> Setting[T] | T:
        if instance is None:
            return self
        value: T = getattr(settings, self.name, self.default)
        if self.choices and value not in self.choices:
            raise ImproperlyConfigured(
                f"{self.name} is {value!r}; it can be {' or '.join(map(repr, self.choices))}."
            )
        return value


class Conf:
    #: What is watched: app labels, dotted app paths, ``(app, 'Model', ...)`` tuples.
    models: Setting[Sequence[Any]] = Setting(())
    #: How entries get written: ``'signals'`` or ``'triggers'``.
    capture: Setting[str] = Setting("signals", CAPTURES)
    #: Whether the admin view offers to reset.
    allow_reset: Setting[bool] = Setting(True)
    #: Whether the admin view shows the traceback of a failed run (with ``DEBUG`` on).
    debug: Setting[bool] = Setting(False)
    #: How rows with automatic keys find each other: ``'reference'``, or ``'pk'`` for the same key on both sides.
    identity: Setting[str] = Setting("reference", IDENTITIES)
    #: Who wins where both sides changed: ``'newer'``, ``'local'``, ``'remote'``, or the dotted path of a callable.
    conflict: Setting[Any] = Setting("newer")
    #: How many entries are replayed in one REMOTE transaction.
    batch_size: Setting[int] = Setting(20_000)
    #: How long entries are kept after every REMOTE has them; ``None`` keeps all.
    retention: Setting[timedelta | None] = Setting(timedelta(days=30))
    #: What to do with a change that REMOTE refuses: ``'stop'`` or ``'quarantine'``.
    on_error: Setting[str] = Setting("stop", ON_ERROR)

    @property
    def remotes(self) -> tuple[str, ...]:
        """
        The aliases named by ``SYNCHRO_REMOTE``; empty where entries are only logged.

        Raises `ImproperlyConfigured` for an alias that is not in ``DATABASES``, or is LOCAL's.
        """
        value: Any = getattr(settings, "SYNCHRO_REMOTE", None)
        aliases = () if value is None else tuple(value) if isinstance(value, list | tuple) else (value,)
        for alias in aliases:
            if not isinstance(alias, str):
                raise ImproperlyConfigured(f"SYNCHRO_REMOTE names {alias!r}, which is no database alias.")
            if alias not in settings.DATABASES:
                raise ImproperlyConfigured(f"SYNCHRO_REMOTE names {alias!r}, which is not in DATABASES.")
            if alias == LOCAL:
                raise ImproperlyConfigured(
                    f"SYNCHRO_REMOTE names {LOCAL!r}, the database whose changes are captured."
                )
        if len(set(aliases)) != len(aliases):
            raise ImproperlyConfigured("SYNCHRO_REMOTE names a database twice.")
        return aliases


conf = Conf()


def check_at_start() -> None:
    """Raise what is wrong with the settings, and warn where ``SYNCHRO_REMOTE`` is absent."""
    if not hasattr(settings, "SYNCHRO_REMOTE"):
        warnings.warn(
            "SYNCHRO_REMOTE is not set: changes are logged, but nothing can be synchronized. "
            "Set it to a database alias, or to None to say that this is meant.",
            RuntimeWarning,
            stacklevel=2,
        )
    # Each raises ImproperlyConfigured when it is read. No `assert`: python -O would not read them.
    for name in ("remotes", "capture", "identity", "on_error"):
        getattr(conf, name)
