"""From the watched models, and the columns that their tables have in a database, to targets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from django.apps import apps
from django.apps.registry import Apps
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Model

from synchro.keys import key_fields
from synchro.natural_rows import columns_for_methods
from synchro.registry import Table, is_optional, is_watched, knowledge, watched_tables
from synchro.relations import logged_natural_fields
from synchro.sharing import columns_unknown
from synchro.triggers.base import LOG, SWITCH, Cascade, Detail, Shape, Target, Triggers, Uncapturable
from synchro.triggers.kinds import READABLE, kind_of

#: Foreign keys that the database enforces itself (Django 6.1), and whether they delete.
ENFORCED = {
    getattr(models, name): deletes
    for name, deletes in (("DB_CASCADE", True), ("DB_SET_NULL", False), ("DB_SET_DEFAULT", False))
    if hasattr(models, name)
}


@dataclass(frozen=True)
class Edge:
    parent: type[Model]
    child: type[Model]
    #: The foreign key, and the field of the parent that it points at.
    source: Field[Any, Any]
    target: Field[Any, Any]
    deletes: bool


class Declaration:
    """The targets of one database, as it is now."""

    def __init__(
        self, connection: BaseDatabaseWrapper, backend: Triggers, create_content_types: bool
    ) -> None:
        self.connection = connection
        self.backend = backend
        self.create_content_types = create_content_types
        self._shapes = self._look()
        #: Tables that cannot have triggers, and why.
        self.impossible: dict[str, str] = {}
        #: Models whose table is that of another watched model, under whose name its changes are logged.
        self.sharing: dict[str, str] = {}
        #: Automatic many-to-many models that have no content type yet.
        self.unnamed: list[type[Model]] = []

    def targets(self, only: str | None = None) -> list[Target]:
        """Those of all tables, or of the one whose triggers' names begin with the stem `only`."""
        return [target for target in self._targets() if only in (None, target.stem)]

    @property
    def is_ready(self) -> bool:
        """As `Triggers.is_ready`, without asking once more."""
        return {LOG, SWITCH} <= self._shapes.keys()

    def _look(self) -> dict[str, Shape]:
        names = {LOG, SWITCH, *(table.name for table in watched_tables())}
        names |= {model._meta.db_table for edge in self._edges for model in (edge.parent, edge.child)}
        return self.backend.shapes(sorted(names))

    def _shape(self, table: str) -> Shape:
        return self._shapes.get(table, Shape())

    def _targets(self) -> list[Target]:
        found = [self.target(table) for table in self._one_for_each_table()]
        if not self.backend.has_cascades():
            return [target for target in found if target is not None]
        watched = {target.table: target for target in found if target is not None}
        roots = {edge.parent._meta.db_table: edge.parent for edge in self._edges}
        unwatched = (self.bare(model) for table, model in roots.items() if table not in watched)
        with_cascades = (self.with_cascades(target, watched) for target in (*watched.values(), *unwatched))
        return [target for target in with_cascades if target.content_type is not None or target.cascades]

    def _one_for_each_table(self) -> list[Table]:
        """Return, of the watched models that share a table, the one that knows most of its columns."""
        groups: dict[str, list[Table]] = {}
        for table in watched_tables():
            groups.setdefault(self._shape(table.name).shown or table.name, []).append(table)
        for group in groups.values():
            group.sort(key=lambda table: knowledge(table.model))
            owner = group[0]
            for other in group[1:]:
                self.sharing[other.model._meta.label] = owner.model._meta.label
                if fault := columns_unknown(owner.model, other.model):
                    self.impossible[other.model._meta.label] = fault
        return [group[0] for group in groups.values()]

    def target(self, table: Table) -> Target | None:
        """None where the table, or its key, is not there (yet), or a view is in its place that nobody asked for."""
        shape = self._shape(table.name)
        if not _has(shape.columns, table.key_fields):
            return None
        if not shape.is_table and is_optional(table.model):
            return None
        content_type = self._content_type(table.model)
        if content_type is None:
            return None
        target = Target(table.model._meta.label, table.name, content_type, table.key_fields, shape=shape)
        try:
            for field in table.key_fields:
                kind_of(field, self.connection)
        except Uncapturable as error:
            self.impossible[table.model._meta.label] = str(error)
            return None
        if not _has(shape.columns, table.fields):
            return replace(target, detail=Detail.KEY)
        others = tuple(field for field in table.fields if field not in table.key_fields)
        natural = self._natural(table.model, shape)
        named = () if natural else self._for_methods(table.model, shape)
        return replace(target, columns=others, natural=natural or named, is_natural_named=bool(named))

    def bare(self, model: type[Model]) -> Target:
        table = model._meta.db_table
        return Target(model._meta.label, table, None, key_fields(model), shape=self._shape(table))

    def _content_type(self, model: type[Model]) -> int | None:
        """
        Asked of the database each time: Django's own cache survives a flush, and ids do not.

        Models of automatic many-to-many tables have none before synchro asks for it.
        """
        meta = model._meta
        pk = self._content_types.get((meta.app_label, str(meta.model_name)))
        if pk is None and self.create_content_types:
            manager = ContentType.objects.db_manager(self.connection.alias)
            pk = manager.get_or_create(app_label=meta.app_label, model=meta.model_name)[0].pk
        if pk is None:
            self.unnamed.append(model)
        return pk

    @cached_property
    def _content_types(self) -> dict[tuple[str, str], int]:
        manager = ContentType.objects.db_manager(self.connection.alias)
        return {(app, model): pk for app, model, pk in manager.values_list("app_label", "model", "pk")}

    def _natural(self, model: type[Model], shape: Shape) -> tuple[Field[Any, Any], ...]:
        """The fields of the natural key, where all are columns of the table itself that JSON can hold."""
        found = logged_natural_fields(model) or ()
        return found if _has(shape.columns, found) and all(map(self._is_readable, found)) else ()

    def _for_methods(self, model: type[Model], shape: Shape) -> tuple[Field[Any, Any], ...]:
        """The fields from which the model's methods can make a natural key, as far as JSON can hold them."""
        found = columns_for_methods(model)
        return tuple(field for field in found if _has(shape.columns, [field]) and self._is_readable(field))

    def _is_readable(self, field: Field[Any, Any]) -> bool:
        try:
            return kind_of(field, self.connection) in READABLE
        except Uncapturable:
            return False

    # -- what the database deletes by itself -----------------------------------------------------------------

    @cached_property
    def _edges(self) -> tuple[Edge, ...]:
        return tuple(_edges(apps))

    def _is_captured(self, model: type[Model]) -> bool:
        return is_watched(model)

    def with_cascades(self, target: Target, watched: dict[str, Target]) -> Target:
        """
        `target`, with every foreign key by which the deletion of one of its rows spreads to watched tables.
        """
        edges = list(self._reachable(target.table))
        if not any(self._is_captured(edge.child) for edge in edges):
            return target
        cascades = []
        for edge in edges:
            parent, child = (
                watched.get(model._meta.db_table) or self.bare(model) for model in (edge.parent, edge.child)
            )
            if self._exists(parent, edge.target) and self._exists(child, edge.source):
                cascades.append(Cascade(parent, child, edge.source, edge.target, edge.deletes))
        return replace(target, cascades=tuple(cascades))

    def _reachable(self, table: str) -> Iterator[Edge]:
        gone, waiting = {table}, [table]
        while waiting:
            parent = waiting.pop()
            for edge in self._edges:
                if edge.parent._meta.db_table != parent:
                    continue
                yield edge
                child = edge.child._meta.db_table
                if edge.deletes and child not in gone:
                    gone.add(child)
                    waiting.append(child)

    def _exists(self, end: Target, field: Field[Any, Any]) -> bool:
        return _has(end.shape.columns, (*end.key, field))


