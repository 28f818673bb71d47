"""What differs between the database engines: one module each, behind the interface of `base.Engine`."""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

from synchro import unloadable
from synchro.backends.base import Backend, Convert, Unfit
from synchro.backends.mysql import MariaDB, MySQL
from synchro.backends.postgresql import PostgreSQL
from synchro.backends.sqlite import SQLite
from synchro.exceptions import NotReady

__all__ = ["Backend", "Convert", "Unfit", "backend_for", "check_vendor"]

#: Where a connection keeps its backend.
_ATTRIBUTE = "_synchro_backend"


def backend_for(connection: BaseDatabaseWrapper) -> Backend:
    """
    Return what synchro has to say to this connection's database. Telling MariaDB from MySQL asks the server, once.

    Raises `NotReady` for an engine that synchro does not know.
    """
    check_vendor(connection)
    found: Backend | None = vars(connection).get(_ATTRIBUTE)
    if found is None:
        found = _class_for(connection)(connection)
        setattr(connection, _ATTRIBUTE, found)
    return found


def _class_for(connection: BaseDatabaseWrapper) -> type[Backend]:
    match connection.vendor:
        case "sqlite":
            return SQLite
        case "postgresql":
            return PostgreSQL
        case _:
            return MariaDB if connection.mysql_is_mariadb else MySQL  # type: ignore[attr-defined]


def check_vendor(connection: BaseDatabaseWrapper) -> None:
    """
    Raise `NotReady` if the engine of `connection`, which need not be reachable, cannot be loaded, or synchro does not
    know it.
    """
    if reason := unloadable.in_words(connection.alias):
        raise NotReady(reason)
    if connection.settings_dict["ENGINE"] == "django.db.backends.dummy":
        raise NotReady(
            f"DATABASES[{connection.alias!r}] has no ENGINE: name that of PostgreSQL, MySQL, MariaDB or SQLite."
        )
    if connection.vendor not in {"sqlite", "postgresql", "mysql"}:
        raise NotReady(
            f"The database {connection.alias!r} is {connection.display_name}; "
            "django-synchro knows PostgreSQL, MySQL, MariaDB and SQLite."
        )
