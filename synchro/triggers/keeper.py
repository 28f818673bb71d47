"""Taking triggers out of the way of an alteration of their table, and putting them back."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from itertools import groupby
from typing import Any, TypeAlias

from django.apps.registry import Apps
from django.contrib.contenttypes.models import ContentType
from django.core.management.base import CommandError
from django.db import DatabaseError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Model

from synchro.exceptions import NotReady
from synchro.keys import key_fields
from synchro.moved import table_made
from synchro.triggers import triggers_for
from synchro.triggers.base import (
    CASCADE,
    Detail,
    Installed,
    Shape,
    Target,
    Trigger,
    Triggers,
    Uncapturable,
    stem_of,
)
from synchro.triggers.declare import DeclarationOfState

Key: TypeAlias = "Sequence[Field[Any, Any]]"
#: How many seconds a migration waits for a lock, to exchange the triggers of a table.
PATIENCE = 60


class Keeper:
    """Keeps the tables of one database captured while they are altered."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self.backend: Triggers = triggers_for(connection)
        #: Content types of the tables whose triggers have been removed, by table.
        self.content_types: dict[str, int] = {}
        #: What has been removed and has to come back if the alteration fails.
        self.removed: list[Installed] = []

    def on(self, table: str) -> list[Installed]:
        found = self.backend.on(table)
        for one in found:
            if one.content_type is not None:
                self.content_types[table] = one.content_type
        return found

    def remove(self, table: str) -> None:
        self.exchange((), self.on(table))

    @contextmanager
    def without_triggers(self, table: str, altered: Sequence[str]) -> Iterator[None]:
        """
        Inside, the table has no triggers.

        Nobody else writes to it meanwhile, where all tables that are altered are known; or a warning says so.
        """
        is_held = False
        with ExitStack() as stack:
            if altered:
                there = self.backend.shapes(altered)
                with self._told({table}):
                    is_held = stack.enter_context(self.backend.held(there, PATIENCE))
            try:
                self.remove(table)
                yield
            finally:
                if not is_held:
                    warnings.warn(
                        "A table had no triggers while a migration altered its key: what others wrote into it "
                        f"meanwhile is not in the log. Compare it in both databases. The table: {table}",
                        RuntimeWarning,
                        stacklevel=2,
                    )

    def remove_all(self) -> None:
        self.exchange((), self.backend.installed())

    def restore_cascades(self, state: Apps) -> None:
        """
        Make the triggers again that log what the database deletes by itself, and that had to go for an alteration.

        `state` has the models of the tables as they are after it.
        """
        if not any(one.stem.endswith(CASCADE) for one in self.removed):
            return
        installed = self.backend.installed()
        captured = {one.table: one.content_type for one in installed if one.content_type is not None}
        has = {one.table for one in installed if one.stem.endswith(CASCADE)}
        for target in DeclarationOfState(self.connection, self.backend, state, captured).targets():
            if target.shape.shown not in has:
                wanted = self.backend.compile(target)
                self.exchange([one for one in wanted if one.stem.endswith(CASCADE)], ())

    def remove_mentions(self, table: str, column: str | None = None) -> None:
        """Remove the triggers, also on other tables, that name this table or column (`triggers.cascades`)."""
        names = self.backend.mentions(table, column)
        if names:
            self.exchange((), [one for one in self.backend.installed() if one.name in names])

    def capture_new(self, model: type[Model]) -> None:
        """Give a table that has just been made its first triggers."""
        meta, types = model._meta, ContentType.objects.db_manager(self.connection.alias)
        content_type, _ = types.get_or_create(app_label=meta.app_label, model=str(meta.model_name))
        self.content_types[meta.db_table] = content_type.pk
        table_made(self.connection.alias, content_type.pk, model)
        with suppress(Uncapturable):  # the system checks say so
            self.name_key_only(model, key_of(model))

    def rename(self, model: type[Model], new: str) -> None:
        """Give the triggers of a table that is called `new` now the names that go with it."""
        if model._meta.db_table == new and self.on(new):
            self.name_key_only(model, key_of(model))

    def name_key_only(self, model: type[Model], key: Key) -> None:
        """Give the table, if it has or had triggers, such that name only `key`; once it has its columns."""
        table = model._meta.db_table
        found = self.on(table)
        shape = self.backend.shapes([table]).get(table, Shape())
        target = self.key_only(model, key, shape)
        if target is None:
            return
        wanted = self.backend.compile(target)
        versions = {one.stem: one.version for one in found if one.enabled}
        create = [trigger for trigger in wanted if versions.get(trigger.stem) != trigger.version]
        stems = {trigger.stem for trigger in wanted if self.backend.replaces or trigger not in create}
        names = {trigger.name for trigger in wanted if self.backend.replaces}
        drop = [
            one
            for one in found
            if one.stem not in stems and one.name not in names and not one.stem.endswith(CASCADE)
        ]
        if create:
            drop += self._of_former_tables(target)
            if lacking := self.backend.lacking_rights(target.tables):
                raise CommandError(lacking)
        self.exchange(create, drop)

    def key_only(self, model: type[Model], key: Key, shape: Shape) -> Target | None:
        """Return what triggers that name only `key` have to know, if the table is captured and has these columns."""
        table = model._meta.db_table
        if table not in self.content_types or not columns_of(key) <= shape.columns:
            return None
        content_type = self.content_types[table]
        return Target(model._meta.label, table, content_type, tuple(key), detail=Detail.KEY, shape=shape)

    def _of_former_tables(self, target: Target) -> list[Installed]:
        """Return the triggers that were made for this table, and went with another that had its name before."""
        installed = self.backend.installed()
        return [
            one
            for one in installed
            if one.table and one.table != target.shape.shown and stem_of(one.stem) == target.stem
        ]

    def exchange(self, create: Sequence[Trigger], drop: Sequence[Installed]) -> None:
        """
        Create and drop, all or nothing, while no other process does.

        Raises `CommandError` where a lock or a right is lacking, since it is `migrate` that stops there.
        """
        if not create and not drop:
            return
        tables = {one.table for one in drop if one.table}
        with self._told(tables), self.backend.alone(PATIENCE):
            self.backend.exchange(create, drop, seconds=PATIENCE)
        self.removed += drop

    @contextmanager
    def _told(self, tables: Collection[str]) -> Iterator[None]:
        """Inside, the want of a lock or a right becomes a `CommandError` in words."""
        try:
            yield
        except (DatabaseError, NotReady) as error:
            message: Exception = error
            if isinstance(error, DatabaseError):
                message = self.backend.explained(error)
            if not isinstance(message, NotReady):
                raise
            where = f" This was about the triggers of {', '.join(sorted(tables))}." if tables else ""
            raise CommandError(f"{message}{where} Run migrate again then.") from error

    @contextmanager
    def all_or_nothing(self, restore: Callable[[], None]) -> Iterator[None]:
        """Inside, triggers may be removed. They come back where the alteration fails, or what `restore` makes of it."""
        is_undone = self.connection.features.can_rollback_ddl
        before, self.removed = self.removed, []
        try:
            with transaction.atomic(using=self.connection.alias) if is_undone else nullcontext():
                yield
        except BaseException as error:
            if not is_undone:
                self._put_back(error, restore)
            raise
        finally:
            self.removed = before

    def _put_back(self, error: BaseException, restore: Callable[[], None]) -> None:
        """Make the triggers again that have been removed, as they were, where the table can have these."""
        there = {one.name for one in self.backend.installed()}
        gone = sorted((one for one in self.removed if one.name not in there and one.sql), key=_by_table)
        for _table, triggers in groupby(gone, key=_by_table):
            create = [Trigger(one.stem, one.name, one.version, one.sql) for one in triggers]
            with suppress(DatabaseError):  # half of the alteration was done
                self.backend.exchange(create, (), seconds=PATIENCE)
        try:
            restore()
        except (DatabaseError, CommandError) as why:
            message = (
                f"Triggers were removed for a migration that failed, and could not be made again ({why}). Run "
                "'manage.py synchro_install_triggers', and compare in both databases the tables that it names."
            )
            error.add_note(message)
            warnings.warn(message, RuntimeWarning, stacklevel=2)


def _by_table(one: Installed) -> str:
    return one.table


def key_of(model: type[Model]) -> tuple[Field[Any, Any], ...]:
    """Without the cache, which would keep the models of every migration alive."""
    return key_fields.__wrapped__(model)


def columns_of(fields: Key) -> set[str]:
    return {(field.column or "").lower() for field in fields}
