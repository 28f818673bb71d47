"""What stands on REMOTE: triggers of others on watched tables, and whether REMOTE captures its own changes."""

from __future__ import annotations

from collections.abc import Container
from fnmatch import fnmatchcase

from django.core import checks
from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from synchro.backends import backend_for
from synchro.backends.foreign import ForeignTrigger
from synchro.conf import conf
from synchro.models import ChangeLog
from synchro.registry import watched_tables
from synchro.triggers import triggers_for
from synchro.triggers.base import read_header, stem_for


def foreign_triggers(
    connection: BaseDatabaseWrapper, left_out: Container[type[Model]] = ()
) -> list[ForeignTrigger]:
    """Those that fire for what a run writes, and may do more than refuse it."""
    backend = backend_for(connection)
    tables = [table.name for table in watched_tables() if table.model not in left_out]
    found = backend.triggers_on(tables)
    return [
        trigger
        for trigger in found
        if not (
            _is_ours(trigger) or _is_allowed(trigger) or trigger.asks(backend.switch) or trigger.only_refuses
        )
    ]


def _is_ours(trigger: ForeignTrigger) -> bool:
    """By what it says, since somebody else's may have such a name."""
    return bool(read_header(trigger.text)[0])


def _is_allowed(trigger: ForeignTrigger) -> bool:
    return any(
        fnmatchcase(trigger.name, pattern) or fnmatchcase(str(trigger), pattern)
        for pattern in conf.remote_triggers
    )


def without_capture(connection: BaseDatabaseWrapper) -> checks.CheckMessage | None:
    """What to say where capture is by triggers, and REMOTE, which has synchro's tables, captures too little."""
    if conf.capture != "triggers":
        return None
    backend = triggers_for(connection)
    stems = {stem_for(table.name) for table in watched_tables()}
    missing = stems - backend.stems()
    if not missing or not backend.is_ready():
        return None
    if missing == stems and _captures_by_signals(connection):
        return None
    return checks.Warning(
        f"The database {connection.alias!r} has synchro's tables, but {len(missing)} of {len(stems)} watched tables "
        "there have no triggers: changes made there are not captured, and are overwritten without a conflict.",
        hint=f"Run: manage.py synchro_install_triggers --database {connection.alias}. Where nobody else writes there, "
        "put synchro.W121 into SILENCED_SYSTEM_CHECKS.",
        id="synchro.W121",
    )


def _captures_by_signals(connection: BaseDatabaseWrapper) -> bool:
    """Without any trigger, entries in its log come of signals."""
    try:
        return ChangeLog.objects.using(connection.alias).exists()
    except DatabaseError:
        return False
