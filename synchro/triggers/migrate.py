"""
Triggers and migrations.

A trigger that names a column which a migration removes or renames stops every write to its table, or the
migration; and SQLite loses the triggers of a table that is rebuilt. So while `migrate` is at work, the schema
editor keeps the triggers of each table that it alters out of its own way: before, it rewrites them so that
they name nothing but the key, and captures go on with the fields unknown; where the key itself is altered it
removes them; after, it makes those it removed or lost again, in the same transaction where the engine has
transactions for this. A column that is added is therefore seen from the moment it exists, and a new table
that is watched gets triggers at once. What data migrations write in between is captured, and a migration that
fails half way leaves working triggers behind.

When all migrations are done, the triggers get their columns back, from the columns that the tables really
have then.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import Migration
from django.db.migrations.operations import RunSQL, SeparateDatabaseAndState
from django.db.migrations.operations.base import Operation
from django.db.models import Field, Model

from synchro.backends import backend_for
from synchro.conf import LOCAL, conf
from synchro.exceptions import NotReady
from synchro.keys import key_fields
from synchro.moved import table_dropped, table_made, table_renamed
from synchro.registry import may_become_watched, watched_tables
from synchro.triggers import triggers_for
from synchro.triggers.base import LOG, SWITCH, Backend, Detail, Installed, Shape, Target, Uncapturable
from synchro.triggers.install import Finding, install, survey

Key: TypeAlias = "Sequence[Field[Any, Any]]"

#: The databases in which what `migrate` is about to write into new tables is captured: those that could be
#: synchronized before. (The first `migrate` of a project fills both databases alike, each by itself.)
_captures_new: set[str] = set()


def before_migrate(
    sender: Any, using: str, plan: Iterable[tuple[Migration, bool]] = (), **kwargs: Any
) -> None:
    """Receives ``pre_migrate``, of synchro's own app, so once."""
    connection = connections[using]
    try:
        backend = triggers_for(connection)
    except NotReady:
        return  # an engine without triggers
    _keep_out_of_the_way(connection)
    _captures_new.discard(using)
    if using == LOCAL and conf.capture == "triggers" and backend.is_ready(connection):
        _captures_new.add(using)
    labels = {migration.app_label for migration, _ in plan if any(map(_is_raw, migration.operations))}
    if not labels or not backend.is_ready(connection):
        return
    keeper = Keeper(connection)
    for table in watched_tables():
        if table.model._meta.app_label in labels:
            keeper.name_key_only(table.model, table.key_fields)


def after_migrate(sender: Any, using: str, **kwargs: Any) -> None:
    """
    Receives ``post_migrate``, of synchro's own app, so once.

    LOCAL in trigger mode gets all its triggers; any other database those tables' that had some. Triggers on a
    table that the models do not know stay: it may be one whose new name is in a migration that has not been
    applied yet.
    """
    connection = connections[using]
    try:
        triggers_for(connection)
    except NotReady:
        return
    own = apps.get_app_config("synchro").get_models()
    backend_for(connection).keep_texts_exact([model._meta.db_table for model in own])
    everything = using == LOCAL and conf.capture == "triggers"
    for finding in survey(connection, create_content_types=everything).findings:
        if finding.is_right or not (everything or finding.had_some):
            continue
        if not finding.is_left_over or finding.is_superseded:
            install(connection, finding.stem)
            if columns := finding.unseen_columns:
                warnings.warn(unseen(finding, columns), RuntimeWarning, stacklevel=2)


def unseen(finding: Finding, columns: Iterable[str]) -> str:
    """Return a sentence about changes that may not have been captured until now."""
    return (
        f"The triggers of {finding.label} did not know the columns {', '.join(columns)} until now: what was changed in "
        "them before is not in the log. Compare these columns in both databases."
    )


def _is_raw(operation: Operation) -> bool:
    """Whether nobody can tell what it does to which table."""
    if isinstance(operation, SeparateDatabaseAndState):
        return any(map(_is_raw, operation.database_operations))
    return isinstance(operation, RunSQL) or not type(operation).__module__.startswith("django.")


def _keep_out_of_the_way(connection: BaseDatabaseWrapper) -> None:
    """From now on the schema editors of this connection take care of triggers."""
    editor = connection.SchemaEditorClass
    if editor is not None and not issubclass(editor, KeepsTriggers):
        connection.SchemaEditorClass = type(f"Synchro{editor.__name__}", (KeepsTriggers, editor), {})


