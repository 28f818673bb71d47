"""
MySQL and MariaDB: entries for rows that a foreign key deletes, or sets to NULL, without any trigger.

The trigger before the deletion of a row finds those rows with one recursive query. Each row that will go is
known there by the number of its table and its key; each table has its own columns in the query, of its key's
types, so that the joins can use the indexes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field

from synchro.triggers.base import LOG, Cascade, Detail, Target, quoted
from synchro.triggers.mysql_body import Writer


def cascade_statements(connection: BaseDatabaseWrapper, target: Target) -> list[str]:
    """The statements that log what the deletion of the row OLD of `target` does to other rows."""
    return list(_Walk(connection, target).statements())


class _Walk:
    def __init__(self, connection: BaseDatabaseWrapper, root: Target) -> None:
        self.connection = connection
        self.root = root
        #: The tables that lose rows, the root's first.
        self.tables = list(dict.fromkeys([root.table, *(c.child.table for c in root.cascades if c.deletes)]))
        self.targets = {c.child.table: c.child for c in root.cascades if c.deletes} | {root.table: root}

    def statements(self) -> Iterator[str]:
        for table in self.tables:
            child = self.targets[table]
            if child.content_type is not None and any(
                c.deletes and c.child.table == table for c in self.root.cascades
            ):
                yield self.deletion(child)
        for cascade in self.root.cascades:
            if not cascade.deletes and cascade.child.content_type is not None and _is_synchronized(cascade):
                yield self.nulled(cascade)

    def deletion(self, child: Target) -> str:
        writer = Writer(self.connection, child)
        natural = (", `natural_key`", f", {writer.natural('c')}") if child.natural else ("", "")
        number = self.tables.index(child.table)
        # The row itself is logged by the trigger after its deletion.
        other = f" AND NOT ({self.is_row('c', 'OLD', child)})" if child.table == self.root.table else ""
        return (
            f"INSERT INTO `{LOG}` (`content_type_id`, `object_id`, `date`, `action`{natural[0]})\n"
            f"{self.gone()}    SELECT {child.content_type}, {writer.key('c')}, UTC_TIMESTAMP(6), "
            f"3{natural[1]}\n"
            f"    FROM synchro_gone AS g JOIN {self.table(child)} AS c ON {self.is_gone('c', child)}\n"
            f"    WHERE g.synchro_table = {number}{other}"
        )

    def nulled(self, cascade: Cascade) -> str:
        child = cascade.child
        writer = Writer(self.connection, child)
        fields = "NULL" if child.detail is Detail.KEY else f"'{cascade.source.name}'"
        return (
            f"INSERT INTO `{LOG}` (`content_type_id`, `object_id`, `date`, `action`, `fields`)\n"
            f"{self.gone()}    SELECT {child.content_type}, {writer.key('c')}, UTC_TIMESTAMP(6), 2, "
            f"{fields}\n"
            f"    {self.step(cascade)}"
        )

    # -- the rows that go ------------------------------------------------------------------------------------

    def gone(self) -> str:
        names = ["synchro_table", *(name for table in self.tables for name in self.names(table))]
        parts = [self.first(), *(self.next(c) for c in self.root.cascades if c.deletes)]
        union = "\n        UNION\n".join(f"        {part}" for part in parts)
        return f"    WITH RECURSIVE synchro_gone ({', '.join(names)}) AS (\n{union}\n    )\n"

    def first(self) -> str:
        values = [f"OLD.{quoted(self.connection, field)}" for field in self.root.key]
        for table in self.tables[1:]:
            target = self.targets[table]
            # NULL, of the key's type.
            values += [
                f"(SELECT e.{self.quoted(f)} FROM {self.table(target)} AS e LIMIT 0)" for f in target.key
            ]
        return f"SELECT 0, {', '.join(values)}"

    def next(self, cascade: Cascade) -> str:
        values = [str(self.tables.index(cascade.child.table))]
        for table in self.tables:
            for field in self.targets[table].key:
                values.append(f"c.{self.quoted(field)}" if table == cascade.child.table else "NULL")
        return f"SELECT {', '.join(values)} {self.step(cascade)}"

    def step(self, cascade: Cascade) -> str:
        """From the rows of the parent that go, to the rows of the child `c` that point at them."""
        number = self.tables.index(cascade.parent.table)
        return (
            f"FROM synchro_gone AS g JOIN {self.table(cascade.parent)} AS p ON "
            f"{self.is_gone('p', cascade.parent)} "
            f"JOIN {self.table(cascade.child)} AS c ON c.{self.quoted(cascade.source)} = "
            f"p.{self.quoted(cascade.target)} WHERE g.synchro_table = {number}"
        )

    def is_gone(self, row: str, target: Target) -> str:
        names = self.names(target.table)
        pairs = zip(target.key, names, strict=True)
        return " AND ".join(f"{row}.{self.quoted(field)} = g.{name}" for field, name in pairs)

    def is_row(self, one: str, other: str, target: Target) -> str:
        return " AND ".join(
            f"{one}.{self.quoted(field)} = {other}.{self.quoted(field)}" for field in target.key
        )

    def names(self, table: str) -> list[str]:
        number = self.tables.index(table)
        return [f"synchro_key_{number}_{place}" for place in range(len(self.targets[table].key))]

    def table(self, target: Target) -> str:
        return self.connection.ops.quote_name(target.table)

    def quoted(self, field: Field[Any, Any]) -> str:
        return quoted(self.connection, field)


def _is_synchronized(cascade: Cascade) -> bool:
    return cascade.child.detail is Detail.KEY or cascade.source in cascade.child.columns
