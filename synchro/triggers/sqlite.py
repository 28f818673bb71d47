"""
SQLite: triggers for each row, after the event; before it only for what is unique.

They do nothing while the table `SWITCH` holds a row, which only `synchro.backends.sqlite` puts there, for the
time of one statement.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError, transaction
from django.db.models import Field

from synchro.backends import backend_for
from synchro.models import CHANGE
from synchro.triggers.base import (
    LOG,
    PREFIX,
    SWITCH,
    SWITCHED_OFF,
    UNIQUE,
    Detail,
    Installed,
    Shape,
    Target,
    Trigger,
    Triggers,
    Unique,
    header,
    quoted,
    read_header,
    stem_of,
    version_of,
)
from synchro.triggers.kinds import Kind, kind_of, scale
from synchro.triggers.uniques import uniques_of
from synchro.triggers.writer import UUID_PARTS, RowWriter

ROWID = ("rowid", "oid", "_rowid_")
ENABLED = f'NOT EXISTS (SELECT 1 FROM "{SWITCH}")'
_COLUMN = re.compile(r'\b(?:OLD|NEW)\."([^"]*)"')
NOW = "strftime('%Y-%m-%d %H:%M:%f000', 'now')"


class SQLite(Triggers):
    def shapes(self, tables: Iterable[str]) -> dict[str, Shape]:
        found: dict[str, tuple[str, str, set[str]]] = {}
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT m.name, m.type, c.name FROM sqlite_master AS m, pragma_table_xinfo(m.name) AS c "
                "WHERE m.type IN ('table', 'view')"
            )
            for table, kind, column in cursor.fetchall():
                found.setdefault(table.lower(), (table, kind, set()))[2].add(column.lower())
            uniques = uniques_of(cursor)
        return {
            table: Shape(
                frozenset(columns), escaped(name), kind == "table", uniques=uniques.get(name.lower(), ())
            )
            for table in tables
            for name, kind, columns in (found.get(real_name(table).lower(), ("", "", set())),)
            if columns
        }

    def installed(self) -> list[Installed]:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT name, sql, tbl_name FROM sqlite_master WHERE type = 'trigger' AND name LIKE %s",
                [f"{PREFIX}%"],
            )
            rows = cursor.fetchall()
        found = []
        for name, sql, table in rows:
            stem = stem_of(name)
            version, content_type = read_header(sql)
            if stem is not None and version:
                short = name.removesuffix(f"_{version}")
                known = _columns_known(short, sql)
                found.append(Installed(short, name, version, content_type, escaped(table), knows=known))
        return found

    def shown(self, table: str) -> str:
        return escaped(real_name(table))

    def unseen(self, tables: Iterable[str]) -> Iterable[str]:
        return [SWITCHED_OFF.format(self.connection.alias)] if self.is_switched_off() else []

    def is_switched_off(self) -> bool:
        # A row of another session is never seen, since it goes before its transaction is over.
        with self.connection.cursor() as cursor:
            try:
                cursor.execute(f'SELECT EXISTS (SELECT 1 FROM "{SWITCH}")')
            except OperationalError:  # there is no such table, hence no trigger that asks it
                return False
            return bool(cursor.fetchone()[0])

    def switch_on(self) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(f'DELETE FROM "{SWITCH}"')

    @contextmanager
    def suspended(self) -> Iterator[None]:
        # SQLite does not rename a table, which is how Django alters one, while a trigger names what is not
        # there. The write lock is held all the time.
        with transaction.atomic(using=self.connection.alias), self.connection.cursor() as cursor:
            names = [one.name for one in self.installed()]
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            saved = [(name, sql) for name, sql in cursor.fetchall() if name in names]
            for name, _ in saved:
                cursor.execute(f'DROP TRIGGER "{name}"', None)
            yield
            for _, sql in saved:
                cursor.execute(sql, None)

    def write(self, target: Target) -> Iterator[Trigger]:
        for parts in Writer(self.connection, target).triggers():
            yield self._trigger(target, *parts)

    def _trigger(self, target: Target, event: str, when: str, statements: tuple[str, ...]) -> Trigger:
        body = "".join(f"    {statement};\n" for statement in statements)
        table = escaped(real_name(target.table))
        version = version_of([table, event, when, body, str(target.content_type)])
        timing, verb, *of = event.split()
        stem = f"{target.stem}_{verb.lower()}{UNIQUE if timing == 'BEFORE' else '_key' if of else ''}"
        first, second = header(target, version)
        return Trigger(
            stem=stem,
            name=f"{stem}_{version}",
            version=version,
            sql=f'CREATE TRIGGER "{stem}_{version}" {event} ON {table} FOR EACH ROW\n'
            f"    -- {first}\n    -- {second}\n    WHEN {when}\nBEGIN\n{body}END",
        )

    def drop_sql(self, found: Installed) -> str:
        return f'DROP TRIGGER IF EXISTS "{found.name}"'

    def exchange(
        self,
        create: Sequence[Trigger],
        drop: Sequence[Installed],
        seconds: int,
    ) -> None:
        with transaction.atomic(using=self.connection.alias), self.connection.cursor() as cursor:
            for found in drop:
                cursor.execute(self.drop_sql(found), None)
            for trigger in create:
                cursor.execute(trigger.sql, None)

    @contextmanager
    def alone(self, seconds: int) -> Iterator[None]:
        with transaction.atomic(using=self.connection.alias):
            # The write lock, before anything is read: what has been read cannot change any more.
            backend_for(self.connection).begin_writing()
            yield


def _columns_known(stem: str, sql: str) -> frozenset[str] | None:
    """Return the columns whose changes a trigger sees that logs updates; None for all, and for other triggers."""
    if not stem.endswith("_update") or f"{NOW}, {CHANGE})" in sql:
        return None
    return frozenset(name.lower() for name in _COLUMN.findall(sql))


def real_name(table: str) -> str:
    """The name that Django, which does not escape quotes, makes of `table` in SQL."""
    if len(table) > 1 and table.startswith('"') and table.endswith('"'):
        table = table[1:-1]
    return table.replace('""', '"')


def escaped(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class Writer(RowWriter):
    """Writes the triggers of a table."""

    now = NOW

    # -- values ----------------------------------------------------------------------------------------------

    def text(self, row: str, field: Field[Any, Any]) -> str:
        """The one spelling of a value, as `synchro.keys.value_to_text` has it."""
        value = self.name(row, field)
        match kind_of(field, self.connection):
            case Kind.UUID | Kind.UUID_TEXT:
                parts = (f"substr({value}, {start}, {length})" for start, length in UUID_PARTS)
                return f"lower({DASH.join(parts)})"
            case Kind.DECIMAL:
                return f"printf('%.{scale(field)}f', {value})"
            case Kind.TIME:
                return _padded(value, len("00:00:00.000000"))
            case Kind.DATETIME:
                return _padded(f"replace({value}, ' ', 'T')", len("2000-01-01T00:00:00.000000"))
            case Kind.BINARY:
                return f"lower(hex({value}))"
        return f"CAST({value} AS TEXT)"

    def json_text(self, text: str) -> str:
        return json_quote(text)

    def differs(self, field: Field[Any, Any]) -> str:
        # Case and trailing blanks count, whatever the column's collation.
        return f"{self.name('OLD', field)} IS NOT {self.name('NEW', field)} COLLATE BINARY"

    def fields(self) -> str:
        parts = [f"CASE WHEN {self.differs(f)} THEN ',{f.name}' ELSE '' END" for f in self.target.columns]
        return f"substr({joined(parts, AND_THEN)}, 2)"

    def any_differs(self, fields: Sequence[Field[Any, Any]]) -> str:
        return f"({joined([*map(self.differs, fields)], ' OR ') or '0'})"

    # -- entries ---------------------------------------------------------------------------------------------

    def triggers(self) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """Event, condition and statements of each."""
        moved = self.any_differs(self.target.key)
        yield "AFTER INSERT", ENABLED, (self.added(),)
        yield "AFTER DELETE", ENABLED, (self.deleted(),)
        yield (
            f"AFTER UPDATE OF {self.key_columns()}",
            f"{moved} AND {ENABLED}",
            (self.deleted(), self.added()),
        )
        if self.target.detail is Detail.KEY:
            yield "AFTER UPDATE", f"NOT {moved} AND {ENABLED}", (self.insert(self.key("NEW"), CHANGE),)
        elif self.target.columns:
            changed = self.any_differs(self.target.columns)
            change = self.insert(self.key("NEW"), CHANGE, fields=self.fields())
            yield "AFTER UPDATE", f"{changed} AND NOT {moved} AND {ENABLED}", (change,)

        if self.target.detail is Detail.COLUMNS:
            yield from self.before_replacing()

    def before_replacing(self) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """
        REPLACE takes the rows away that hold a unique value of the new one, and fires no trigger for them.

        Whether it is at work a trigger cannot know, so such rows are always logged, as changes of no field: that says
        nothing of a row that is still there.
        """
        key = {str(field.column).lower() for field in self.target.key}
        uniques = [one for one in self.target.shape.uniques if set(one.columns) != key]
        if not uniques:
            return
        same_key = " AND ".join(self.same("NEW", field) for field in self.target.key)
        if len(self.target.key) == 1 and kind_of(self.target.key[0], self.connection) is Kind.INTEGER:
            same_key += (
                f" AND {self.name('NEW', self.target.key[0])} <> -1"  # which stands for one yet to be given
            )
        yield "BEFORE INSERT", ENABLED, tuple(self.in_the_way(one, same_key) for one in uniques)
        columns = ", ".join(dict.fromkeys(f'"{name}"' for one in uniques for name in one.columns))
        of = f" OF {columns}" if all(one.columns for one in uniques) else ""
        same_key = " AND ".join(self.same("OLD", field) for field in self.target.key)
        yield f"BEFORE UPDATE{of}", ENABLED, tuple(self.in_the_way(one, same_key) for one in uniques)

    def in_the_way(self, unique: Unique, same_key: str) -> str:
        quote, row = self.connection.ops.quote_name, escaped(real_name(self.target.table))
        natural = self.natural(row)
        names = ", ".join(
            map(quote, ("content_type_id", "object_id", "date", "action", "fields", "natural_key"))
        )
        # Names without a table, as expressions have them, are those of the table itself.
        new = ", ".join(f'NEW."{name}" AS "{name}"' for name in sorted(self.target.shape.columns))
        conditions = [
            f"{row}.{term} = NEW.{term} COLLATE {collation}"
            if term[1:-1].replace('""', '"').lower() in self.target.shape.columns and term[0] == '"'
            else f"({term}) = (SELECT {term} FROM (SELECT {new})) COLLATE {collation}"
            for term, collation in unique.terms
        ]
        if unique.condition:
            conditions += [f"({unique.condition})", f"(SELECT {unique.condition} FROM (SELECT {new}))"]
        return (
            f"INSERT INTO {quote(LOG)} ({names})\n        SELECT {self.target.content_type}, {self.key(row)}, "
            f"{self.now}, {CHANGE}, '', {natural}\n        FROM {row} WHERE {' AND '.join(conditions)}"
            f"\n            AND NOT ({same_key})"
        )

    def same(self, row: str, field: Field[Any, Any]) -> str:
        table = escaped(real_name(self.target.table))
        return f"{self.name(table, field)} IS {self.name(row, field)} COLLATE BINARY"

    def key_columns(self) -> str:
        names = [quoted(self.connection, field) for field in self.target.key]
        if len(names) == 1 and kind_of(self.target.key[0], self.connection) is Kind.INTEGER:
            names += ROWID  # other names of the same column
        return ", ".join(names)


DASH = " || '-' || "
AND_THEN = "\n            || "
#: How many terms an expression has in a row: SQLite allows a depth of 1000.
IN_A_ROW = 500
#: How many characters one query replaces.
AT_ONCE = 6


def joined(parts: Sequence[str], between: str) -> str:
    """Join terms with an operator, however many they are."""
    if len(parts) <= IN_A_ROW:
        return between.join(parts)
    half = len(parts) // 2
    return between.join(f"({joined(some, between)})" for some in (parts[:half], parts[half:]))


def json_quote(text: str) -> str:
    """
    SQL for `text` as JSON spells it, without functions that a session may not trust (``PRAGMA trusted_schema``).

    Control characters are rare, so only text that has one takes the long way: a few of them in each query, since SQLite
    parses no expression that is deeper.
    """
    plain = f"replace(replace({text}, '\\', '\\\\'), '\"', '\\\"')"
    rows = f"SELECT {plain} AS t"
    for start in range(1, 32, AT_ONCE):
        escaped = "t"
        for code in range(start, min(start + AT_ONCE, 32)):
            escaped = f"replace({escaped}, char({code}), '{json.dumps(chr(code))[1:-1]}')"
        rows = f"SELECT {escaped} AS t FROM ({rows})"
    has_control = f"{text} GLOB '*[' || char(1) || '-' || char(31) || ']*'"
    return f"('\"' || CASE WHEN {has_control} THEN ({rows}) ELSE {plain} END || '\"')"


def _padded(value: str, length: int) -> str:
    """A time with six digits after the point, of which Django stores all or none."""
    return f"substr({value} || CASE WHEN instr({value}, '.') THEN '' ELSE '.' END || '000000', 1, {length})"
