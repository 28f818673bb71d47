"""
PostgreSQL's capture triggers as `pgtrigger.Trigger` objects.

All triggers of a table call one function, which is named like the table and does not change its name: replacing its
body takes no lock on the table. Triggers are for each statement, and read transition tables. Rows of a partitioned
table, of a partition, of a table that inherits from another, and of one that a subscription writes to, are also
written by ways at which only triggers for each row fire: these have such.

None of them is in the registry of django-pgtrigger, which its commands install and uninstall, and none in the options
of a model, which `makemigrations` reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pgtrigger
import pgtrigger.compiler
import pgtrigger.core
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.triggers.base import LOG, PREFIX, Shape, Target, header, version_of
from synchro.triggers.postgresql_body import NEW_TABLE, OLD_TABLE, Writer
from synchro.triggers.postgresql_catalog import ENABLED, declared_as, installed

ON = pgtrigger.Condition(ENABLED)
OLD, NEW = {"old": OLD_TABLE}, {"new": NEW_TABLE}
#: After what a capture trigger fires, and the transition tables that one for each statement reads then.
EVENTS: tuple[tuple[pgtrigger.Operation, dict[str, str]], ...] = (
    (pgtrigger.Insert, NEW),
    (pgtrigger.Update, OLD | NEW),
    (pgtrigger.Delete, OLD),
)


@dataclass(frozen=True)
class Function:
    """What all triggers of one table call."""

    #: Both quoted, and the function's with its schema.
    name: str
    table: str
    #: Its text, and the hash of all that its triggers are.
    source: str
    version: str


class CaptureSql(pgtrigger.compiler.UpsertTriggerSql):
    """The statements that make one capture trigger; each can also be run by itself."""

    FUNCTION = """CREATE OR REPLACE FUNCTION {execute} RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS {func};
REVOKE ALL ON FUNCTION {execute} FROM PUBLIC"""
    DECLARATION = """CREATE OR REPLACE TRIGGER "{pgid}"
    {when} {operation} ON {table}{referencing} FOR EACH {level}
    {condition}
    EXECUTE FUNCTION {execute}"""

    def get_template(self) -> str:
        return f"{self.FUNCTION};\n{self.DECLARATION};\n"

    @property
    def function(self) -> str:
        """The function alone, of which nobody else may make a trigger, and so write to the log."""
        return self.FUNCTION.format(**self.defaults | self.kwargs)

    @property
    def declaration(self) -> str:
        return self.DECLARATION.format(**self.defaults | self.kwargs)


class AlwaysSql(CaptureSql):
    """
    Of a trigger that also fires where a subscription applies what another server sends, and in all other sessions with
    session_replication_role = replica. Only the owner of a table may say so.
    """

    DECLARATION = CaptureSql.DECLARATION + ';\nALTER TABLE {table} ENABLE ALWAYS TRIGGER "{pgid}"'


class CaptureTrigger(pgtrigger.Trigger):
    """One of the triggers that capture the changes of a table."""

    when = pgtrigger.After
    level = pgtrigger.Statement
    condition = ON

    def __init__(self, function: Function, shape: Shape, **declared: Any) -> None:
        self.function = function
        self.sql = AlwaysSql if shape.is_owned or shape.is_subscribed else CaptureSql
        super().__init__(func=function.source, **declared)

    def get_pgid(self, model: Any) -> str:
        """Its name in the database, which `pgtrigger prune` does not take for one of its own."""
        return str(self.name)

    def render_execute(self, model: Any) -> str:
        return f"{self.function.name}()"

    def statements(self, model: Any) -> CaptureSql:
        return self.sql(
            pgid=self.get_pgid(model),
            func=self.render_func(model),
            table=self.function.table,
            when=self.when,
            operation=self.operation,
            referencing="".join(f" {word}" for word in str(self.referencing or "").split()),
            level=self.level,
            condition=self.render_condition(model),
            execute=self.render_execute(model),
            hash=self.function.version,
        )

    def compile(self, model: Any) -> pgtrigger.compiler.Trigger:
        return pgtrigger.compiler.Trigger(name=self.name, sql=self.statements(model))

    @property
    def declared(self) -> str:
        """What it is declared as, in the words in which the database tells it."""
        return declared_as(f"{self.when} {self.operation} {self.referencing or ''} FOR EACH {self.level}")

    def allow_migrate(self, model: Any, database: str | None = None) -> bool:
        """Whether it may stand there: a router decides where tables are, and where a table is it is captured."""
        return _connection(database).vendor == "postgresql"

    def get_installation_status(self, model: Any, database: str | None = None) -> tuple[str, bool | None]:
        """Compare its hash with that in the function which the trigger of its name calls."""
        if not self.allow_migrate(model, database):
            return pgtrigger.core.UNALLOWED, None
        found = installed(_connection(database), self.function.table)
        versions = {one.stem: one.version for one in found if not one.table}
        for one in found:
            if one.table and one.name == self.get_pgid(model):
                hashes = versions.get(one.stem.partition(":")[0]), self.compile(model).hash
                is_right = hashes[0] == hashes[1] and one.version == self.declared
                return pgtrigger.core.INSTALLED if is_right else pgtrigger.core.OUTDATED, one.enabled
        return pgtrigger.core.UNINSTALLED, None


def _connection(database: str | None) -> BaseDatabaseWrapper:
    return connections[database or DEFAULT_DB_ALIAS]


def capture_triggers(connection: BaseDatabaseWrapper, target: Target) -> tuple[CaptureTrigger, ...]:
    """The triggers of `target`."""
    shape, quote = target.shape, connection.ops.quote_name
    writer = Writer(connection, target, f"{quote(shape.schema)}.{quote(LOG)}")
    body = writer.rows() if shape.by_row else writer.statements()
    names = _names(shape)
    version = version_of([
        body, shape.schema, CaptureSql.FUNCTION, CaptureSql.DECLARATION, names, str(shape.is_subscribed)
    ])  # fmt: skip
    function = Function(
        name=f"{quote(shape.schema)}.{quote(target.stem)}",
        table=quote(target.table),
        source=_quoted_source("\n".join(["", *(f"-- {line}" for line in header(target, version)), body])),
        version=version,
    )
    return tuple(CaptureTrigger(function, shape, **arguments) for arguments in _declarations(shape, names))


def _names(shape: Shape) -> str:
    """
    How the names of its triggers begin.

    A partition has the triggers for each row of the table that it is part of, under their names.
    """
    kind = ("row_" if shape.is_partitioned and not shape.is_part else "own_") if shape.by_row else ""
    return f"{PREFIX}capture_{kind}"


def _declarations(shape: Shape, names: str) -> Iterator[dict[str, Any]]:
    for operation, tables in EVENTS:
        referencing = pgtrigger.Referencing(**tables)  # type: ignore[no-untyped-call]
        level = {"level": pgtrigger.Row} if shape.by_row else {"referencing": referencing}
        yield {"name": f"{names}{str(operation).lower()}", "operation": operation, **level}
    yield {"name": f"{PREFIX}capture_truncate", "operation": pgtrigger.Truncate, "when": pgtrigger.Before}


def _quoted_source(source: str) -> str:
    delimiter = "$synchro$"
    while delimiter in source:
        delimiter = delimiter.replace("synchro", "synchro_")
    return f"{delimiter}{source}{delimiter}"
