"""
A run does not begin while a watched table lacks a trigger: what happened to it meanwhile may not be in the
log.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.conf import conf
from synchro.exceptions import NotReady
from synchro.triggers import triggers_for
from synchro.triggers.base import SWITCHED_OFF, Triggers
from synchro.triggers.install import MISSES_CHANGES, gap_of, survey

_allowed: ContextVar[bool] = ContextVar("synchro_missing_triggers_allowed", default=False)


@contextmanager
def missing_triggers_allowed() -> Iterator[None]:
    """Inside, runs begin all the same."""
    token = _allowed.set(True)
    try:
        yield
    finally:
        _allowed.reset(token)


def refuse_triggers_that_miss_changes(sender: Any, remote: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """
    Receive `synchro.replay.signals.starting`.

    Raise `NotReady` where REMOTE has triggers that would not see the changes of other sessions, once this run has
    switched them off for its own. LOCAL's are for `refuse_without_triggers`.
    """
    if _allowed.get():
        return
    try:
        backend = triggers_for(remote)
    except NotReady:
        return  # an engine without triggers of ours, which a run refuses by itself
    _refuse_where_switched_off(backend, remote)
    tables = backend.missing_changes()
    if tables:
        raise NotReady(
            f"Triggers in the database {remote.alias!r} are {MISSES_CHANGES}, once a run has written there: those of "
            f"{', '.join(tables)}. On the deployment whose database it is, run 'manage.py synchro_install_triggers' "
            "(or 'migrate') with this version of synchro, and then this command again."
        )


def refuse_without_triggers(sender: Any, local: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """
    Receives `synchro.replay.signals.starting`.

    Raises `NotReady` where a watched table of LOCAL has a trigger missing or disabled.
    """
    if conf.capture != "triggers" or _allowed.get():
        return
    _refuse_where_switched_off(triggers_for(local), local)
    found = survey(local)
    gaps = [
        *(f"{finding.label} ({gap})" for finding in found.findings if (gap := gap_of(finding))),
        *(f"{model._meta.label} (all triggers missing)" for model in found.unnamed),
        *found.impossible.values(),
    ]
    if gaps:
        raise NotReady(
            f"Changes are not captured everywhere: {'; '.join(gaps)}. Run 'manage.py "
            "synchro_install_triggers'; what "
            "was changed before that is not in the log, so compare both databases. 'manage.py synchronize "
            "--without-triggers' replays what there is all the same."
        )


def _refuse_where_switched_off(backend: Triggers, connection: BaseDatabaseWrapper) -> None:
    if backend.is_switched_off():
        raise NotReady(SWITCHED_OFF.format(connection.alias))
