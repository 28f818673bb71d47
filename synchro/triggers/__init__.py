"""Capture by triggers (``SYNCHRO_CAPTURE = 'triggers'``): one module for each engine, behind `base.Triggers`."""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.backends.engines import bound
from synchro.exceptions import NotReady
from synchro.triggers.base import Triggers

__all__ = ["Triggers", "triggers_for"]


def triggers_for(connection: BaseDatabaseWrapper) -> Triggers:
    """
    Return what makes and finds triggers in this connection's database.

    Raises `NotReady` for an engine that has none, or that cannot be loaded.
    """
    found: Triggers | None = bound(connection, "triggers")
    if found is None:
        raise NotReady(
            f"The database {connection.alias!r} is {connection.display_name}, for which synchro has no triggers; "
            "use SYNCHRO_CAPTURE = 'signals'."
        )
    return found
