"""
What `manage.py pgtrigger ls` tells of capture triggers, where django-pgtrigger is in INSTALLED_APPS.

They are not in its registry, since its other commands would install and uninstall them, so its command is extended,
as it extends commands of Django's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pgtrigger.core
import pgtrigger.installation
import pgtrigger.registry
from django.core.management.base import BaseCommand
from django.db import DEFAULT_DB_ALIAS, connections
from pgtrigger.management.commands import pgtrigger as command

from synchro.conf import LOCAL, conf
from synchro.triggers import triggers_for
from synchro.triggers.declare import Declaration
from synchro.triggers.postgresql import CaptureTrigger, capture_triggers

COLORS = {
    pgtrigger.core.INSTALLED: "\033[92m",
    pgtrigger.core.OUTDATED: "\033[93m",
    pgtrigger.core.UNINSTALLED: "\033[91m",
    "ENABLED": "\033[92m",
    "DISABLED": "\033[91m",
}
PLAIN = "\033[0m"

if TYPE_CHECKING:
    Lists = BaseCommand
else:
    Lists = object


def extend() -> None:
    """Let the command list ours, once."""
    if not issubclass(command.Command, ListsCapture):
        command.Command = type("Command", (ListsCapture, command.Command), {})  # type: ignore[assignment,misc]


class ListsCapture(Lists):
    """Comes before django-pgtrigger's own command."""

    def ls(self, *args: Any, **options: Any) -> None:
        found = list(_capture(options["database"] or DEFAULT_DB_ALIAS))
        ours = {trigger.get_uri(model): (model, trigger) for model, trigger in found}
        asked = options["uris"]
        others = [uri for uri in asked if uri not in ours]
        if others or (not asked and _has_others(options["database"])):
            super().ls(*args, **{**options, "uris": others})  # type: ignore[misc]
        for uri, (model, trigger) in ours.items():
            if not asked or uri in asked:
                status, enabled = trigger.get_installation_status(model, database=options["database"])
                self.stdout.write(_line(status, enabled, uri))


def _has_others(database: str | None) -> bool:
    """Whether there is any trigger of the project's own: without one the command fails."""
    return bool(pgtrigger.registry.registered() or pgtrigger.installation.prunable(database=database))


def _capture(alias: str) -> Iterator[tuple[Any, CaptureTrigger]]:
    """The triggers of watched tables, where they capture, or where some are left of the time when they did."""
    connection = connections[alias]
    if connection.vendor != "postgresql":
        return
    backend = triggers_for(connection)
    if (conf.capture != "triggers" or alias != LOCAL) and not backend.stems():
        return
    for target in Declaration(connection, backend, create_content_types=False).targets():
        for trigger in capture_triggers(connection, target) if target.shape.is_table else ():
            yield target.key[0].model, trigger


def _line(status: str, enabled: bool | None, uri: str) -> str:
    state = "N/A" if enabled is None else "ENABLED" if enabled else "DISABLED"
    return " ".join((*_colored((status, state)), uri))


def _colored(words: Sequence[str]) -> Iterator[str]:
    for word in words:
        yield f"{COLORS.get(word, '')}{word}{PLAIN}".ljust(len(pgtrigger.core.UNINSTALLED) + 9)
