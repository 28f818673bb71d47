"""
Refuse objects of another database that code of others would write to REMOTE, or delete there.

A receiver may keep an object of LOCAL's from an earlier call. Under its key REMOTE may have another row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.keys import to_text
from synchro.replay.guests.guard import refuse_guest
from synchro.replay.guests.recorder import key_or_none
from synchro.replay.identity.models import keeps_references


def refuse_strangers(instances: Iterable[Any], using: str) -> None:
    """Raise `WrongDatabase` where one of these objects, which are to be written there, is of another database."""
    for instance in instances:
        model: Any = type(instance)._meta.concrete_model
        if instance._state.db in (None, using) or not keeps_references(model):
            continue
        if instance.pk is None:  # a copy, which gets a key of its own
            continue
        key = key_or_none(instance, model)
        name = model._meta.label if key is None else f"{model._meta.label} {to_text(model, key)}"
        refuse_guest(
            instance._state.db,
            _(
                "%(model)s %(key)s: %(code)s ran for REMOTE's object and wanted to save or delete there what it had "
                "read from the database “%(alias)s”: %(stranger)s, whose key may be another row's on REMOTE. It was "
                "not written, and the batch was rolled back. %(advice)s"
            ),
            stranger=name,
        )


def refuse_stranger(instance: Any = None, using: str | None = None, **_kwargs: Any) -> None:
    """Receives ``pre_save`` of what code of others saves on REMOTE."""
    if isinstance(instance, Model) and using is not None:
        refuse_strangers([instance], using)
