"""The schema editor of a database with triggers: it keeps them out of its own way, and puts them back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from django.contrib.contenttypes.models import ContentType
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import Field, Model

from synchro.conf import conf
from synchro.moved import table_dropped, table_renamed
from synchro.registry import may_become_watched
from synchro.triggers.base import LOG, SWITCH, Uncapturable
from synchro.triggers.keeper import Keeper, key_of
from synchro.triggers.kinds import kind_of
from synchro.triggers.watch import Watch, known

if TYPE_CHECKING:
    Editor = BaseDatabaseSchemaEditor
else:
    Editor = object


def keep_triggers(connection: BaseDatabaseWrapper) -> None:
    """From now on the schema editors of this connection take care of triggers."""
    editor = connection.SchemaEditorClass
    if editor is not None and not issubclass(editor, KeepsTriggers):
        connection.SchemaEditorClass = type(f"Synchro{editor.__name__}", (KeepsTriggers, editor), {})


class KeepsTriggers(Editor):
    """Comes before the schema editor of an engine."""

    connection: BaseDatabaseWrapper
    collect_sql: bool
    #: SQLite alone: whether the table that is made is to take the place of another.
    _is_remaking = False

    @property
    def keeper(self) -> Keeper:
        if "_keeper" not in self.__dict__:
            self.__dict__["_keeper"] = keeper = Keeper(self.connection)
            if not self.collect_sql:
                # Whoever installs triggers meanwhile would replace the same functions, and know the old columns.
                keeper.backend.hold()
        found: Keeper = self.__dict__["_keeper"]
        return found

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        watch = None if self.collect_sql else Watch.of(self.connection)
        if watch is not None and kind is None and not watch.depth:
            watch.restore()
        with self._known():  # what had been put off
            super().__exit__(kind, error, traceback)

    def _known(self) -> AbstractContextManager[None]:
        """Inside, what is executed is the schema editor's own."""
        return known(self.connection)

    @contextmanager
    def _altering(self, model: type[Model] | None = None, after: type[Model] | None = None) -> Iterator[None]:
        """
        The same for what may remove triggers: they come back where it fails.

        `model` has the table before, and `after` is a model of the state that the migration comes to.
        """
        if self.collect_sql:
            yield
            return
        if model is not None:
            self._met(model)
        with self._known(), self.keeper.all_or_nothing(self._restore):
            yield
            if after is not None:
                self.keeper.restore_cascades(after._meta.apps)

    def _met(self, model: type[Model]) -> None:
        watch = Watch.of(self.connection)
        if watch is not None and not self._is_remaking and not self.collect_sql:
            watch.met(model)

    def _restore(self) -> None:
        if (watch := Watch.of(self.connection)) is not None:
            watch.restore()

    # -- what concerns no trigger ------------------------------------------------------------------------------------

    def add_index(self, *args: Any, **kwargs: Any) -> None:
        with self._known():
            super().add_index(*args, **kwargs)

    def remove_index(self, *args: Any, **kwargs: Any) -> None:
        with self._known():
            super().remove_index(*args, **kwargs)

    def rename_index(self, *args: Any, **kwargs: Any) -> None:
        with self._known():
            super().rename_index(*args, **kwargs)

    def add_constraint(self, *args: Any, **kwargs: Any) -> None:
        with self._known():
            super().add_constraint(*args, **kwargs)

    def remove_constraint(self, *args: Any, **kwargs: Any) -> None:
        with self._known():
            super().remove_constraint(*args, **kwargs)

    def alter_unique_together(self, *args: Any, **kwargs: Any) -> None:
        with self._known():
            super().alter_unique_together(*args, **kwargs)

    def alter_db_table_comment(self, *args: Any, **kwargs: Any) -> None:
        with self._known():
            super().alter_db_table_comment(*args, **kwargs)

    def alter_db_tablespace(self, *args: Any, **kwargs: Any) -> None:
        with self._known():
            super().alter_db_tablespace(*args, **kwargs)

    # -- tables ------------------------------------------------------------------------------------------------------

    def create_model(self, model: Any) -> None:
        with self._known():
            super().create_model(model)
            if self.collect_sql or self._is_remaking:
                return
            watch = Watch.of(self.connection)
            if watch is None:
                return
            watch.met(model)
            if watch.captures_new and conf.capture == "triggers" and may_become_watched(model):
                self.keeper.capture_new(model)

    def delete_model(self, model: Any, **kwargs: Any) -> None:
        table = model._meta.db_table
        with self._altering(after=model):
            if self.collect_sql:
                pass
            elif table in (LOG, SWITCH) and not kwargs:
                self.keeper.remove_all()
            else:
                # A table takes its triggers with it; where that is more than one statement, it is one transaction.
                if self.connection.features.can_rollback_ddl:
                    self.keeper.remove(table)
                self.keeper.remove_mentions(table)
            super().delete_model(model, **kwargs)
        if not self.collect_sql and not kwargs and not self._is_remaking:
            table_dropped(self.connection.alias, model)

    def alter_db_table(self, model: Any, old_db_table: str, new_db_table: str) -> None:
        if self.collect_sql or old_db_table == new_db_table:
            super().alter_db_table(model, old_db_table, new_db_table)
            return
        with self._altering(model, model):
            self.keeper.on(old_db_table)
            if old_db_table in self.keeper.content_types:
                self.keeper.content_types[new_db_table] = self.keeper.content_types[old_db_table]
            self.keeper.remove_mentions(old_db_table)
            super().alter_db_table(model, old_db_table, new_db_table)
            if not self._is_remaking:
                self.keeper.rename(model, new_db_table)
        if not self._is_remaking:
            table_renamed(self.connection.alias, old_db_table, new_db_table)

    def _alter_many_to_many(self, model: Any, old_field: Any, new_field: Any, strict: bool) -> None:
        old, new = old_field.remote_field.through, new_field.remote_field.through
        had_some = not self.collect_sql and bool(self.keeper.on(old._meta.db_table))
        with self._altering(new):
            with self._remaking():  # SQLite makes a new table, and copies the rows
                super()._alter_many_to_many(model, old_field, new_field, strict)  # type: ignore[misc]
            if not self.collect_sql:
                table_renamed(self.connection.alias, old._meta.db_table, new._meta.db_table)
            if had_some:
                content_type = self.keeper.content_types[old._meta.db_table]
                self.keeper.content_types[new._meta.db_table] = content_type
                self._rename_content_type(content_type, new)
                self.keeper.name_key_only(new, key_of(new))

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
            with self.keeper.backend.suspended():
                super()._remake_table(model, *args, **kwargs)  # type: ignore[misc]
            return
        had_some = not self.collect_sql and bool(self.keeper.on(table))
        with self._altering():
            with self._remaking():
                super()._remake_table(model, *args, **kwargs)  # type: ignore[misc]
            if had_some:
                altered = {old.column: new for old, new in kwargs.get("alter_fields") or ()}
                self.keeper.name_key_only(
                    model, [altered.get(field.column, field) for field in key_of(model)]
                )

    @contextmanager
    def _remaking(self) -> Iterator[None]:
        """Inside, a table that is made, or renamed, takes the place of another."""
        before, self._is_remaking = self._is_remaking, True
        try:
            yield
        finally:
            self._is_remaking = before

    # -- columns -----------------------------------------------------------------------------------------------------

    def add_field(self, model: Any, field: Any) -> None:
        with self._altering(model, field.model):
            if not self.collect_sql and field.column:
                # Before, so that there is no moment at which the column exists and nobody sees it change.
                self.keeper.name_key_only(model, key_of(model))
            super().add_field(model, field)
            self._met(field.model)

    def remove_field(self, model: Any, field: Any) -> None:
        with self._altering(model, model), self._keeping(model, field, None):
            super().remove_field(model, field)

    def alter_field(self, model: Any, old_field: Any, new_field: Any, strict: bool = False) -> None:
        with self._altering(model, new_field.model):
            if not (old_field.column and new_field.column):
                super().alter_field(model, old_field, new_field, strict)
                return
            with self._keeping(model, old_field, new_field):
                super().alter_field(model, old_field, new_field, strict)
            self._met(new_field.model)
            if old_field.primary_key and not self.collect_sql:
                self._refresh_related(new_field.model)

    @contextmanager
    def _keeping(
        self, model: type[Model], old: Field[Any, Any], new: Field[Any, Any] | None
    ) -> Iterator[None]:
        keeper, table = self.keeper, model._meta.db_table
        if self.collect_sql or not old.column:
            yield
            return
        if new is None or new.column != old.column:
            keeper.remove_mentions(table, str(old.column))
        if not keeper.on(table) and table not in keeper.content_types:
            yield
            return
        columns = {old.column, new.column if new is not None else old.column}
        key = key_of(model)
        after = [new if field.column in columns and new is not None else field for field in key]
        if any(field.column in columns for field in key) and self._key_goes(old, new):
            with keeper.without_triggers(table, self._altered(table, old, new)):
                yield
                keeper.name_key_only(model, after)
            return
        keeper.name_key_only(model, key)
        yield
        keeper.name_key_only(model, after)

    def _altered(self, table: str, old: Field[Any, Any], new: Field[Any, Any] | None) -> list[str]:
        """Return the tables that Django alters, or names, when a column of a key gets another name."""
        if new is None or old.db_type(self.connection) != new.db_type(self.connection):
            return []  # those that point at it too
        ends = [field.remote_field.model._meta.db_table for field in (old, new) if field.remote_field]
        return [table, *ends]

    def _key_goes(self, old: Field[Any, Any], new: Field[Any, Any] | None) -> bool:
        """Whether triggers that name the old key would stop, or misspell, what is written before they are exchanged."""
        if self.connection.features.can_rollback_ddl:
            return False  # nobody writes before that
        if new is None or old.column != new.column:
            return True
        try:
            return kind_of(old, self.connection) is not kind_of(new, self.connection)
        except Uncapturable:
            return True

    def _refresh_related(self, model: type[Model]) -> None:
        """A key has another type now, and so have the foreign keys of which keys of other tables are made."""
        for relation in model._meta.get_fields(include_hidden=True):
            related = getattr(relation, "related_model", None)
            if not relation.auto_created or relation.concrete or related is None:
                continue
            if any(field.remote_field is not None for field in key_of(related)):
                self.keeper.name_key_only(related, key_of(related))
