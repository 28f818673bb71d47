"""Members: pairs of an automatic many-to-many table that somebody listens to go through Django's own managers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

from django.db.models import Model

from synchro.keys import Key, key_fields
from synchro.registry import set_field
from synchro.replay.columns import to_attribute
from synchro.replay.link import Link

Verb = Literal["add", "remove"]


def change_members(link: Link, through: type[Model], pairs: Collection[tuple[Key, Key]], verb: Verb) -> None:
    """Add or remove these pairs (of REMOTE's keys), one object's set at a time."""
    source, target = key_fields(through)
    field = set_field(through)
    sets: dict[Key, set[Key]] = {}
    for first, second in pairs:
        if not (field.remote_field.symmetrical and first in sets.get(second, ())):  # the manager sees to both
            sets.setdefault(first, set()).add(second)
    connection = link.remote.connection
    for first, members in sets.items():
        lookup = {source.target_field.attname: to_attribute(source, first, connection)}
        instance = field.model._base_manager.using(link.remote.alias).get(**lookup)
        manager: Any = getattr(instance, field.name)
        getattr(manager, verb)(*_objects(link, target, members))


def _objects(link: Link, target: Any, keys: Collection[Key]) -> list[Model]:
    name = target.target_field.attname
    values = [to_attribute(target, key, link.remote.connection) for key in keys]
    manager = target.related_model._base_manager.using(link.remote.alias)
    return list(manager.filter(**{f"{name}__in": values}))
