"""
Foreign keys made by hand, by which a server deletes or empties rows of watched tables without Django's knowledge.

On REMOTE they take along what LOCAL still has; on MySQL and MariaDB no trigger fires for what they do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DO_NOTHING, Model

from synchro.backends import backend_for
from synchro.backends.server_cascades import LEAVES_ALONE, ServerCascade
from synchro.keys import AnyField, key_fields
from synchro.registry import watched_models
from synchro.relations import is_done_by_the_database


@dataclass(frozen=True)
class ByHand:
    """Such a foreign key of a watched model."""

    child: type[Model]
    cascade: ServerCascade
    #: The columns, as far as the model has them all, and the watched model that they point at, where it is one.
    columns: tuple[AnyField, ...]
    parent: type[Model] | None
    targets: tuple[AnyField, ...]

    def __str__(self) -> str:
        does = [f"ON DELETE {self.cascade.on_delete}"] if self.cascade.acts_on_deletion else []
        if self.cascade.on_update not in LEAVES_ALONE:
            does.append(f"ON UPDATE {self.cascade.on_update}")
        return f"{self.cascade.child}.{', '.join(self.cascade.columns)} ({' '.join(does)})"


def made_on_remote(connection: BaseDatabaseWrapper) -> list[ByHand]:
    """Those that act on deletions, and where neither Django nor the model itself says what becomes of the rows."""
    found = _by_hand(connection, lambda rule: rule is not DO_NOTHING)
    return [one for one in found if one.cascade.acts_on_deletion]


def unseen_by_triggers(connection: BaseDatabaseWrapper) -> list[ByHand]:
    """Those whose work is not captured, on an engine that fires no triggers for it."""
    found = _by_hand(connection, is_done_by_the_database)
    return [one for one in found if one.cascade.acts_on_deletion or one.cascade.on_update not in LEAVES_ALONE]


def _by_hand(connection: BaseDatabaseWrapper, is_known: Callable[[Any], bool]) -> Iterator[ByHand]:
    models = {model._meta.db_table.lower(): model for model in watched_models()}
    for cascade in backend_for(connection).server_cascades():
        child, parent = models.get(cascade.child.lower()), models.get(cascade.parent.lower())
        if child is None:
            continue
        columns = _fields(child, cascade.columns)
        declared = getattr(columns[0], "remote_field", None) if len(columns) == 1 else None
        if declared is None or not is_known(declared.on_delete):
            targets = _fields(parent, cascade.targets) if parent is not None else ()
            yield ByHand(child, cascade, columns, parent, targets)


def _fields(model: type[Model], names: tuple[str, ...]) -> tuple[AnyField, ...]:
    """The fields with these columns; the key's where none are named, and none where one is unknown."""
    if not names:
        return key_fields(model)
    by_column = {str(field.column).lower(): field for field in model._meta.local_concrete_fields}
    found = [by_column.get(name.lower()) for name in names]
    return tuple(field for field in found if field is not None) if None not in found else ()