class Keeper:
    """Takes triggers out of the way of an alteration, and puts them back."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self.backend: Backend = triggers_for(connection)
        #: Content types of the tables whose triggers have been removed, by table.
        self.content_types: dict[str, int] = {}

    def on(self, table: str) -> list[Installed]:
        found = self.backend.on(self.connection, table)
        for one in found:
            if one.content_type is not None:
                self.content_types[table] = one.content_type
        return found

    def remove(self, table: str) -> None:
        self.exchange((), self.on(table))

    def capture_new(self, model: type[Model]) -> None:
        """Give a table that has just been made its first triggers."""
        meta, types = model._meta, ContentType.objects.db_manager(self.connection.alias)
        content_type, _ = types.get_or_create(app_label=meta.app_label, model=str(meta.model_name))
        self.content_types[meta.db_table] = content_type.pk
        table_made(self.connection.alias, content_type.pk, model)
        with suppress(Uncapturable):  # the system checks say so
            self.name_key_only(model, _key(model))

    def remove_all(self) -> None:
        self.exchange((), self.backend.installed(self.connection))

    def name_key_only(self, model: type[Model], key: Key) -> None:
        """Give the table, if it has or had triggers, such that name only `key`; once it has its columns."""
        table = model._meta.db_table
        found = self.on(table)
        shape = self.backend.shapes(self.connection, [table]).get(table, Shape())
        if table not in self.content_types or not {(f.column or "").lower() for f in key} <= shape.columns:
            return
        target = Target(
            model._meta.label, table, self.content_types[table], tuple(key), detail=Detail.KEY, shape=shape
        )
        wanted = self.backend.compile(self.connection, target)
        versions = {one.stem: one.version for one in found if one.enabled}
        create = [trigger for trigger in wanted if versions.get(trigger.stem) != trigger.version]
        stems = {trigger.stem for trigger in wanted if self.backend.replaces or trigger not in create}
        names = {trigger.name for trigger in wanted if self.backend.replaces}
        drop = [
            one
            for one in found
            if one.stem not in stems and one.name not in names and not one.stem.endswith("_cascade")
        ]
        self.exchange(create, drop)

    def remove_mentions(self, table: str, column: str | None = None) -> None:
        """Remove the triggers, also on other tables, that name this table or column (`triggers.cascades`)."""
        names = self.backend.mentions(self.connection, table, column)
        self.exchange((), [one for one in self.backend.installed(self.connection) if one.name in names])

    def exchange(self, create: Sequence[Any], drop: Sequence[Installed]) -> None:
        if create or drop:
            self.backend.exchange(self.connection, create, drop, seconds=60)


if TYPE_CHECKING:
    Editor = BaseDatabaseSchemaEditor
else:
    Editor = object


class KeepsTriggers(Editor):
    """Comes before the schema editor of an engine."""

    connection: BaseDatabaseWrapper
    collect_sql: bool
    #: SQLite alone: whether the table that is made is to take the place of another.
    _is_remaking = False

    @property
    def keeper(self) -> Keeper:
        if "_keeper" not in self.__dict__:
            self.__dict__["_keeper"] = Keeper(self.connection)
            if not self.collect_sql:
                # Whoever installs triggers meanwhile would replace the same functions, and know the old columns.
                self.__dict__["_keeper"].backend.hold(self.connection)
        found: Keeper = self.__dict__["_keeper"]
        return found

    def alter_field(self, model: Any, old_field: Any, new_field: Any, strict: bool = False) -> None:
        if self.collect_sql or not (old_field.column and new_field.column):
            super().alter_field(model, old_field, new_field, strict)
            return
        with self._keeping(model, old_field, new_field):
            super().alter_field(model, old_field, new_field, strict)
        if old_field.primary_key and not self.collect_sql:
            self._refresh_related(new_field.model)

    def create_model(self, model: Any) -> None:
        super().create_model(model)
        is_captured = self.connection.alias in _captures_new and conf.capture == "triggers"
        if is_captured and not self._is_remaking and not self.collect_sql and may_become_watched(model):
            self.keeper.capture_new(model)

    def add_field(self, model: Any, field: Any) -> None:
        if not self.collect_sql and field.column:
            # Before, so that there is no moment at which the column exists and nobody sees it change.
            self.keeper.name_key_only(model, _key(model))
        super().add_field(model, field)

    def remove_field(self, model: Any, field: Any) -> None:
        if self.collect_sql or not field.column:
            super().remove_field(model, field)
            return
        with self._keeping(model, field, None):
            super().remove_field(model, field)

    def delete_model(self, model: Any, **kwargs: Any) -> None:
        if not self.collect_sql:
            if model._meta.db_table in (LOG, SWITCH) and not kwargs:
                self.keeper.remove_all()
            else:
                self.keeper.remove(model._meta.db_table)
                self.keeper.remove_mentions(model._meta.db_table)
        super().delete_model(model, **kwargs)
        if not self.collect_sql and not kwargs and not self._is_remaking:
            table_dropped(self.connection.alias, model)

    def alter_db_table(self, model: Any, old_db_table: str, new_db_table: str) -> None:
        if not self.collect_sql and old_db_table != new_db_table:
            self.keeper.on(old_db_table)
            if old_db_table in self.keeper.content_types:
                self.keeper.content_types[new_db_table] = self.keeper.content_types[old_db_table]
            self.keeper.remove_mentions(old_db_table)
        super().alter_db_table(model, old_db_table, new_db_table)
        if not self.collect_sql and not self._is_remaking:
            table_renamed(self.connection.alias, old_db_table, new_db_table)

    def _alter_many_to_many(self, model: Any, old_field: Any, new_field: Any, strict: bool) -> None:
        old, new = old_field.remote_field.through, new_field.remote_field.through
        had_some = not self.collect_sql and bool(self.keeper.on(old._meta.db_table))
        with self._remaking():  # SQLite makes a new table, and copies the rows
            super()._alter_many_to_many(model, old_field, new_field, strict)  # type: ignore[misc]
        if not self.collect_sql:
            table_renamed(self.connection.alias, old._meta.db_table, new._meta.db_table)
        if had_some:
            content_type = self.keeper.content_types[old._meta.db_table]
            self.keeper.content_types[new._meta.db_table] = content_type
            self._rename_content_type(content_type, new)
            self.keeper.name_key_only(new, _key(new))

    def _rename_content_type(self, pk: int, model: type[Model]) -> None:
        """
        Entries of the table under its old name are entries of the same table. (Django does this for others.)
        """
        name = {"app_label": model._meta.app_label, "model": model._meta.model_name}
        types = ContentType.objects.using(self.connection.alias)
        if not types.filter(**name).exists():
            types.filter(pk=pk).update(**name)
            ContentType.objects.clear_cache()

    def _remake_table(self, model: Any, *args: Any, **kwargs: Any) -> None:
        """SQLite alone: a table is altered by making it anew, which loses its triggers."""
        table = model._meta.db_table
        if table in (LOG, SWITCH):
            with self.keeper.backend.suspended(self.connection):
                super()._remake_table(model, *args, **kwargs)  # type: ignore[misc]
            return
        had_some = bool(self.keeper.on(table))
        with self._remaking():
            super()._remake_table(model, *args, **kwargs)  # type: ignore[misc]
        if had_some:
            altered = {old.column: new for old, new in kwargs.get("alter_fields") or ()}
            self.keeper.name_key_only(model, [altered.get(field.column, field) for field in _key(model)])

    @contextmanager
    def _remaking(self) -> Iterator[None]:
        """Inside, a table that is made, or renamed, takes the place of another."""
        before, self._is_remaking = self._is_remaking, True
        try:
            yield
        finally:
            self._is_remaking = before

    @contextmanager
    def _keeping(
        self, model: type[Model], old: Field[Any, Any], new: Field[Any, Any] | None
    ) -> Iterator[None]:
        keeper, table = self.keeper, model._meta.db_table
        if new is None or new.column != old.column:
            keeper.remove_mentions(table, str(old.column))
        if not keeper.on(table) and table not in keeper.content_types:
            yield
            return
        columns = {old.column, new.column if new is not None else old.column}
        key = _key(model)
        after = [new if field.column in columns and new is not None else field for field in key]
        if any(field.column in columns for field in key) and self._key_changes(old, new):
            keeper.remove(table)
        else:
            keeper.name_key_only(model, key)
        yield
        keeper.name_key_only(model, after)

    def _key_changes(self, old: Field[Any, Any], new: Field[Any, Any] | None) -> bool:
        return (
            new is None
            or old.column != new.column
            or old.db_type(self.connection) != new.db_type(self.connection)
        )

    def _refresh_related(self, model: type[Model]) -> None:
        """A key has another type now, and so have the foreign keys of which keys of other tables are made."""
        for relation in model._meta.get_fields(include_hidden=True):
            related = getattr(relation, "related_model", None)
            if not relation.auto_created or relation.concrete or related is None:
                continue
            if any(field.remote_field is not None for field in _key(related)):
                self.keeper.name_key_only(related, _key(related))


def _key(model: type[Model]) -> tuple[Field[Any, Any], ...]:
    """Without the cache, which would keep the models of every migration alive."""
    return key_fields.__wrapped__(model)
