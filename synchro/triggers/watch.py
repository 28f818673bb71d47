"""
Alterations that go past the schema editor.

`RunSQL`, operations that are not Django's own, and `RunPython` alter tables by SQL. So while `migrate` is at work each
statement on its connection is looked at. Before one that may alter a captured table, the table gets triggers that
name nothing but its key. After it, whatever lost its triggers gets them again, and so does what took the place of a
captured table or has just been made.

What goes past Django's cursor as well (the driver's own, another process) is not seen beforehand, but at the end of
each migration. Where new triggers wait for nobody, all tables name nothing but their keys from the start.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Model

from synchro.registry import may_become_watched
from synchro.triggers.base import LOG, SWITCH, Installed, Shape, Uncapturable, stem_of
from synchro.triggers.keeper import Keeper, columns_of, key_of
from synchro.triggers.statements import Reach, is_single, reach_of


class Watch:
    """Looks at each statement on one connection, while `migrate` is at work."""

    def __init__(
        self, connection: BaseDatabaseWrapper, models: Iterable[type[Model]], captures_new: bool
    ) -> None:
        self.connection = connection
        #: Whether tables that are made from now on are captured, if they are watched.
        self.captures_new = captures_new
        #: The models of each table, as migrations know them, the latest first.
        self.models: dict[str, list[type[Model]]] = {}
        #: Content types of the captured tables, by the name that the database shows.
        self.captured: dict[str, int] = {}
        #: The triggers of each table at the last look, by the same name.
        self.seen: dict[str, frozenset[str]] = {}
        #: The tables that were there in the beginning.
        self.former: frozenset[str] = frozenset()
        #: Greater than 0 while what is executed is known.
        self.depth = 0
        self.is_pending = False
        for model in models:
            self.models.setdefault(model._meta.db_table, []).append(model)

    @classmethod
    def of(cls, connection: BaseDatabaseWrapper) -> Watch | None:
        return next((one for one in connection.execute_wrappers if isinstance(one, Watch)), None)

    def begin(self) -> None:
        if (other := Watch.of(self.connection)) is not None:
            other.end()
        keeper = Keeper(self.connection)
        self._look(keeper)
        self.former = frozenset(keeper.backend.shapes(self.models))
        self.connection.execute_wrappers.insert(0, self)

    def end(self) -> None:
        with suppress(ValueError):
            self.connection.execute_wrappers.remove(self)

    @contextmanager
    def known(self) -> Iterator[None]:
        """Inside, statements are not looked at."""
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    def met(self, model: type[Model]) -> None:
        """Note how a migration knows the model of a table."""
        models = self.models.setdefault(model._meta.db_table, [])
        models[:] = [model, *(one for one in models if one is not model)]

    def __call__(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        if self.depth:
            return execute(sql, params, many, context)
        if self.is_pending:
            self.restore()
        reach = reach_of(sql)
        if reach is Reach.NOTHING:
            return execute(sql, params, many, context)
        self.prepare(str(sql) if reach is Reach.NAMED else None)
        # A statement that leaves results, or others, behind lets nobody else use the connection.
        self.is_pending = reach is Reach.EVERYTHING or not is_single(sql)
        result = execute(sql, params, many, context)
        if not self.is_pending:
            self.restore()
        return result

    def prepare(self, sql: str | None = None) -> None:
        """Have the tables that `sql` names, or all, captured by triggers that name their keys alone."""
        if sql is None and self._commits_what_is_open():
            return  # it need not alter anything; if it does, `restore` comes after it
        with self.known():
            keeper = Keeper(self.connection)
            installed = self._look(keeper)
            for table, shape in self._shapes(keeper).items():
                is_named = sql is None or table.lower() in sql.lower()
                if is_named and any(one.knows is not None for one in _of(shape.shown, installed)):
                    self._name_key_only(keeper, table, shape)

    def _commits_what_is_open(self) -> bool:
        return self.connection.in_atomic_block and not self.connection.features.can_rollback_ddl

    def restore(self) -> None:
        """Have every table captured that was so before, or that is watched and new."""
        self.is_pending = False
        with self.known():
            keeper, before = Keeper(self.connection), self.seen
            installed = self._look(keeper)
            for table, shape in self._shapes(keeper).items():
                found = _of(shape.shown, installed)
                is_same = self.seen.get(shape.shown) == before.get(shape.shown, frozenset())
                if self._is_wanted(table, shape) and self._is_broken(keeper, table, shape, found, is_same):
                    self._name_key_only(keeper, table, shape)
            self._look(keeper)

    def _shapes(self, keeper: Keeper) -> dict[str, Shape]:
        """Return what there is of the tables; nothing while synchro's own are not all there, which triggers need."""
        shapes = keeper.backend.shapes({LOG, SWITCH, *self.models})
        if not {LOG, SWITCH} <= shapes.keys():
            return {}
        return {table: shape for table, shape in shapes.items() if table in self.models}

    def _look(self, keeper: Keeper) -> list[Installed]:
        installed = keeper.backend.installed()
        names: dict[str, set[str]] = {}
        for one in installed:
            names.setdefault(one.table, set()).add(one.name)
            if one.table and one.content_type is not None:
                self.captured[one.table] = one.content_type
        self.seen = {table: frozenset(found) for table, found in names.items()}
        return installed

    def _is_wanted(self, table: str, shape: Shape) -> bool:
        if not shape.is_table:
            return False
        is_new = self.captures_new and table not in self.former
        return shape.shown in self.captured or (is_new and any(map(may_become_watched, self.models[table])))

    def _is_broken(
        self, keeper: Keeper, table: str, shape: Shape, found: Sequence[Installed], is_same: bool
    ) -> bool:
        """Whether the table lacks a trigger, or has one that names a column which is not there."""
        key, model = self._key(table, shape), self.models[table][0]
        if key is None or any(one.knows is not None and not one.knows <= shape.columns for one in found):
            return True
        if found and is_same:
            return False
        keeper.content_types.setdefault(table, self.captured.get(shape.shown, 0))
        target = keeper.key_only(model, key, shape)
        assert target is not None
        try:
            wanted = keeper.backend.compile(target)
        except Uncapturable:  # the system checks say so
            return False
        has = {one.stem for one in found if one.enabled}
        return not {one.stem for one in wanted} - {target.stem} <= has

    def _name_key_only(self, keeper: Keeper, table: str, shape: Shape) -> None:
        key, model = self._key(table, shape), self.models[table][0]
        content_type = self.captured.get(shape.shown)
        if key is None:
            self._give_up(keeper, table)
        elif content_type is None:
            keeper.capture_new(model)
        else:
            keeper.content_types[table] = content_type
            with suppress(Uncapturable):
                keeper.name_key_only(model, key)

    def _key(self, table: str, shape: Shape) -> tuple[Field[Any, Any], ...] | None:
        """Return the key that the table has, as one of its models knows it."""
        keys = (key_of(model) for model in self.models[table])
        return next((key for key in keys if columns_of(key) <= shape.columns), None)

    def _give_up(self, keeper: Keeper, table: str) -> None:
        """Stop no writer of a table whose key is not the one that anybody knows; and say so."""
        if not keeper.on(table):
            return
        keeper.remove(table)
        warnings.warn(
            "A statement of a migration has changed the key by which the changes of a table are captured. Until "
            f"migrate has ended, they are not in the log: compare it in both databases then. The table: {table}",
            RuntimeWarning,
            stacklevel=2,
        )


def _of(table: str, installed: Sequence[Installed]) -> list[Installed]:
    """Return the triggers of a table, with the function that they share where there is one."""
    stems = {stem_of(one.stem) for one in installed if one.table == table}
    return [one for one in installed if one.table == table or (not one.table and one.stem in stems)]


def known(connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
    """Inside, nothing that is executed is taken for an alteration by others."""
    watch = Watch.of(connection)
    return nullcontext() if watch is None else watch.known()
