"""Preflight: what stands in the way of a move, counted by the servers, before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from django.db import DatabaseError
from django.db.models import Model

from synchro import stopping
from synchro.backends.base import quoted
from synchro.backends.inspection import Column, inspection_of
from synchro.move.collisions import collisions
from synchro.move.findings import Finding
from synchro.move.questions import Question, questions_about
from synchro.move.server import server_findings
from synchro.registry import Table, watched_tables
from synchro.replay.session import Database, Databases, own_settings, reachable

Progress = Callable[[type[Model]], None]

#: The columns of tables, by the names of both.
Columns = Mapping[str, Mapping[str, Column]]


def preflight(alias: str, progress: Progress | None = None) -> list[Finding]:
    """
    Return what stands in the way of moving LOCAL's watched rows to the database `alias`; nothing is written.

    LOCAL's server counts the rows, by one statement for each table; `progress` is called with each model. Raises
    `NotReady` where a database cannot be reached.
    """
    databases = Databases(Database(alias))
    with reachable(databases), own_settings(databases):
        return list(_findings(databases, progress))


def _findings(databases: Databases, progress: Progress | None) -> Iterator[Finding]:
    local, remote = (inspection_of(database.connection) for database in databases.both())
    tables = watched_tables()
    if not tables:
        yield Finding("SYNCHRO_MODELS names no model, so nothing would be moved")
    names = [table.name for table in tables]
    yield from server_findings(databases, local, remote)
    local_columns, remote_columns = local.columns(names), remote.columns(names)
    for table in tables:
        if stopping.is_asked():
            return
        if progress is not None:
            progress(table.model)
        if table.name not in local_columns:
            yield Finding(f"LOCAL has no table {table.name}", table.model._meta.label, is_serious=False)
        elif table.name not in remote_columns:
            yield Finding(
                f"REMOTE has no table {table.name}: run “migrate --database {databases.remote.alias}”",
                table.model._meta.label,
                rows=_count(databases.local, table),
            )
        else:
            yield from _of_table(databases, table, local_columns, remote_columns)


def _of_table(
    databases: Databases, table: Table, local_columns: Columns, remote_columns: Columns
) -> Iterator[Finding]:
    ours, theirs = local_columns[table.name], remote_columns[table.name]
    label = table.model._meta.label
    missing = [field.column for field in table.fields if field.column not in theirs]
    for column in missing:
        yield Finding(
            f"REMOTE's table {table.name} lacks this column: run “migrate --database {databases.remote.alias}”",
            label,
            column,
            _count(databases.local, table),
        )
    known = {field.column for field in table.model._meta.local_concrete_fields}
    for column, described in theirs.items():
        if column not in known and not described.is_nullable and not described.is_filled:
            yield Finding(
                "the models do not know this column of REMOTE, which must not be NULL and has no default there",
                label,
                column,
                _count(databases.local, table),
            )
    asks = inspection_of(databases.local.connection)
    asked = [
        (field.column, question)
        for field in table.fields
        if field.column in ours and field.column in theirs
        for question in questions_about(
            field,
            quoted(databases.local.connection, field.column),
            ours[field.column],
            theirs[field.column],
            asks,
        )
    ]
    yield from _answers(databases.local, table, asked)
    yield from _orphans(databases, table, missing)
    yield from collisions(databases, table, ours, theirs)


def _answers(database: Database, table: Table, asked: Sequence[tuple[str, Question]]) -> Iterator[Finding]:
    """Yield a finding for each condition that rows fulfil."""
    counts = _counted(database, table, [question for _column, question in asked])
    for (column, question), count in zip(asked, counts, strict=True):
        if count is None:
            yield Finding(
                f"LOCAL could not be asked for: {question.what}", table.model._meta.label, column, is_serious=False
            )  # fmt: skip
        elif count:
            yield Finding(question.what, table.model._meta.label, column, count)


def _counted(database: Database, table: Table, questions: Sequence[Question]) -> list[int | None]:
    """Return how many rows fulfil each condition, by one statement; None for one that the server cannot evaluate."""
    if not questions:
        return []
    sums = ", ".join(f"SUM(CASE WHEN {each.condition} THEN 1 ELSE 0 END)" for each in questions)
    try:
        with database.connection.cursor() as cursor:
            cursor.execute(f"SELECT {sums} FROM {quoted(database.connection, table.name)}", None)
            return [int(count or 0) for count in cursor.fetchone()]
    except DatabaseError as error:
        if database.backend.is_transient(error) or database.backend.is_about_the_server(error):
            raise
        if len(questions) == 1:
            return [None]
        return [count for each in questions for count in _counted(database, table, [each])]


def _orphans(databases: Databases, table: Table, missing: Sequence[str]) -> Iterator[Finding]:
    """Yield a finding for each foreign key that leads nowhere, where REMOTE would not take it."""
    connection = databases.remote.connection
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, table.name).values()
    enforced = {
        tuple(found["columns"]) for found in constraints if found.get("foreign_key") and found.get("columns")
    }
    quote = databases.local.connection.ops.quote_name
    for field in table.fields:
        if field.remote_field is None or (field.column,) not in enforced or field.column in missing:
            continue
        target = field.target_field
        # Qualified, since a table may point at itself.
        condition = (
            f"{quote(table.name)}.{quote(field.column)} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM "
            f"{quote(target.model._meta.db_table)} AS synchro_target "
            f"WHERE synchro_target.{quote(target.column)} "
            f"= {quote(table.name)}.{quote(field.column)})"
        )
        question = Question(condition, f"points at no row of {target.model._meta.label}")
        yield from _answers(databases.local, table, [(field.column, question)])


def _count(database: Database, table: Table) -> int | None:
    try:
        with database.connection.cursor() as cursor:
            cursor.execute(f"SELECT COUNT(*) FROM {quoted(database.connection, table.name)}", None)
            return int(cursor.fetchone()[0])
    except DatabaseError:
        return None
