"""MySQL and MariaDB: with whose rights triggers run, and whether these are enough."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.triggers.base import LOG, ORPHANED, POWERLESS
from synchro.triggers.mysql_body import escaped, stored_name

#: Errors of the server for a want of rights: on a database, a table, a column.
DENIED = (1044, 1142, 1143)
#: The same for tables that `Triggers.held` has not locked: then nothing can be known of them.
NOT_LOCKED = 1100


def lacking_rights(connection: BaseDatabaseWrapper, tables: Iterable[str]) -> str:
    """As `Triggers.lacking_rights`."""
    wanted = [(LOG, "INSERT"), *((table, "SELECT, TRIGGER") for table in tables)]
    with connection.cursor() as cursor:
        needed = [
            f"GRANT {rights} ON {_qualified(connection, table)} TO {_account(cursor)};"
            for table, rights in wanted
            if not (_may_log(cursor) if table == LOG else _may_read(cursor, stored_name(connection, table)))
        ]
    if not needed:
        return ""
    return (
        f"Triggers that {connection.settings_dict['USER']!r} makes run with the rights of this account, which "
        "lacks some that they need: every write to the table would fail. Nothing was changed. An administrator "
        f"runs: {' '.join(needed)}"
    )


def _account(cursor: Any) -> str:
    cursor.execute("SELECT CURRENT_USER()")
    return "@".join(f"'{part}'" for part in cursor.fetchone()[0].rsplit("@", 1))


def _qualified(connection: BaseDatabaseWrapper, table: str) -> str:
    return f"{escaped(str(connection.settings_dict['NAME']))}.{escaped(stored_name(connection, table))}"


def _may_log(cursor: Any) -> bool:
    """Whether this account may do what a trigger does. To explain a statement takes the same rights."""
    return may(
        cursor,
        f"EXPLAIN INSERT INTO {escaped(LOG)} (`content_type_id`, `object_id`, `date`, `action`, `fields`, "
        "`natural_key`) VALUES (0, '', NOW(), 0, NULL, NULL)",
    )


def _may_read(cursor: Any, table: str) -> bool:
    return may(cursor, f"SELECT * FROM {escaped(table)} LIMIT 0")


def may(cursor: Any, sql: str, unknown: bool = True) -> bool:
    """Whether the server lets this account execute this statement, which it does; `unknown` where it cannot tell."""
    try:
        cursor.execute(sql, None)
        cursor.fetchall()
    except DatabaseError as error:
        code = error.args[0] if error.args else None
        if code == NOT_LOCKED:
            return unknown
        if code in DENIED:
            return False
        raise
    return True


def flaws_of(cursor: Any, definers: set[str]) -> dict[str, str]:
    """What is wrong with the accounts with whose rights triggers run, as far as this one is allowed to know."""
    if not definers:
        return {}
    cursor.execute("SELECT CURRENT_USER()")
    own = cursor.fetchone()[0]
    flaws = {} if own not in definers or _may_log(cursor) else {own: POWERLESS}
    if definers - {own} and may(cursor, "SELECT 1 FROM mysql.user LIMIT 0", unknown=False):
        cursor.execute("SELECT CONCAT(user, '@', host) FROM mysql.user")
        flaws |= dict.fromkeys(definers - {own} - {account for (account,) in cursor.fetchall()}, ORPHANED)
    return flaws
