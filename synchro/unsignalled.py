"""
Warn of writes that send no signal, and so are not captured where signals capture.

`QuerySet.update`, `bulk_create` and `bulk_update` change rows without a signal. Nobody would notice: the rows stay
different on REMOTE. So each line of code that writes a watched model in this way is told once, in the log ``synchro``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from types import FrameType
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.db import router
from django.db.models import Model, QuerySet

from synchro.historical import installed
from synchro.registry import is_watched
from synchro.signals import captures

logger = logging.getLogger("synchro")

METHODS: Final = ("update", "bulk_create", "bulk_update")
#: Modules whose lines are nobody's own: what called them is meant.
_BETWEEN: Final = ("django.db.", "asgiref.", "asyncio.", "concurrent.", "threading", "synchro.unsignalled")
#: Django's own bulk writes that are captured: on deletion REMOTE does the same, and a set sends `m2m_changed`.
_DELETION: Final = "django.db.models.deletion"
_SETS: Final = "django.db.models.fields.related_descriptors"
#: What `migrate` makes in each database by itself, and a natural key recognizes.
_MADE_BY_MIGRATE: Final = ("django.contrib.auth.management", "django.contrib.contenttypes.management")

#: The lines that have been told, or the models and methods where no line is known.
_told: set[tuple[str, object]] = set()


def watch_query_sets() -> None:
    """From now on, what writes a watched model of LOCAL without a signal is told."""
    for name in METHODS:
        for method in (name, f"a{name}"):
            original = getattr(QuerySet, method)
            if not hasattr(original, "is_watched"):
                watched = _watched(name, original)
                watched.is_watched = True  # type: ignore[attr-defined]
                setattr(QuerySet, method, watched)


def _watched(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    if iscoroutinefunction(method):

        @wraps(method)
        async def watched_async(self: QuerySet[Any], *args: Any, **kwargs: Any) -> Any:
            tell(self, name, sys._getframe(1))
            return await method(self, *args, **kwargs)

        return watched_async

    @wraps(method)
    def watched(self: QuerySet[Any], *args: Any, **kwargs: Any) -> Any:
        tell(self, name, sys._getframe(1))
        return method(self, *args, **kwargs)

    return watched


def tell(rows: QuerySet[Any], method: str, caller: FrameType) -> None:
    """Say that rows of a watched model are written without a signal, where nobody has said so of this line."""
    if not _is_lost(rows, method, caller):
        return
    label = rows.model._meta.label
    line = _line_of(caller)
    if line in _told or (not line and (label, method) in _told):
        return
    _told.update({line, (label, method)} if line else {(label, method)})
    where = f"{line[0]}:{line[1]}" if line else "code whose line is not known"
    logger.warning(
        "%s writes %s by %s(), which sends no signal: with SYNCHRO_CAPTURE = 'signals' this is not captured, and the "
        "rows stay different on REMOTE. Save the objects one by one, or use SYNCHRO_CAPTURE = 'triggers'. What is not "
        "to be captured belongs into DisableSynchroLog. (This is told once for each line.)",
        where,
        label,
        method,
    )


def _is_lost(rows: QuerySet[Any], method: str, caller: FrameType) -> bool:
    module = str(caller.f_globals.get("__name__", ""))
    if module == _DELETION or (module == _SETS and method == "bulk_create"):
        return False
    if _module_of(caller) in _MADE_BY_MIGRATE:
        return False
    if method == "update" and caller.f_code.co_name == "bulk_update" and module.startswith("django.db."):
        return False  # it has been told as what it is
    model: type[Model] = rows.model
    alias = rows._db or router.db_for_write(model, **rows._hints)  # type: ignore[attr-defined]
    try:
        if not captures(alias):
            return False
        own = installed(model._meta.concrete_model or model)
        return own is not None and is_watched(own)
    except ImproperlyConfigured:
        return False  # a wrong setting is told where it stops something


def _line_of(caller: FrameType) -> tuple[str, object] | None:
    """Return the line of the project's, or a package's, code that writes; None where another thread does it."""
    frame = _frame_of(caller)
    return (frame.f_code.co_filename, frame.f_lineno) if frame is not None else None


def _module_of(caller: FrameType) -> str:
    frame = _frame_of(caller)
    return str(frame.f_globals.get("__name__", "")) if frame is not None else ""


def _frame_of(caller: FrameType) -> FrameType | None:
    frame: FrameType | None = caller
    while frame is not None and _is_between(str(frame.f_globals.get("__name__", ""))):
        frame = frame.f_back
    return frame


def _is_between(module: str) -> bool:
    return f"{module}.".startswith(_BETWEEN)
