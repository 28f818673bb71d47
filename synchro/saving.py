"""
Capture of `save()` within its own transaction.

Django sends `post_save` when its transaction is over: a process that died in between would leave a row without an
entry, and a run of the other database could take the row for one that LOCAL has not changed. So the entry is written
where the row is, by `Model._save_table`, before any receiver is called. Nothing else happens in that transaction: what
receivers do, and what they raise, finds the row committed as it would be without synchro.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from typing import Any

from django.db import connections
from django.db.models import Model

from synchro.backends import backend_for
from synchro.signals import captures, log_save, parts_of_save


def capture_saves() -> None:
    """From now on, what is saved on LOCAL is captured in the transaction that writes it."""
    save_table: Callable[..., bool] = Model._save_table  # type: ignore[attr-defined]
    if hasattr(save_table, "is_captured"):
        return

    @wraps(save_table)
    def captured(
        self: Model,
        raw: bool = False,
        cls: type[Model] | None = None,
        force_insert: bool = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Any = None,
    ) -> bool:
        def save() -> bool:
            return save_table(self, raw, cls, force_insert, force_update, using, update_fields)

        return _save(self, cls, using, update_fields, save)

    captured.is_captured = True  # type: ignore[attr-defined]
    Model._save_table = captured  # type: ignore[attr-defined]


def _save(
    instance: Model,
    table: type[Model] | None,
    using: str | None,
    update_fields: Any,
    save: Callable[[], bool],
) -> bool:
    model = type(instance)
    # Django sends no signal of the row of an automatic many-to-many table, and a parent's row goes along.
    if table is not model._meta.concrete_model or model._meta.auto_created or not captures(using or ""):
        return save()
    parts = parts_of_save(model, update_fields)
    if parts:
        connection = connections[str(using)]
        is_open = connection.in_atomic_block
        with nullcontext() if is_open else backend_for(connection).atomic_write():
            updated = save()
            log_save(instance, parts, not updated, is_sure=True)
    else:
        updated = save()
    instance._state.synchro_is_captured = True  # type: ignore[attr-defined]
    return updated
