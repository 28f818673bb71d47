"""
MySQL and MariaDB: one trigger for each event and row, beside any that the project has.

What foreign keys delete or set to NULL by themselves fires no trigger on the rows concerned, so a trigger
before the deletion of the parent logs them, however deep.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError

from synchro.exceptions import NotReady
from synchro.models import CHANGE
from synchro.triggers.base import (
    CASCADE,
    LOG,
    PREFIX,
    Installed,
    Shape,
    Target,
    Trigger,
    Triggers,
    header,
    stem_of,
    version_of,
)
from synchro.triggers.mysql_body import SWITCH, Writer, escaped, real_name, stored_name
from synchro.triggers.mysql_rights import flaws_of, lacking_rights, may

#: How a trigger asked for the switch that keeps another session's answer.
KEEPS_SWITCH = f"{SWITCH} IS NULL"
LOCK = "synchro-triggers"
#: The SQL mode of triggers: what does not fit into the log is an error.
MODE = "STRICT_ALL_TABLES"

_NAME = re.compile(r"(.+)_([0-9a-f]{10})")
_COLUMN = re.compile(r"\b(?:OLD|NEW)\.`([^`]*)`")
_CONTENT_TYPE = re.compile(r"(?:VALUES \(|SELECT )([0-9]+), ")


class MySQL(Triggers):
    blind_spot = "MySQL and MariaDB fire no triggers for TRUNCATE: it is not captured. Use DELETE."

    rewriting_waits = True

    def has_cascades(self) -> bool:
        return True

    #: Character sets of columns that can be compared by a collation that takes every byte for what it is.
    exact: frozenset[str] = frozenset()

    def shapes(self, tables: Iterable[str]) -> dict[str, Shape]:
        columns: dict[str, dict[str, bool]] = {}
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT table_name, column_name, character_set_name FROM information_schema.columns "
                "WHERE table_schema = DATABASE()"
            )
            for table, column, characters in cursor.fetchall():
                columns.setdefault(table, {})[column] = characters in self.exact
            cursor.execute("SELECT table_name FROM information_schema.views WHERE table_schema = DATABASE()")
            views = {view for (view,) in cursor.fetchall()}
        names = {table: stored_name(self.connection, table) for table in tables}
        return {
            table: Shape(
                columns=frozenset(column.lower() for column in columns[name]),
                shown=escaped(name),
                is_table=name not in views,
                exact=frozenset(column for column, is_exact in columns[name].items() if is_exact),
            )
            for table, name in names.items()
            if name in columns
        }

    def installed(self) -> list[Installed]:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT trigger_name, action_statement, event_object_table, action_timing, event_manipulation, definer "
                "FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND LOCATE(%s, trigger_name) = 1",
                [PREFIX],
            )
            rows = cursor.fetchall()
            flaws = flaws_of(cursor, {definer for *_, definer in rows})
        found = []
        for name, body, table, timing, event, definer in rows:
            ours, content_type = _NAME.fullmatch(name), _CONTENT_TYPE.search(body)
            if ours is None or not _is_ours(name, body):
                continue
            # What logs the rows of other tables tells nothing of its own.
            is_own = content_type is not None and not ours[1].endswith(CASCADE)
            found.append(
                Installed(
                    ours[1],
                    name,
                    ours[2],
                    int(content_type[1]) if content_type is not None and is_own else None,
                    escaped(table),
                    misses_changes=KEEPS_SWITCH in body,
                    knows=_columns_known(ours[1], body),
                    flaw=flaws.get(definer, ""),
                    sql=f"CREATE TRIGGER {escaped(name)} {timing} {event} ON {escaped(table)} FOR EACH ROW {body}",
                )
            )
        return found

    def lacking_rights(self, tables: Iterable[str]) -> str:
        return lacking_rights(self.connection, tables)

    def stems(self) -> set[str]:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT trigger_name, action_statement FROM information_schema.triggers "
                "WHERE trigger_schema = DATABASE() AND LOCATE(%s, trigger_name) = 1",
                [PREFIX],
            )
            return {
                stem for name, body in cursor.fetchall() if _is_ours(name, body) and (stem := stem_of(name))
            }

    def missing_changes(self) -> list[str]:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT DISTINCT event_object_table FROM information_schema.triggers "
                "WHERE trigger_schema = DATABASE() AND LOCATE(%s, trigger_name) = 1 "
                "AND LOCATE(%s, action_statement) ORDER BY event_object_table",
                [PREFIX, KEEPS_SWITCH],
            )
            return [table for (table,) in cursor.fetchall()]

    def mentions(self, table: str, column: str | None = None) -> frozenset[str]:
        quote = self.connection.ops.quote_name
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE() "
                "AND LOCATE(%s, trigger_name) AND LOCATE(%s, action_statement) AND LOCATE(%s, action_statement)",
                [f"{CASCADE}_", quote(table), quote(column) if column else ""],
            )
            return frozenset(name for (name,) in cursor.fetchall())

    def shown(self, table: str) -> str:
        return escaped(stored_name(self.connection, table))

    def write(self, target: Target) -> Iterator[Trigger]:
        for parts in Writer(self.connection, target).triggers():
            yield self._trigger(target, *parts)

    def _trigger(self, target: Target, event: str, body: str) -> Trigger:
        table = escaped(real_name(target.table))
        version = version_of([table, event, body, str(target.content_type)])
        timing, verb = event.lower().split()
        stem = f"{target.stem}{CASCADE if timing == 'before' else f'_{verb}'}"
        first, second = header(target, version)
        return Trigger(
            stem=stem,
            name=f"{stem}_{version}",
            version=version,
            sql=f"CREATE TRIGGER `{stem}_{version}` {event} ON {table} FOR EACH ROW\n"
            f"BEGIN\n    /* {first} */\n    /* {second} */\n{body}END",
        )

    def drop_sql(self, found: Installed) -> str:
        return f"DROP TRIGGER IF EXISTS `{found.name}`"

    def exchange(
        self,
        create: Sequence[Trigger],
        drop: Sequence[Installed],
        seconds: int,
    ) -> None:
        """
        Each statement commits by itself. The new triggers are made before the old ones go, so that nothing is
        missed in between: a change may be logged twice then, which says no more than once.
        """
        names = {trigger.name for trigger in create}
        with self.connection.cursor() as cursor, _waiting(cursor, seconds), _plainly(cursor):
            made: list[Trigger] = []
            for found in drop:
                if found.name in names:  # on another table, which has taken it along
                    cursor.execute(self.drop_sql(found), None)
            try:
                for trigger in create:
                    cursor.execute(trigger.sql, None)
                    made.append(trigger)
            except DatabaseError:
                for trigger in made:
                    cursor.execute(f"DROP TRIGGER IF EXISTS `{trigger.name}`", None)
                raise
            for found in drop:
                if found.name not in names:
                    cursor.execute(self.drop_sql(found), None)

    def explained(self, error: DatabaseError) -> Exception:
        """
        `error` as a `NotReady` that tells what an administrator can do, where it is about rights or locks.
        """
        code = error.args[0] if error.args else None
        if code not in (1142, 1205, 1227, 1419):
            return error
        name, user = self.connection.settings_dict["NAME"], self.connection.settings_dict["USER"]
        grant = f"GRANT TRIGGER ON `{name}`.* TO '{user}'@'...';"
        if code == 1142:
            return NotReady(
                f"The account {user!r} may not create triggers: {error.args[1]}. An administrator runs: "
                f"{grant}"
            )
        if code == 1205:
            return NotReady(
                "Another transaction that has used the table is open and did not end in time; nothing was changed. "
                "SHOW PROCESSLIST and information_schema.innodb_trx tell whose it is. Then try again; 'manage.py "
                "synchro_install_triggers --lock-timeout 60' waits longer."
            )
        return NotReady(
            "The server writes a binary log and lets only privileged accounts create triggers: "
            f"{error.args[1]}. "
            "Either an administrator allows it to everybody who has the TRIGGER privilege, while the "
            "triggers are created: "
            "SET GLOBAL log_bin_trust_function_creators = 1; "
            f"(and, where it lacks that: {grant}) or an administrator runs what "
            "'manage.py synchro_install_triggers --sql' prints, as an account that will not be dropped: "
            "triggers run with the rights of the account that created them."
        )

    def script(self, statements: Sequence[str]) -> str:
        # The client would take a semicolon inside a trigger for its end.
        return (
            "-- Run it with: mysql --comments\nSET NAMES utf8mb4;\n"
            f"SET SESSION sql_mode = '{MODE}';\nDELIMITER ;;\n"
            + "".join(f"{statement} ;;\n" for statement in statements)
            + "DELIMITER ;\n"
        )

    @contextmanager
    def held(self, tables: Iterable[str], seconds: int) -> Iterator[bool]:
        names = sorted({escaped(stored_name(self.connection, table)) for table in tables})
        with self.connection.cursor() as cursor:
            with _waiting(cursor, seconds):
                is_held = may(cursor, f"LOCK TABLES {', '.join(f'{name} WRITE' for name in names)}")
            try:
                yield is_held
            finally:
                if is_held and self.connection.is_usable():
                    cursor.execute("UNLOCK TABLES")

    @contextmanager
    def alone(self, seconds: int) -> Iterator[None]:
        with self.connection.cursor() as cursor:
            # The name holds for the whole server.
            cursor.execute(
                "SELECT GET_LOCK(CONCAT(%s, LEFT(SHA2(DATABASE(), 256), 16)), %s)", [LOCK, seconds]
            )
            if cursor.fetchone()[0] != 1:
                raise NotReady(
                    f"Another process is installing triggers in {self.connection.alias!r}; try again later."
                )
            try:
                yield
            finally:
                if self.connection.is_usable():
                    cursor.execute("SELECT RELEASE_LOCK(CONCAT(%s, LEFT(SHA2(DATABASE(), 256), 16)))", [LOCK])


def _is_ours(name: str, body: str) -> bool:
    """
    Whether a trigger was made by synchro, by what it does: others may have such names.

    Its comments do not tell, since the command-line client sends none, unless it is told to.
    """
    return bool(_NAME.fullmatch(name) and stem_of(name)) and f"`{LOG}`" in body and SWITCH in body


def _columns_known(stem: str, body: str) -> frozenset[str] | None:
    """Return the columns whose changes a trigger sees that logs updates; None for all, and for other triggers."""
    if not stem.endswith("_update") or f"{Writer.now}, {CHANGE})" in body:
        return None
    return frozenset(name.lower() for name in _COLUMN.findall(body))


class MariaDB(MySQL):
    # Half the cost of a cast, which takes a copy of both values.
    exact = frozenset({"utf8mb4"})


@contextmanager
def _waiting(cursor: Any, seconds: int) -> Iterator[None]:
    """CREATE TRIGGER waits for everybody who has read the table in an open transaction: not for a year."""
    cursor.execute("SELECT @@SESSION.lock_wait_timeout")
    before = cursor.fetchone()[0]
    cursor.execute("SET SESSION lock_wait_timeout = %s", [seconds])
    try:
        yield
    finally:
        cursor.execute("SET SESSION lock_wait_timeout = %s", [before])


@contextmanager
def _plainly(cursor: Any) -> Iterator[None]:
    """A trigger runs in the SQL mode in which it was created, and some modes give words another meaning."""
    cursor.execute("SELECT @@SESSION.sql_mode")
    before = cursor.fetchone()[0]
    cursor.execute("SET SESSION sql_mode = %s", [MODE])
    try:
        yield
    finally:
        cursor.execute("SET SESSION sql_mode = %s", [before])
