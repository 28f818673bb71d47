"""What a database says of its columns and values: what a move asks before anything is written."""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.backends import check_vendor
from synchro.backends.inspection.base import Column, Inspection
from synchro.backends.inspection.mysql import MySQLInspection
from synchro.backends.inspection.postgresql import PostgreSQLInspection
from synchro.backends.inspection.sqlite import SQLiteInspection

__all__ = ["Column", "Inspection", "inspection_of"]

_CLASSES: dict[str, type[Inspection]] = {
    "mysql": MySQLInspection,
    "postgresql": PostgreSQLInspection,
    "sqlite": SQLiteInspection,
}


def inspection_of(connection: BaseDatabaseWrapper) -> Inspection:
    """Return what asks this connection's database. Raises `NotReady` for an engine that synchro does not know."""
    check_vendor(connection)
    return _CLASSES[connection.vendor](connection)
