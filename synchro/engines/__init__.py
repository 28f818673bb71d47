"""What differs between the database engines: one module each, behind the interface of `base.Engine`."""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.engines import unloadable
from synchro.engines.base import Convert, Engine, Unfit
from synchro.engines.mysql import MariaDB, MySQL
from synchro.engines.postgresql import PostgreSQL
from synchro.engines.sqlite import SQLite
from synchro.exceptions import NotReady

__all__ = ["Convert", "Engine", "Unfit", "check_vendor", "engine_for"]

_sqlite, _postgresql, _mysql, _mariadb = SQLite(), PostgreSQL(), MySQL(), MariaDB()


def engine_for(connection: BaseDatabaseWrapper) -> Engine:
    """
    The engine behind `connection`. Telling MariaDB from MySQL asks the server.

    Raises `NotReady` for one that synchro does not know.
    """
    check_vendor(connection)
    match connection.vendor:
        case "sqlite":
            return _sqlite
        case "postgresql":
            return _postgresql
        case _:
            return _mariadb if connection.mysql_is_mariadb else _mysql  # type: ignore[attr-defined]


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