class DeclarationOfState(Declaration):
    """
    What deletions by the database itself reach, in a state that a migration has come to.

    The watched models do not tell it: they are what all migrations come to in the end.
    """

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        backend: Triggers,
        state: Apps,
        content_types: Mapping[str, int],
    ) -> None:
        self.state = state
        #: Of the captured tables.
        self.captured = content_types
        super().__init__(connection, backend, create_content_types=False)

    def _look(self) -> dict[str, Shape]:
        names = {model._meta.db_table for edge in self._edges for model in (edge.parent, edge.child)}
        return self.backend.shapes(sorted(names))

    @cached_property
    def _edges(self) -> tuple[Edge, ...]:
        return tuple(_edges(self.state))

    def _is_captured(self, model: type[Model]) -> bool:
        return self._shape(model._meta.db_table).shown in self.captured

    def bare(self, model: type[Model]) -> Target:
        shape = self._shape(model._meta.db_table)
        key = key_fields.__wrapped__(model)
        content_type = self.captured.get(shape.shown)
        return Target(
            model._meta.label, model._meta.db_table, content_type, key, detail=Detail.KEY, shape=shape
        )

    def _targets(self) -> list[Target]:
        roots = {edge.parent._meta.db_table: edge.parent for edge in self._edges}
        found = (self.bare(model) for model in roots.values() if self._shape(model._meta.db_table).columns)
        return [target for target in (self.with_cascades(one, {}) for one in found) if target.cascades]


def _edges(models_of: Apps) -> Iterator[Edge]:
    for model in models_of.get_models(include_auto_created=True):
        if model._meta.proxy:
            continue
        for field in model._meta.local_concrete_fields:
            on_delete = getattr(field.remote_field, "on_delete", None)
            if on_delete in ENFORCED:
                target: Field[Any, Any] = field.target_field  # type: ignore[attr-defined]
                yield Edge(target.model, model, field, target, ENFORCED[on_delete])


def _has(columns: frozenset[str], fields: Iterable[Field[Any, Any]]) -> bool:
    return bool(columns) and all((field.column or "").lower() in columns for field in fields)
