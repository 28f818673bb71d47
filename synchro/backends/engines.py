"""The engines that synchro knows, and where the code for each of them stands. A further engine is one entry more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.module_loading import import_string

from synchro import unloadable
from synchro.exceptions import NotReady


@dataclass(frozen=True)
class Engine:
    """The classes of one engine, by their dotted names, so that only what is used is imported."""

    #: What Django calls the engine.
    vendor: str
    #: A `synchro.backends.base.Backend`.
    backend: str
    #: A `synchro.triggers.base.Triggers`; empty where there is capture by signals only.
    triggers: str = ""
    #: A `synchro.backends.inspection.base.Inspection`; empty where no database of it can be moved by `synchro_move`.
    inspection: str = ""


ENGINES: Mapping[str, Engine] = {
    "sqlite": Engine(
        "sqlite",
        "synchro.backends.sqlite.SQLite",
        "synchro.triggers.sqlite.SQLite",
        "synchro.backends.inspection.sqlite.SQLiteInspection",
    ),
    "postgresql": Engine(
        "postgresql",
        "synchro.backends.postgresql.PostgreSQL",
        "synchro.triggers.postgresql_triggers.PostgreSQL",
        "synchro.backends.inspection.postgresql.PostgreSQLInspection",
    ),
    "mysql": Engine(
        "mysql",
        "synchro.backends.mysql.MySQL",
        "synchro.triggers.mysql.MySQL",
        "synchro.backends.inspection.mysql.MySQLInspection",
    ),
    "mariadb": Engine(
        "mysql",
        "synchro.backends.mariadb.MariaDB",
        "synchro.triggers.mysql.MariaDB",
        "synchro.backends.inspection.mysql.MySQLInspection",
    ),
}
_VENDORS = frozenset(engine.vendor for engine in ENGINES.values())


def bound(connection: BaseDatabaseWrapper, part: str) -> Any:
    """
    Return the object of `part`, a field of `Engine`, for this connection; it is made once. None where the engine has
    none.

    Telling MariaDB from MySQL asks the server, once. Raises `NotReady` as `check_vendor` does.
    """
    check_vendor(connection)
    attribute = f"_synchro_{part}"
    found = vars(connection).get(attribute)
    if found is None and (path := getattr(_engine_of(connection), part)):
        found = import_string(path)(connection)
        setattr(connection, attribute, found)
    return found


def _engine_of(connection: BaseDatabaseWrapper) -> Engine:
    is_mariadb = connection.vendor == "mysql" and connection.mysql_is_mariadb  # type: ignore[attr-defined]
    return ENGINES["mariadb" if is_mariadb else connection.vendor]


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
    if connection.vendor not in _VENDORS:
        raise NotReady(
            f"The database {connection.alias!r} is {connection.display_name}; "
            "django-synchro knows PostgreSQL, MySQL, MariaDB and SQLite."
        )
