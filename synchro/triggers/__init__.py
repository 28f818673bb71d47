"""Capture by triggers (``SYNCHRO_CAPTURE = 'triggers'``)."""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

from synchro import unloadable
from synchro.exceptions import NotReady
from synchro.triggers.base import Backend

__all__ = ["triggers_for"]


def triggers_for(connection: BaseDatabaseWrapper) -> Backend:
    """
    The trigger backend of `connection`.

    Raises `NotReady` for an engine that has none, or that cannot be loaded.
    """
    if reason := unloadable.in_words(connection.alias):
        raise NotReady(reason)
    from synchro.triggers.mysql import MariaDB, MySQL
    from synchro.triggers.postgresql_backend import PostgreSQL
    from synchro.triggers.sqlite import SQLite

    backends: dict[str, type[Backend]] = {"postgresql": PostgreSQL, "mysql": MySQL, "sqlite": SQLite}
    if connection.vendor not in backends:
        raise NotReady(
            f"The database {connection.alias!r} is {connection.display_name}, for which synchro has no "
            "triggers; "
            "use SYNCHRO_CAPTURE = 'signals'."
        )
    if getattr(connection, "mysql_is_mariadb", False):
        return MariaDB()
    return backends[connection.vendor]()
