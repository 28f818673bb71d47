"""
Names in an entry, and what they stand for now.

An entry may be older than a migration that renamed what it names. A field or a set that is no more may be any of those
that the object has; what cannot be made sense of at all is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from django.db.models import ManyToManyRel, Model
from django.utils.translation import gettext as _

from synchro.exceptions import Refused
from synchro.keys import key_fields
from synchro.registry import is_watched
from synchro.relations import ends_of_set

#: The table of a many-to-many field, and whether the object stands on the side that does not declare the field.
Set = tuple[type[Model], bool]


def has_fields(model: type[Model], names: Iterable[str]) -> bool:
    """Return whether `model` has columns of all these names."""
    return {*names} <= {field.name for field in model._meta.concrete_fields}


def has_sets(model: type[Model], names: Iterable[str]) -> bool:
    """Return whether all these names are those of many-to-many tables that objects of `model` have a part in."""
    return {*names} <= _sets(model).keys()


def sets_named(model: type[Model], names: Iterable[str]) -> list[Set]:
    """Return the sets of an object of `model` that an entry names; all that it has, where one of them is no more."""
    sets = _sets(model)
    found = [sets[name] for name in names if name in sets]
    return found if len(found) == len({*names}) else list(sets.values())


def names_watched_set(model: type[Model], names: Iterable[str]) -> bool:
    """Return whether one of these names is that of a watched set, or of one that is no more and may have been one."""
    sets = _sets(model)
    if any(name not in sets for name in names):
        return any(is_watched(through) for through, _reverse in sets.values())
    return any(is_watched(sets[name][0]) for name in names)


@cache
def _sets(model: type[Model]) -> dict[str, Set]:
    """Return them by the names that entries have for them: of a field of another model with that model's label."""
    found: dict[str, Set] = {}
    for line in (model, *model._meta.all_parents):
        for relation in line._meta.get_fields(include_hidden=True):
            if isinstance(relation, ManyToManyRel):
                _add(found, _full_name(relation.field), relation.through, True)
    for line in (model, *model._meta.all_parents):
        for field in line._meta.local_many_to_many:
            _add(found, field.name, field.remote_field.through, False)
    return found


def _add(found: dict[str, Set], name: str, through: Any, reverse: bool) -> None:
    if through._meta.auto_created or ends_of_set(through) is not None:
        found[name] = (through, reverse)


def _full_name(field: Any) -> str:
    return f"{field.model._meta.label}.{field.name}"


def unreadable_key(entry: int, model: type[Model], text: str) -> Refused:
    """Return an error about an entry of `model` whose key cannot be read."""
    if text.startswith("[") and len(key_fields(model)) == 1:
        return Refused(
            _(
                "Entry %(id)d of the log is about the pair %(pair)s of a many-to-many table that had no model of its "
                "own; now its rows are those of %(model)s. Make the rows of %(model)s that join these two equal in "
                "both databases, and then delete the entry: ChangeLog.objects.filter(pk=%(id)d).delete()."
            )
            % {"id": entry, "model": model._meta.label, "pair": text}
        )
    return Refused(
        _(
            "Entry %(id)d of the log names an object of %(model)s by a key that cannot be read. Make the object that "
            "is meant equal in both databases, and then delete the entry: ChangeLog.objects.filter(pk=%(id)d).delete()."
        )
        % {"id": entry, "model": model._meta.label}
    )
