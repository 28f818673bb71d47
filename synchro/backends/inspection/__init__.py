"""What a database says of its columns and values: what a move asks before anything is written."""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.backends.engines import bound
from synchro.backends.inspection.base import Column, Inspection
from synchro.exceptions import NotReady

__all__ = ["Column", "Inspection", "inspection_of"]


def inspection_of(connection: BaseDatabaseWrapper) -> Inspection:
    """Return what asks this connection's database. Raises `NotReady` for an engine that cannot be asked."""
    found: Inspection | None = bound(connection, "inspection")
    if found is None:
        raise NotReady(f"The preflight of a move knows no {connection.display_name}.")
    return found
