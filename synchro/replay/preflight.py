"""Find, before anything is written, what would stop the run later."""

from __future__ import annotations

from collections.abc import Container, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, transaction
from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.exceptions import NotReady
from synchro.registry import Table, is_optional, watched_models, watched_tables
from synchro.replay.session import Database, Databases, Session
from synchro.sharing import faults_of_sharing
from synchro.triggers.remote import foreign_triggers, without_capture

#: How many tables one statement asks for.
AT_ONCE = 100


def check_tables(session: Session) -> Session:
    """
    Return the session with the models that are left out, since LOCAL has no table of them.

    Raises `NotReady` where LOCAL or REMOTE lacks a table or a column that a watched model needs, where this account
    may not write into one of REMOTE's tables, or where models that have one table do not fit each other.
    """
    for _model, why in faults_of_sharing():
        raise NotReady(why)
    session = replace(session, left_out=frozenset(_without_a_table(session)))
    for database in session.both():
        models = [model for model in watched_models() if model not in session.left_out]
        for start in range(0, len(models), AT_ONCE):
            part = models[start : start + AT_ONCE]
            if not can_select(database, part):
                raise NotReady(
                    _complaint(database, next((m for m in part if not can_select(database, [m])), part[0]))
                )

    check_foreign_triggers(session)
    _check_rights(session.remote, session.left_out)
    return session


def check_visibility(databases: Databases) -> None:
    """Raise `NotReady` where a database hides rows from this account: they would count as deleted."""
    own = [model._meta.db_table for model in apps.get_app_config("synchro").get_models()]
    tables = [*(table.name for table in watched_tables()), *own, ContentType._meta.db_table]
    for database in databases.both():
        hidden = database.backend.filtered(tables)
        if hidden:
            raise NotReady(
                _(
                    "Row-level security hides rows of %(tables)s in the database “%(alias)s” from this account, and a "
                    "row that is hidden cannot be told from one that was deleted. Nothing was written. Let the account "
                    "see all rows: ALTER ROLE ... BYPASSRLS, or use the tables' owner."
                )
                % {"tables": ", ".join(hidden), "alias": database.alias}
            )


def _without_a_table(session: Session) -> set[type[Model]]:
    """Return the models of a watched app that have no table on LOCAL, or a view, and that no setting names."""
    optional = [model for model in watched_models() if is_optional(model)]
    if not optional:
        return set()
    with session.local.connection.cursor() as cursor:
        present = set(session.local.connection.introspection.table_names(cursor))  # without views
    left_out = {model for model in optional if model._meta.db_table not in present}
    for model in sorted(left_out, key=lambda model: model._meta.label):
        session.warn(
            _(
                "%(model)s is left out: LOCAL has no table %(table)s, or it is a view. Name in SYNCHRO_MODELS the "
                "models of the app that are to be synchronized."
            )
            % {"model": model._meta.label, "table": model._meta.db_table}
        )
    return left_out


def _check_rights(database: Database, left_out: Container[type[Model]]) -> None:
    tables = {
        table.name: [field.column for field in table.fields]
        for table in watched_tables()
        if table.model not in left_out
    }
    lacking: dict[str, list[str]] = {}
    for table, act in database.backend.lacking_rights(tables):
        lacking.setdefault(act, []).append(table)
    if lacking:
        raise NotReady(
            _(
                "The account that writes into the database “%(alias)s” lacks rights there. Grant it: %(rights)s."
            )
            % {
                "alias": database.alias,
                "rights": "; ".join(f"{act} ON {', '.join(names)}" for act, names in lacking.items()),
            }
        )


def lacks_columns(database: Database, models: Sequence[type[Model]]) -> bool:
    """Return whether a column of one of these models, whose tables are there, is missing."""
    return not can_select(database, models) and any(map(partial(_missing_columns, database), models))


def _missing_columns(database: Database, model: type[Model]) -> list[str]:
    """Return the columns that are missing; none where this account is not told."""
    try:
        with transaction.atomic(using=database.alias), database.connection.cursor() as cursor:
            described = database.connection.introspection.get_table_description(cursor, model._meta.db_table)
    except DatabaseError:
        return []
    present = {column.name for column in described}
    return [field.column for field in Table(model).fields if field.column not in present]


def can_select(database: Database, models: Sequence[type[Model]]) -> bool:
    """Return whether all tables and columns can be named in a statement, which reads no row."""
    quote = database.connection.ops.quote_name
    selects = []
    for model in models:
        table = quote(model._meta.db_table)
        # With the table's name, since SQLite takes an unknown name alone, quoted, for a text.
        columns = " OR ".join(f"{table}.{quote(field.column)} IS NULL" for field in Table(model).fields)
        selects.append(f"SELECT 1 FROM {table} WHERE 1 = 0 AND ({columns})")
    try:
        # A savepoint, where there is something to save; a transaction takes several trips to the server.
        is_inside = database.connection.in_atomic_block
        with (
            transaction.atomic(using=database.alias) if is_inside else nullcontext(),
            database.connection.cursor() as cursor,
        ):
            cursor.execute(" UNION ALL ".join(selects))
    except DatabaseError as error:
        if database.backend.is_transient(error):  # that says nothing of the tables
            raise
        return False
    return True


def _complaint(database: Database, model: type[Model]) -> str:
    names = {"alias": database.alias, "table": model._meta.db_table, "model": model._meta.label}
    unreadable = (
        _("The table %(table)s, of %(model)s, in the database “%(alias)s” cannot be read by this account.")
        % names
    )
    with database.connection.cursor() as cursor:
        if model._meta.db_table not in database.connection.introspection.table_names(cursor):
            return (
                _(
                    "The database “%(alias)s” has no table %(table)s, of %(model)s: run “migrate --database %(alias)s”."
                )
                % names
            )
    missing = _missing_columns(database, model)
    if missing:
        return _(
            "The table %(table)s, of %(model)s, in the database “%(alias)s” lacks %(columns)s: "
            "run “migrate --database %(alias)s”."
        ) % {**names, "columns": ", ".join(missing)}
    return unreadable


def check_foreign_triggers(session: Session) -> None:
    """Raise `NotReady` where a trigger of REMOTE's own would change, double or drop what is written."""
    found = foreign_triggers(session.remote.connection, session.left_out)
    if found:
        raise NotReady(
            _(
                "The database “%(alias)s” has triggers of its own on watched tables: %(triggers)s. They would fire for "
                "what is replayed, and do once more what they did on LOCAL. Nothing was written. Let them ask whether "
                "it is a run that writes, as docs/triggers.md shows; or name them in SYNCHRO_REMOTE_TRIGGERS if what "
                "they do there is wanted."
            )
            % {"alias": session.remote.alias, "triggers": ", ".join(map(str, found))}
        )


def warn_without_capture(session: Session) -> None:
    """Say where REMOTE should capture its own changes by triggers, and has none."""
    found = without_capture(session.remote.connection) if session.peer_on_remote is not None else None
    if found is not None and not found.is_silenced():
        session.warn(f"{found.msg} {found.hint}")
