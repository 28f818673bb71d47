"""The same alterations without Django's schema editor: by `RunSQL`, by code with a cursor, by another client."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import Any

from django.apps.registry import Apps
from django.db import connections, models
from django.db.migrations import (
    AddField,
    AlterModelTable,
    CreateModel,
    RemoveField,
    RenameField,
    RunPython,
    RunSQL,
    SeparateDatabaseAndState,
)
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from tests.evolving import fills

APP = "evolving"
WAYS = ("sql", "one by one", "cursor", "driver", "client")


def by_other_ways(
    chance: random.Random, state: ProjectState, operations: Sequence[Operation]
) -> tuple[str, list[Operation]]:
    """
    Return the operations, some of them done in another way, and which; of what another client is to do only what
    the models make of it, since it does that before.
    """
    done: list[Operation] = []
    ways = []
    for operation in operations:
        sql = statements(operation, state.apps)
        state = state.clone()
        operation.state_forwards(APP, state)
        way = chance.choice(WAYS) if sql and chance.random() < 0.6 else ""
        if len(operations) > 1 and way == "client":
            way = "cursor"  # what comes before it in the migration has to be there
        done.append(SeparateDatabaseAndState(_by(way, sql), [operation]) if way else operation)
        ways += [way] if way else []
    return " and ".join(ways), done


def _by(way: str, sql: Sequence[str]) -> list[Operation]:
    if way == "client":
        return []
    if way == "sql":
        return [RunSQL(";\n".join(sql), RunSQL.noop)]
    if way == "one by one":
        return [RunSQL(one, RunSQL.noop) for one in sql]
    code = fills.execute if way == "cursor" else fills.execute_past_django
    return [RunPython(partial(code, statements=list(sql)), RunPython.noop)]


def of_a_client(operation: Operation, apps: Apps) -> list[str]:
    """Return what another client does beforehand, so that this operation, as it stands, is true."""
    is_noted = isinstance(operation, SeparateDatabaseAndState) and not operation.database_operations
    return statements(operation.state_operations[0], apps) if is_noted else []  # type: ignore[attr-defined]


def statements(operation: Operation, apps: Apps) -> list[str]:
    """Return SQL that any engine takes for what Django would do; nothing where it is not so simple."""
    if isinstance(operation, CreateModel):
        return []
    if isinstance(operation, AlterModelTable):
        model: Any = apps.get_model(APP, operation.name)
        if model._meta.local_many_to_many:
            return []
        return [f"ALTER TABLE {model._meta.db_table} RENAME TO {operation.table}"]
    if not isinstance(operation, AddField | RemoveField | RenameField):
        return []
    model = apps.get_model(APP, operation.model_name)
    table = model._meta.db_table
    if isinstance(operation, AddField):
        kind = _type(operation.field)
        return [f"ALTER TABLE {table} ADD COLUMN {operation.name} {kind}"] if kind else []
    field = model._meta.get_field(
        operation.name if isinstance(operation, RemoveField) else operation.old_name
    )
    if field.many_to_many:
        return []
    if isinstance(operation, RemoveField):
        return [] if field.remote_field else [f"ALTER TABLE {table} DROP COLUMN {field.column}"]
    new = f"{operation.new_name}_id" if field.remote_field else operation.new_name
    return [f"ALTER TABLE {table} RENAME COLUMN {field.column} TO {new}"]


def _type(field: Any) -> str:
    if field.unique or field.remote_field is not None:
        return ""
    if isinstance(field, models.CharField) and field.null:
        return f"varchar({field.max_length})"
    if isinstance(field, models.IntegerField) and not field.null:
        return f"integer NOT NULL DEFAULT {field.default}"
    return ""


def execute_as_another_client(alias: str, sql: Sequence[str]) -> None:
    other = connections[alias].copy()
    try:
        with other.cursor() as cursor:
            for statement in sql:
                cursor.execute(statement)
    finally:
        other.close()
